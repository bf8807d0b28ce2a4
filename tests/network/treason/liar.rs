//! A member that lies in every way that its key allows.

use std::collections::BTreeSet;

use quorate_protocol::{
    Address, Attestation, Committee, Digest, Evidence, Feed, Link, Members, Message, Network as Name,
    NodeKey, Observation, Price, QuorumRule, Quote, UnixMillis, VerifiedReport, Written,
};

use crate::harness::{Hostile, NETWORK_NAME, Network, WINDOW, dial, meet, unix_now};

/// A liar's price: 5 % above the exchange's first, which has not gone far.
const FALSE_PRICE: &str = "3150";

pub(super) struct Liar {
    key: NodeKey,
    peer: Hostile,
    /// The nodes that do not lie.
    honest: BTreeSet<Address>,
    /// Signatures that make a certificate.
    required: usize,
    /// Whether it makes two statements for a window.
    pub(super) contradicts: bool,
    /// When the honest observation was made that it last spoke upon.
    heard_of: UnixMillis,
    announced: BTreeSet<Digest>,
    signed: BTreeSet<Digest>,
    /// What it has stated, for its accomplices.
    stated: Vec<Vec<u8>>,
    /// What its accomplices have stated: nobody else would pass it on in time.
    told: Vec<Vec<u8>>,
}

fn name() -> Name {
    NETWORK_NAME.parse().unwrap()
}

impl Liar {
    /// Connects to all nodes of the network.
    pub(super) fn join(network: &Network, key: &NodeKey, required: usize) -> Self {
        let peer = meet(&network.nodes[0], key);
        for node in &network.nodes[1..] {
            dial(&peer, node);
        }
        let (announced, signed) = (BTreeSet::new(), BTreeSet::new());
        Self {
            key: key.clone(),
            peer,
            honest: network.addresses(),
            required,
            announced,
            signed,
            stated: vec![],
            told: vec![],
            contradicts: false,
            heard_of: unix_now(),
        }
    }

    /// Signs all that it hears, announces every certificate as written by itself, and states a price that is off by 5 % when the
    /// others state theirs.
    pub(super) fn react(&mut self) {
        let told = std::mem::take(&mut self.told);
        for bytes in self.peer.heard_since().into_iter().chain(told) {
            let Ok(Message::Report(report)) = Message::decode(&bytes, &name()) else {
                continue;
            };
            let Ok(mut report) = report.verify(&name(), |_, _| false) else {
                continue;
            };
            let (digest, signer) = (report.digest(), self.key.address());
            if self.signed.insert(digest) {
                let observation = report.observation();
                let is_honest = self.honest.contains(&observation.observer());
                // A window has one moment at which all state their prices: the first that is stated for it tells.
                let since = observation
                    .observed_at()
                    .get()
                    .saturating_sub(self.heard_of.get());
                if is_honest && u128::from(since) > WINDOW.as_millis() / 2 {
                    self.heard_of = observation.observed_at();
                    self.state(observation.link());
                }
                let signature = self.key.sign(digest);
                let _ = report.add(Attestation { signer, signature });
                self.say(&Message::Report(report.to_report()));
            }
            let committee = Committee {
                members: Members::Open,
                rule: QuorumRule::at_least(self.required),
            };
            if let Some(certificate) = report.certify(&committee, 0)
                && self.announced.insert(digest)
            {
                let news = Written::sign(&certificate, unix_now(), &name(), &self.key);
                self.say(&Message::Written(news));
            }
        }
    }

    /// Tells another liar what this one has stated since it was last asked to.
    pub(super) fn tell(&mut self, accomplice: &mut Self) {
        accomplice.told.append(&mut self.stated);
    }

    fn state(&mut self, link: Link) {
        let prices: &[&str] = if self.contradicts {
            &[FALSE_PRICE, "3149"]
        } else {
            &[FALSE_PRICE]
        };
        for price in prices {
            let statement = Message::Report(self.statement(link, price).to_report());
            self.say(&statement);
            self.stated.push(statement.encode(&name()));
        }
    }

    fn statement(&self, link: Link, price: &str) -> VerifiedReport {
        let (at, price): (_, Price) = (unix_now(), price.parse().unwrap());
        let quote = Quote {
            source: "coinbase".parse().unwrap(),
            price,
            at,
        };
        let feed: Feed = "ETH/USD".parse().unwrap();
        let evidence = Evidence::new(vec![quote]).unwrap();
        let observation = Observation::new(feed, link, at, self.key.address(), evidence);
        VerifiedReport::sign_own(observation, &name(), &self.key).unwrap()
    }

    fn say(&self, message: &Message) {
        self.peer.say(message.encode(&name()));
    }
}
