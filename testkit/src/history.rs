//! A feed's history, as a network would have written it: linked, signed, a record a window.

use std::collections::BTreeSet;

use quorate_protocol::{Attestation, Evidence, Feed, Link, NodeKey, Observation, Record, UnixMillis};

use crate::builders::{attest, key, network, quote};

/// Makes the records of a feed one after the other, without end: all of them signed by the same nodes, each stated by another.
pub struct Chronicle {
    feed: Feed,
    keys: Vec<NodeKey>,
    next: Link,
    written_at: u64,
    window_ms: u64,
}

impl Chronicle {
    /// The first record of `feed` was written at the beginning of 2026, the next ones `window_ms` apart. The nodes with these
    /// numbers sign.
    pub fn new(feed: Feed, signers: &[u8], window_ms: u64) -> Self {
        let mut keys: Vec<NodeKey> = signers.iter().map(|number| key(*number)).collect();
        keys.sort_by_key(|key| key.address().to_string());
        Self {
            feed,
            keys,
            next: Link::FIRST,
            written_at: 1_767_225_600_000,
            window_ms,
        }
    }

    fn evidence(&self, observed_at: u64) -> Evidence {
        let cents = 300_000 + self.next.sequence() * 7919 % 20_000;
        let quotes = ["bitstamp", "coinbase", "coingecko", "gemini", "kraken"]
            .iter()
            .zip(0..)
            .map(|(source, nth)| {
                let cents: u64 = cents + nth * (self.next.sequence() % 40);
                let price = format!("{}.{:02}", cents / 100, cents % 100);
                quote(source, &price, UnixMillis::new(observed_at - 37 * nth))
            })
            .collect();
        Evidence::new(quotes).unwrap()
    }
}

impl Iterator for Chronicle {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let observed_at = self.written_at - 300 - self.next.sequence() % 200;
        let nth = usize::try_from(self.next.sequence()).unwrap() % self.keys.len();
        let observation = Observation::new(
            self.feed.clone(),
            self.next,
            UnixMillis::new(observed_at),
            self.keys[nth].address(),
            self.evidence(observed_at),
        );
        let digest = observation.digest(&network());
        let signatures: Vec<Attestation> = self.keys.iter().map(|key| attest(key, digest)).collect();
        let record = Record {
            feed: self.feed.clone(),
            sequence: self.next.sequence(),
            previous: self.next.previous(),
            digest,
            price: observation.price(),
            observed_at: observation.observed_at(),
            observer: observation.observer(),
            evidence: observation.evidence().clone(),
            network: network().to_string(),
            written_at: UnixMillis::new(self.written_at),
            written_by: self.keys[(nth + 1) % self.keys.len()].address(),
            signatures,
            validators: BTreeSet::new(),
        };
        self.next = Link::after(record.sequence, digest);
        self.written_at += self.window_ms + self.next.sequence() % 7;
        Some(record)
    }
}

/// The first `count` records of `ETH/USD`, 30 s apart, signed by the nodes 1 to 3.
pub fn history(count: usize) -> Vec<Record> {
    Chronicle::new(crate::builders::feed(), &[1, 2, 3], 30_000)
        .take(count)
        .collect()
}
