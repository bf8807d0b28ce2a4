//! What can be found in a message, and what each finding means for its sender.

use std::time::Duration;

use crate::{
    address::Address, equivocation::ProvenEquivocation, message::DecodeError, names::Feed, seal::KeyId,
};

/// What a node tells gossipsub about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// Valid and new: forward it.
    Accept,
    /// Not useful here, and nobody's fault: do not forward it, hold it against nobody.
    Ignore,
    /// No honest node sends this: do not forward it, and lower the sender's score.
    Reject,
}

/// Why a message was not accepted; counted and logged under its variant's name, like `no_proof`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Finding {
    /// The bytes are no message of this network.
    #[error("{0}")]
    Malformed(DecodeError),
    /// About a feed that this node does not follow; others may.
    #[error("feed {0} is not followed here")]
    OtherFeed(Feed),
    /// Observed too long ago: a replay, a slow path or a slow clock.
    #[error("{age:?} old, the limit is {limit:?}")]
    Stale {
        /// Its age when it was seen.
        age: Duration,
        /// The oldest that counts.
        limit: Duration,
    },
    /// Observed ahead of our clock: one of two clocks is wrong.
    #[error("{ahead:?} ahead of this node's clock, the limit is {limit:?}")]
    Future {
        /// How far ahead.
        ahead: Duration,
        /// The tolerance.
        limit: Duration,
    },
    /// Every attestation is known already.
    #[error("nothing new in it")]
    Duplicate,
    /// The record is written: the matter is closed.
    #[error("already written")]
    Settled,
    /// Signed by somebody who is no member; perhaps our list is the old one.
    #[error("{0} is no member")]
    UnknownSigner(Address),
    /// News of a record with fewer signatures than this node asks for.
    #[error("{signatures} signatures are no quorum, {required} are required")]
    NotQuorate {
        /// Distinct valid signatures.
        signatures: usize,
        /// Required here.
        required: usize,
    },
    /// A second observation by the same node for the same record and window.
    #[error("{} made two statements for one record: {} and {}", .0.observer(), .0.statements().0.digest(),
        .0.statements().1.digest())]
    Equivocation(Box<ProvenEquivocation>),
    /// A claim that somebody equivocated, which its contents do not bear out.
    #[error("{0}")]
    NoProof(String),
    /// Signed with this node's own key, but not by this node.
    #[error("another node signs with this node's key")]
    OurKey,
    /// A signature that is not its signer's.
    #[error("{0}")]
    BadSignature(String),
    /// More than this node takes from one sender or can handle.
    #[error("too much at once")]
    Overload,
    /// In clear, although this node's network is sealed: it was made by somebody who has no secret.
    #[error("in clear, and this network is sealed")]
    Unsealed,
    /// Sealed, and this node has no secret.
    #[error("sealed with the key {key_id}, and this node has none")]
    Sealed {
        /// The key that opens it.
        key_id: KeyId,
        /// Whether it is passed on unread: to members, by a node that only members are connected to.
        relayed: bool,
    },
    /// Sealed with a key that this node has not.
    #[error("sealed with the key {theirs}, which this node does not have")]
    UnknownKey {
        /// The key that opens it.
        theirs: KeyId,
    },
    /// Sealed with a key of ours as it says, and that is not so. A relay without the key could not tell.
    #[error("not what was sealed with the key {0}")]
    BadSeal(KeyId),
}

impl Finding {
    /// What gossipsub is told.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) | Self::BadSignature(_) | Self::NoProof(_) => Verdict::Reject,
            Self::Sealed { relayed: true, .. } => Verdict::Accept,
            _ => Verdict::Ignore,
        }
    }

    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        self.into()
    }
}
