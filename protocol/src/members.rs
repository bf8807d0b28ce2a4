//! Which signers the network admits.

use std::collections::BTreeSet;

use crate::address::Address;

/// The signers that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Anybody with a key: for a trusted local network only, since keys are free.
    Open,
    /// The listed addresses.
    Closed(BTreeSet<Address>),
}

impl Members {
    /// Whether this signer counts.
    pub fn admit(&self, signer: &Address) -> bool {
        match self {
            Self::Open => true,
            Self::Closed(members) => members.contains(signer),
        }
    }

    /// How many there are; `None` when the network is open.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Open => None,
            Self::Closed(members) => Some(members.len()),
        }
    }
}
