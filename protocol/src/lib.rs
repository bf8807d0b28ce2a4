//! What quorate's nodes say and decide, without a clock, a socket or a thread.
//!
//! The reading order is a price's life: a [`Price`] is quoted by exchanges ([`Evidence`]), stated by a node
//! ([`Observation`]), hashed ([`Observation::digest`]), signed ([`NodeKey`]), carried in a [`Message`], judged by every
//! receiver ([`judge::Judge`]), co-signed ([`cosign`]), and brought to a quorum and to the database by
//! [`rounds::Rounds`].

mod address;
mod attestation;
mod committee;
mod committees;
pub mod cosign;
mod eip712;
mod equivocation;
mod evidence;
mod feed;
mod fixed_bytes;
mod heartbeat;
pub mod judge;
mod keccak;
mod key;
mod members;
mod message;
mod network;
mod observation;
mod price;
mod quorum;
mod refusal_notice;
mod report;
pub mod rounds;
pub mod seal;
mod signature;
mod time;
mod wire;
mod written;

pub use address::{Address, ParseAddressError};
pub use attestation::Attestation;
pub use committee::{Committee, NeverQuorate};
pub use committees::Committees;
pub use equivocation::{Equivocation, EquivocationError, ProvenEquivocation, one_window};
pub use evidence::{Evidence, EvidenceError, MAX_QUOTES, NoPrice, Quote, Source, consolidate};
pub use feed::{Feed, ParseFeedError};
pub use fixed_bytes::ParseHexError;
pub use heartbeat::{Heartbeat, MAX_FEEDS};
pub use keccak::{Digest, keccak256};
pub use key::{KeyError, NodeKey};
pub use members::Members;
pub use message::{DecodeError, MAX_MESSAGE_BYTES, Message, PROTOCOL_VERSION};
pub use network::{Network, ParseNetworkError};
pub use observation::Observation;
pub use price::{ParsePriceError, Price};
pub use quorum::{Fraction, ParseFractionError, QuorumRule};
pub use refusal_notice::RefusalNotice;
pub use report::{Certificate, MAX_ATTESTATIONS, Report, VerifiedReport, VerifyError};
pub use signature::{Signature, SignatureError};
pub use time::{Instant, UnixMillis};
pub use written::Written;
