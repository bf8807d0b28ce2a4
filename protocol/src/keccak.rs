//! Keccak-256 as Ethereum uses it (the padding of before the SHA-3 standard), and the type of its results.

use std::{fmt, str::FromStr};

use sha3::{Digest as _, Keccak256};

use crate::fixed_bytes::{ParseHexError, fixed_bytes, parse_hex, write_hex};

fixed_bytes!(
    /// A 32-byte Keccak-256 hash. The digest of an observation is what everybody signs.
    Digest, 32
);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for Digest {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self)
    }
}

impl Digest {
    /// The first four bytes as hex, enough to tell digests apart in a log line.
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }
}

/// Keccak-256 of the concatenation of `parts`.
pub fn keccak256<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest::new(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_ethereum_does() {
        // The published hash of the empty string, as in Ethereum's yellow paper.
        let empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(keccak256([]).to_string(), empty);
        assert_eq!(keccak256([b"ab", b"c"]), keccak256([b"abc"]));
        assert_eq!(empty.parse(), Ok(keccak256([])));
    }
}
