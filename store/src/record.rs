//! A record as the row that holds it, and a certificate as the row that it becomes.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use quorate_protocol::{
    Address, Attestation, Certificate, Digest, Evidence, Network, Quote, Record, Signature, UnixMillis,
};

use crate::{error::StoreError, schema};

/// A row of `eth_prices`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schema::eth_prices)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub(crate) struct RecordRow {
    sequence: i64,
    timestamp: DateTime<Utc>,
    written_at: DateTime<Utc>,
    feed: String,
    price: bigdecimal::BigDecimal,
    observer: Vec<u8>,
    written_by: Vec<u8>,
    previous: Vec<u8>,
    digest: Vec<u8>,
    network: String,
    evidence: String,
    signers: Vec<Option<Vec<u8>>>,
    signatures: Vec<Option<Vec<u8>>>,
    validators: Vec<Option<bool>>,
}

impl RecordRow {
    /// The place behind which the next page of a list begins.
    pub(crate) fn place(&self) -> (String, i64) {
        (self.feed.clone(), self.sequence)
    }

    /// What the row says.
    pub(crate) fn read(self) -> Result<Record, StoreError> {
        let name = format!("record {} of {}", self.sequence, self.feed);
        let damaged = |column: &str, reason: String| StoreError::Damaged {
            record: name.clone(),
            reason: format!("{column}: {reason}"),
        };
        let mut attestations = Vec::with_capacity(self.signers.len());
        let mut validators = BTreeSet::new();
        if self.signatures.len() != self.signers.len() {
            let (signers, signatures) = (self.signers.len(), self.signatures.len());
            return Err(damaged(
                "signatures",
                format!("{signatures} of {signers} signers"),
            ));
        }
        for (place, (signer, signature)) in self.signers.iter().zip(&self.signatures).enumerate() {
            let signer = address(signer.as_deref().unwrap_or_default())
                .map_err(|reason| damaged("signers", reason))?;
            let signature = fixed(signature.as_deref().unwrap_or_default())
                .map_err(|reason| damaged("signatures", reason))?;
            if self.validators.get(place) == Some(&Some(true)) {
                validators.insert(signer);
            }
            attestations.push(Attestation {
                signer,
                signature: Signature::new(signature),
            });
        }
        Ok(Record {
            sequence: u64::try_from(self.sequence).map_err(|error| damaged("sequence", error.to_string()))?,
            previous: digest(&self.previous).map_err(|reason| damaged("previous", reason))?,
            digest: digest(&self.digest).map_err(|reason| damaged("digest", reason))?,
            feed: parse(&self.feed).map_err(|reason| damaged("feed", reason))?,
            price: parse(&self.price.to_plain_string()).map_err(|reason| damaged("price", reason))?,
            observed_at: unix_millis(self.timestamp),
            observer: address(&self.observer).map_err(|reason| damaged("observer", reason))?,
            evidence: evidence(&self.evidence).map_err(|reason| damaged("evidence", reason))?,
            network: self.network,
            written_at: unix_millis(self.written_at),
            written_by: address(&self.written_by).map_err(|reason| damaged("written_by", reason))?,
            signatures: attestations,
            validators,
        })
    }
}

/// The columns that a node fills in, of `eth_prices` as of `eth_prices_lost`.
pub(crate) struct CertificateRow {
    pub(crate) sequence: i64,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) feed: String,
    pub(crate) price: String,
    pub(crate) observer: Vec<u8>,
    pub(crate) by: Vec<u8>,
    pub(crate) previous: Vec<u8>,
    pub(crate) digest: Vec<u8>,
    pub(crate) network: String,
    pub(crate) evidence: String,
    pub(crate) signers: Vec<Vec<u8>>,
    pub(crate) signatures: Vec<Vec<u8>>,
    pub(crate) validators: Vec<bool>,
}

impl CertificateRow {
    /// The row in the name of the node that writes or keeps it.
    pub(crate) fn new(
        certificate: &Certificate,
        by: Address,
        network: &Network,
        validators: &BTreeSet<Address>,
    ) -> Self {
        let report = certificate.report();
        let observation = report.observation();
        let signatures = report.signatures();
        Self {
            sequence: sequence(observation.link().sequence()),
            timestamp: timestamp(observation.observed_at()),
            feed: observation.feed().to_string(),
            price: observation.price().to_string(),
            observer: observation.observer().as_bytes().to_vec(),
            by: by.as_bytes().to_vec(),
            previous: observation.link().previous().as_bytes().to_vec(),
            digest: certificate.digest().as_bytes().to_vec(),
            network: network.to_string(),
            evidence: observation.evidence().canonical(),
            // The map's order is the one that the database asks for.
            signers: signatures
                .keys()
                .map(|signer| signer.as_bytes().to_vec())
                .collect(),
            signatures: signatures.values().map(|one| one.as_bytes().to_vec()).collect(),
            validators: signatures
                .keys()
                .map(|signer| validators.contains(signer))
                .collect(),
        }
    }
}

/// A number as the database's `bigint`; [`quorate_protocol::Link`] has no higher ones.
pub(crate) fn sequence(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The quotes of a canonical list.
pub(crate) fn evidence(canonical: &str) -> Result<Evidence, String> {
    let quote = |line: &str| {
        let [source, price, at] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("{line:?} is not a source, a price and a time"));
        };
        Ok(Quote {
            source: parse(source)?,
            price: parse(price)?,
            at: UnixMillis::new(parse(at)?),
        })
    };
    let quotes = canonical.lines().map(quote).collect::<Result<_, _>>()?;
    Evidence::new(quotes).map_err(|error| error.to_string())
}

/// As many bytes as it must be.
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes
        .try_into()
        .map_err(|_| format!("{} bytes instead of {N}", bytes.len()))
}

pub(crate) fn address(bytes: &[u8]) -> Result<Address, String> {
    fixed(bytes).map(Address::new)
}

pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, String> {
    fixed(bytes).map(Digest::new)
}

/// Milliseconds; a time before 1970 counts as 1970, and no CHECK lets one in.
pub(crate) fn unix_millis(time: DateTime<Utc>) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

/// A time as a parameter; what lies behind the year 9999 counts as its end.
pub(crate) fn timestamp(time: UnixMillis) -> DateTime<Utc> {
    let millis = time.min(UnixMillis::MAX).get();
    i64::try_from(millis)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// What a column's text says, or why it says nothing.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_evidence_reads_back() {
        let text = "coinbase 3000.5 1700000000123\nkraken 2999.123456789012345678 0\n";
        assert_eq!(evidence(text).unwrap().canonical(), text);
        for wrong in [
            "",
            "kraken 1\n",
            "kraken 1 2 3\n",
            "kraken x 1\n",
            "b 1 1\na 1 1\n",
        ] {
            assert!(evidence(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_last_millisecond_that_can_be_signed_has_a_timestamp() {
        assert_eq!(unix_millis(timestamp(UnixMillis::MAX)), UnixMillis::MAX);
        assert_eq!(unix_millis(timestamp(UnixMillis::new(u64::MAX))), UnixMillis::MAX);
    }
}
