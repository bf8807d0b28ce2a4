//! The node's keys in a sealed network: with which it seals and opens, changed while it runs.

use actix::{Handler, Message, MessageResult};
use quorate_protocol::{
    Instant,
    judge::Finding,
    seal::{KeyId, Keyring, NONCE_BYTES},
};

use super::GossipBridge;

/// With which keys does the bridge seal and open, and what could it not open?
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "SealStatus")]
pub struct AskSeal;

/// The answer to [`AskSeal`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealStatus {
    /// This node's keys, the one that seals first; empty if messages go in clear.
    pub key_ids: Vec<KeyId>,
    /// The last key that a message was sealed with and this node has not, and when that was heard. Forgotten when the keys
    /// change.
    pub foreign: Option<(KeyId, Instant)>,
}

/// The keys and what does not fit them; survives the actor's restarts.
#[derive(Debug, Default)]
pub(super) struct Seals {
    pub(super) keyring: Option<Keyring>,
    foreign: Option<(KeyId, Instant)>,
}

impl Seals {
    pub(super) fn new(keyring: Option<Keyring>) -> Self {
        Self {
            keyring,
            foreign: None,
        }
    }

    /// Notes a finding that a key would have spared; what the operator should do, if there is anything.
    pub(super) fn note(&mut self, finding: &Finding, now: Instant) -> Option<&'static str> {
        match finding {
            Finding::UnknownKey { theirs: key } | Finding::Sealed { key_id: key, .. } => {
                self.foreign = Some((*key, now));
                Some("add that key's secret to the file of --network-secret-file")
            }
            Finding::Unsealed => Some("give the sender's node --network-secret-file"),
            Finding::BadSeal(_) => Some("a peer passes on what nobody with the key made: find out which"),
            _ => None,
        }
    }

    /// The keys' names, for the log.
    pub(super) fn ids(&self) -> String {
        match &self.keyring {
            Some(keyring) => keyring
                .key_ids()
                .iter()
                .map(KeyId::to_string)
                .collect::<Vec<_>>()
                .join(","),
            None => "none".to_owned(),
        }
    }
}

/// A new one for each message, from the operating system's randomness.
///
/// # Errors
/// The system gives none; then nothing may be sealed.
pub(super) fn nonce() -> Result<[u8; NONCE_BYTES], getrandom::Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

impl GossipBridge {
    pub(super) fn seal_with(&mut self, keyring: Keyring) {
        self.seals = Seals::new(Some(keyring));
        log::info!("network secret changed: key_ids={}", self.seals.ids());
    }
}

impl Handler<AskSeal> for GossipBridge {
    type Result = MessageResult<AskSeal>;

    fn handle(&mut self, _: AskSeal, _: &mut Self::Context) -> Self::Result {
        MessageResult(SealStatus {
            key_ids: self
                .seals
                .keyring
                .as_ref()
                .map(Keyring::key_ids)
                .unwrap_or_default(),
            foreign: self.seals.foreign,
        })
    }
}
