//! The plain form: `0x` and 64 hex digits on a line.

use quorate_protocol::NodeKey;
use zeroize::Zeroizing;

/// The key as a line.
pub(crate) fn encode(key: &NodeKey) -> Zeroizing<String> {
    let digits = Zeroizing::new(const_hex::encode_prefixed(key.secret_bytes().as_slice()));
    Zeroizing::new(format!("{}\n", *digits))
}

/// The key in a line, with or without the `0x`. `None`: it is none; nothing is said of what it is, since it may nearly be one.
pub(crate) fn decode(text: &str) -> Option<NodeKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    const_hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).ok()?;
    NodeKey::from_bytes(*bytes).ok()
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
