//! One record as it is shown.

use quorate_protocol::{Address, Attestation, Digest, Feed, Price, UnixMillis};

/// One record as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PriceRow {
    /// When the database took it.
    pub(crate) written_at: UnixMillis,
    /// What is priced.
    pub(crate) feed: Feed,
    /// The price.
    pub(crate) price: Price,
    /// When the price was.
    pub(crate) observed_at: UnixMillis,
    /// Whose observation it is.
    pub(crate) observer: Address,
    /// Who wrote it.
    pub(crate) written_by: Address,
    /// What was signed.
    pub(crate) digest: Digest,
    /// Who signed.
    pub(crate) signatures: Vec<Attestation>,
}

/// Two rows for the tests of the formats.
#[cfg(test)]
pub(crate) fn examples() -> Vec<PriceRow> {
    let key = |byte| quorate_protocol::NodeKey::from_bytes([byte; 32]).unwrap();
    let digest = Digest::new([0xab; 32]);
    let attestation = |byte| Attestation {
        signer: key(byte).address(),
        signature: key(byte).sign(digest),
    };
    let row = |millis, price: &str, signers: &[u8]| PriceRow {
        written_at: UnixMillis::new(millis),
        feed: "ETH/USD".parse().unwrap(),
        price: price.parse().unwrap(),
        observed_at: UnixMillis::new(millis - 1015),
        observer: key(signers[0]).address(),
        written_by: key(1).address(),
        digest,
        signatures: signers.iter().copied().map(attestation).collect(),
    };
    vec![
        row(1_769_860_830_250, "3012.45", &[1, 2, 3]),
        row(1_769_860_800_248, "998.5", &[2, 3]),
    ]
}
