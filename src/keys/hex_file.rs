//! The plain form: `0x` and 64 hex digits on a line.

use std::fmt::Write;

use quorate_protocol::NodeKey;
use zeroize::Zeroizing;

/// The key as a line.
pub(crate) fn encode(key: &NodeKey) -> Zeroizing<String> {
    // As long as it gets, so that it does not grow and leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 + 64 + 1));
    text.push_str("0x");
    for byte in key.secret_bytes().iter() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// The key in a line, with or without the `0x`. `None`: it is none; nothing is said of what it is, since it may nearly be one.
pub(crate) fn decode(text: &str) -> Option<NodeKey> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let mut bytes = Zeroizing::new([0; 32]);
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    NodeKey::from_bytes(*bytes).ok()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key = NodeKey::generate();
        let text = encode(&key);
        assert_eq!(text.len(), 2 + 64 + 1);
        assert_eq!(decode(&text).unwrap().address(), key.address());
        assert_eq!(decode(text[2..].trim()).unwrap().address(), key.address());
    }

    #[test]
    fn a_line_that_is_no_key_is_refused() {
        for text in [
            "",
            "0x",
            "0x1234",
            &"0".repeat(64),
            &"f".repeat(64),
            &"g".repeat(64),
        ] {
            assert!(decode(text).is_none(), "{text}");
        }
    }
}
