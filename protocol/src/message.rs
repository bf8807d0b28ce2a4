//! What is gossiped: an envelope in deterministic CBOR (RFC 8949), described in docs/protocol.md.

use serde::{Serialize, de::DeserializeOwned, de::IgnoredAny};

use crate::{
    address::Address, equivocation::Equivocation, heartbeat::Heartbeat, names::Network,
    refusal_notice::RefusalNotice, report::Report, time::UnixMillis, written::Written,
};

/// The version of the wire format. Another one is not understood, and rejected.
pub const PROTOCOL_VERSION: u64 = 1;

/// Longest message: a report with [`crate::MAX_ATTESTATIONS`] signatures and [`crate::MAX_QUOTES`] quotes fits.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Nesting of arrays that decoding follows; our own messages need 6.
const MAX_DEPTH: usize = 8;

const REPORT: u64 = 0;
const WRITTEN: u64 = 1;
const HEARTBEAT: u64 = 2;
const REFUSAL: u64 = 3;
const EQUIVOCATION: u64 = 4;

/// One gossiped message. On the wire: the array `[version, network, kind, body]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Kind 0: an observation and signatures.
    Report(Report),
    /// Kind 1: a certificate that was written.
    Written(Written),
    /// Kind 2: a sign of life.
    Heartbeat(Heartbeat),
    /// Kind 3: why a node did not sign an observation.
    Refusal(RefusalNotice),
    /// Kind 4: two contradicting statements of one observer.
    Equivocation(Equivocation),
}

/// Why bytes are no message: the sender speaks another protocol, or none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("{0} bytes, at most {MAX_MESSAGE_BYTES} are allowed")]
    Oversize(usize),
    /// Of another version.
    #[error("version {0}, this node speaks version {PROTOCOL_VERSION}")]
    Version(u64),
    /// Of another network.
    #[error("network {0:?} is not ours")]
    Network(String),
    /// Of no kind that this version knows.
    #[error("unknown kind {0}")]
    Kind(u64),
    /// Not the CBOR that the kind asks for.
    #[error("not a valid message: {0}")]
    Malformed(String),
    /// Valid CBOR, but not the one deterministic encoding: a second spelling of a message would be a second message.
    #[error("not in deterministic encoding, or followed by more bytes")]
    NotDeterministic,
}

impl Message {
    /// Who made it, and when by that node's clock. None for what is dated by the database or by nobody.
    pub fn dated(&self) -> Option<(Address, UnixMillis)> {
        match self {
            Self::Report(report) => {
                let observation = report.observation();
                Some((observation.observer(), observation.observed_at()))
            }
            Self::Heartbeat(heartbeat) => Some((heartbeat.node, heartbeat.sent_at)),
            Self::Refusal(notice) => Some((notice.node, notice.sent_at)),
            Self::Written(_) | Self::Equivocation(_) => None,
        }
    }

    /// The bytes to gossip in `network`.
    pub fn encode(&self, network: &Network) -> Vec<u8> {
        match self {
            Self::Report(report) => encode(network, REPORT, report),
            Self::Written(written) => encode(network, WRITTEN, written),
            Self::Heartbeat(heartbeat) => encode(network, HEARTBEAT, heartbeat),
            Self::Refusal(notice) => encode(network, REFUSAL, notice),
            Self::Equivocation(claim) => encode(network, EQUIVOCATION, claim),
        }
    }

    /// Reads a message of `network`. Checks the form only: no signature, no time.
    pub fn decode(bytes: &[u8], network: &Network) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::Oversize(bytes.len()));
        }
        // The body behind these three is left unread; whether there is one, the second reading tells.
        let (version, name, kind): (u64, String, u64) = read(bytes)?;
        if version != PROTOCOL_VERSION {
            return Err(DecodeError::Version(version));
        }
        if name != network.as_str() {
            return Err(DecodeError::Network(name.chars().take(32).collect()));
        }
        let message = match kind {
            REPORT => Self::Report(body(bytes)?),
            WRITTEN => Self::Written(body(bytes)?),
            HEARTBEAT => Self::Heartbeat(body(bytes)?),
            REFUSAL => Self::Refusal(body(bytes)?),
            EQUIVOCATION => Self::Equivocation(body(bytes)?),
            unknown => return Err(DecodeError::Kind(unknown)),
        };
        if message.encode(network) == bytes {
            Ok(message)
        } else {
            Err(DecodeError::NotDeterministic)
        }
    }
}

fn encode<T: Serialize>(network: &Network, kind: u64, body: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let written = ciborium::into_writer(&(PROTOCOL_VERSION, network.as_str(), kind, body), &mut bytes);
    debug_assert!(written.is_ok(), "writing our own types into memory cannot fail");
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    ciborium::de::from_reader_with_recursion_limit(bytes, MAX_DEPTH).map_err(|error| {
        let text = match error {
            ciborium::de::Error::Semantic(_, text) => text,
            ciborium::de::Error::Io(_) => "it ends too early".to_owned(),
            other => other.to_string(),
        };
        // The text may quote what the sender wrote.
        DecodeError::Malformed(text.chars().filter(|c| !c.is_control()).take(120).collect())
    })
}

fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    read::<(IgnoredAny, IgnoredAny, IgnoredAny, T)>(bytes).map(|(_, _, _, body)| body)
}
