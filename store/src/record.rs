//! A record as it stands in the database, and how to check it with nothing but itself.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use quorate_protocol::{
    Address, Attestation, Digest, Evidence, Feed, Network, Observation, Price, Quote, SignatureError, Source,
    UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::{error::StoreError, schema};

/// A written certificate. Whoever reads it need not trust the database: [`Record::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up, with gaps.
    pub id: i64,
    /// What was signed.
    pub digest: Digest,
    /// What is priced.
    pub feed: Feed,
    /// The price.
    pub price: Price,
    /// When it was observed, by the observer's clock.
    pub observed_at: UnixMillis,
    /// Who states it.
    pub observer: Address,
    /// The quotes behind it.
    pub evidence: Evidence,
    /// The network that the signatures are for.
    pub network: String,
    /// When it was written, by the database's clock.
    pub written_at: UnixMillis,
    /// Who wrote it, by its own word.
    pub written_by: Address,
    /// Who signed, in ascending order of signers' texts.
    pub signatures: Vec<Attestation>,
    /// Which of the signers are validators: by the owner's list of members if there is one, else by the writer's word.
    #[serde(default)]
    pub validators: BTreeSet<Address>,
}

/// What makes a record worthless: somebody has changed it, or it was never right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// No network can have this name.
    #[error("{0:?} is no network's name")]
    Network(String),
    /// The price does not follow from the quotes.
    #[error("the price is {price}, the median of its quotes is {median}")]
    Price {
        /// As recorded.
        price: Price,
        /// As computed.
        median: Price,
    },
    /// The digest does not follow from the contents.
    #[error("the digest is {recorded}, the contents hash to {computed}")]
    Digest {
        /// As recorded.
        recorded: Digest,
        /// As computed.
        computed: Digest,
    },
    /// A signature names nobody.
    #[error("the signature of {signer} is invalid: {error}")]
    Invalid {
        /// Whose it claims to be.
        signer: Address,
        /// What is wrong with it.
        error: SignatureError,
    },
    /// A signature is somebody else's.
    #[error("the signature of {claimed} recovers to {recovered}")]
    OtherSigner {
        /// Whose it claims to be.
        claimed: Address,
        /// Whose it would be.
        recovered: Address,
    },
    /// The observer has not signed.
    #[error("the observer {0} has not signed")]
    ObserverMissing(Address),
}

impl Record {
    /// What the observer stated. Its price is the median of the quotes, whatever [`Record::price`] says.
    pub fn observation(&self) -> Observation {
        Observation::new(
            self.feed.clone(),
            self.observed_at,
            self.observer,
            self.evidence.clone(),
        )
    }

    /// Checks price, digest and every signature; returns the distinct signers. Whether they are members and enough of
    /// them is the caller's to say.
    pub fn verify(&self) -> Result<BTreeSet<Address>, RecordFault> {
        let network: Network = self
            .network
            .parse()
            .map_err(|_| RecordFault::Network(self.network.clone()))?;
        let observation = self.observation();
        if observation.price() != self.price {
            return Err(RecordFault::Price {
                price: self.price,
                median: observation.price(),
            });
        }
        let computed = observation.digest(&network);
        if computed != self.digest {
            return Err(RecordFault::Digest {
                recorded: self.digest,
                computed,
            });
        }
        let mut signers = BTreeSet::new();
        for attestation in &self.signatures {
            let claimed = attestation.signer;
            match attestation.signature.recover(computed) {
                Ok(recovered) if recovered == claimed => signers.insert(recovered),
                Ok(recovered) => return Err(RecordFault::OtherSigner { claimed, recovered }),
                Err(error) => {
                    return Err(RecordFault::Invalid {
                        signer: claimed,
                        error,
                    });
                }
            };
        }
        if signers.contains(&self.observer) {
            Ok(signers)
        } else {
            Err(RecordFault::ObserverMissing(self.observer))
        }
    }
}

/// A row of `eth_prices`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schema::eth_prices)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub(crate) struct RecordRow {
    id: i64,
    timestamp: DateTime<Utc>,
    feed: String,
    price: bigdecimal::BigDecimal,
    observer: String,
    written_at: DateTime<Utc>,
    written_by: String,
    pub(crate) digest: String,
    evidence: serde_json::Value,
    network: String,
}

/// A row of `eth_price_signatures`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schema::eth_price_signatures)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub(crate) struct SignatureRow {
    pub(crate) digest: String,
    signer: String,
    signature: String,
    validator: bool,
}

/// A quote as the database holds it: with names, for people who read it in psql.
#[derive(Serialize, Deserialize)]
struct QuoteObject {
    source: Source,
    price: Price,
    at: UnixMillis,
}

/// The evidence as JSONB.
pub(crate) fn evidence_to_json(evidence: &Evidence) -> serde_json::Result<serde_json::Value> {
    let quotes: Vec<QuoteObject> = evidence
        .quotes()
        .iter()
        .cloned()
        .map(|Quote { source, price, at }| QuoteObject { source, price, at })
        .collect();
    serde_json::to_value(quotes)
}

pub(crate) fn evidence_from_json(json: serde_json::Value) -> Result<Evidence, String> {
    let quotes: Vec<QuoteObject> = serde_json::from_value(json).map_err(|error| error.to_string())?;
    let quotes = quotes
        .into_iter()
        .map(|QuoteObject { source, price, at }| Quote { source, price, at })
        .collect();
    Evidence::new(quotes).map_err(|error| error.to_string())
}

/// An address in whatever letter case it was written: a wrong checksum is no reason not to show a record.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    text.to_ascii_lowercase()
        .parse()
        .map_err(|error: quorate_protocol::ParseAddressError| error.to_string())
}

/// Milliseconds; a time before 1970 counts as 1970, and no CHECK lets one in.
pub(crate) fn unix_millis(time: DateTime<Utc>) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

impl RecordRow {
    /// The record of this row and of its signatures' rows.
    pub(crate) fn with_signatures(self, signatures: Vec<SignatureRow>) -> Result<Record, StoreError> {
        let digest = self.digest.clone();
        let damaged = |column: &str, reason: String| StoreError::Damaged {
            digest: digest.clone(),
            reason: format!("{column}: {reason}"),
        };
        let mut validators = BTreeSet::new();
        let attestation = |row: SignatureRow| {
            let signer = address(&row.signer).map_err(|reason| damaged("signer", reason))?;
            if row.validator {
                validators.insert(signer);
            }
            let signature = parse(&row.signature).map_err(|reason| damaged("signature", reason))?;
            Ok(Attestation { signer, signature })
        };
        let signatures = signatures
            .into_iter()
            .map(attestation)
            .collect::<Result<_, _>>()?;
        Ok(Record {
            id: self.id,
            digest: parse(&self.digest).map_err(|reason| damaged("digest", reason))?,
            feed: parse(&self.feed).map_err(|reason| damaged("feed", reason))?,
            price: parse(&self.price.to_plain_string()).map_err(|reason| damaged("price", reason))?,
            observed_at: unix_millis(self.timestamp),
            observer: address(&self.observer).map_err(|reason| damaged("observer", reason))?,
            evidence: evidence_from_json(self.evidence).map_err(|reason| damaged("evidence", reason))?,
            network: self.network,
            written_at: unix_millis(self.written_at),
            written_by: address(&self.written_by).map_err(|reason| damaged("written_by", reason))?,
            signatures,
            validators,
        })
    }
}

/// What a column's text says, or why it says nothing.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
