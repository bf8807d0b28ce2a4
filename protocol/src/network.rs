//! The network's name: part of every message and, hashed, of every signature.

use std::{fmt, str::FromStr};

use crate::keccak::{Digest, keccak256};

/// A network's name: 1 to 32 of `a-z`, `0-9` and `-`. A signature made for one network is worthless in another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(String);

/// Why a text is no network name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 32 of the characters a-z, 0-9 and -")]
pub struct ParseNetworkError;

impl Network {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The EIP-712 domain's salt: the Keccak-256 of the name.
    pub fn salt(&self) -> Digest {
        keccak256([self.0.as_bytes()])
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseNetworkError)
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
