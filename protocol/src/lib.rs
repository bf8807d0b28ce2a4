//! What quorate's nodes say and decide, without a clock, a socket or a thread.
//!
//! The reading order is a price's life: a [`Price`] is quoted by exchanges ([`Evidence`]), stated by a node
//! ([`Observation`]), hashed ([`Observation::digest`]), signed ([`NodeKey`]), carried in a [`Message`], judged by every
//! receiver ([`judge::Judge`]), co-signed ([`cosign`]), and brought to a quorum and to the database by
//! [`rounds::Rounds`]. What was written, anybody can check: [`history`].

mod address;
mod committee;
pub mod cosign;
mod digest;
mod encoding;
mod equivocation;
mod evidence;
mod heartbeat;
pub mod history;
pub mod judge;
mod link;
mod message;
mod names;
mod observation;
mod price;
pub mod readiness;
mod record;
mod refusal_notice;
mod report;
pub mod rounds;
pub mod scorecard;
pub mod seal;
mod signing;
mod time;
mod trace;
mod written;

pub use address::{Address, ParseAddressError};
pub use committee::{Committee, Fraction, Members, NeverQuorate, ParseFractionError, QuorumRule};
pub use digest::{Digest, keccak256};
pub use encoding::ParseHexError;
pub use equivocation::{Equivocation, EquivocationError, ProvenEquivocation, one_window};
pub use evidence::{AgreedPrice, Evidence, EvidenceError, MAX_QUOTES, Quote, Source};
pub use heartbeat::{ALIVE_FOR, HEARTBEAT_INTERVAL, Heartbeat, HeartbeatSchedule, MAX_FEEDS};
pub use link::{Link, LinkError};
pub use message::{DecodeError, MAX_MESSAGE_BYTES, Message, PROTOCOL_VERSION};
pub use names::{Feed, Network, ParseFeedError, ParseNetworkError};
pub use observation::Observation;
pub use price::{ParsePriceError, Price};
pub use record::{LastRecord, Record, RecordFault, WriteOutcome};
pub use refusal_notice::RefusalNotice;
pub use report::{Certificate, MAX_ATTESTATIONS, Report, VerifiedReport};
pub use signing::{Attestation, KeyError, NodeKey, Signature, SignatureError, VerifyError};
pub use time::{Instant, UnixMillis};
pub use trace::{KEPT_ROUNDS, QuorumReached, RecordSeen, RefusedBy, RoundTrace, Signed, Statement, Trace};
pub use written::Written;
