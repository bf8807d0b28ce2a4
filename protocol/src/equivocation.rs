//! Two different statements by one observer for one record: a proof that needs nothing but itself.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    address::Address,
    names::Network,
    report::{Report, VerifiedReport},
    signing::VerifyError,
};

/// How far apart two observations of one observer for the same record are that do not contradict each other: half a write
/// window, and never more than 15 s. For so long an observation can be vouched for, so two that are closer could both be signed
/// at one moment. An honest node states nothing else for the same record within this time.
pub fn one_window(write_interval: Duration) -> Duration {
    (write_interval / 2).min(Duration::from_secs(15))
}

/// A claimed equivocation, as it came from the network. Proves nothing yet.
///
/// On the wire: `[report, report]`, each with the observer's attestation only, the lower digest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Equivocation(Box<(Report, Report)>);

/// Why a claim proves nothing: whoever sends it broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// One of the two was not signed by its observer.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// The two do not contradict each other, or stand in the wrong order.
    #[error("the two observations do not contradict each other")]
    NoContradiction,
}

impl Equivocation {
    /// The observer, whom the claim is about.
    pub fn observer(&self) -> Address {
        self.0.0.observation().observer()
    }

    /// The two reports, the lower digest first.
    pub fn reports(&self) -> (&Report, &Report) {
        (&self.0.0, &self.0.1)
    }

    /// Checks both signatures (about 40 µs each), and that the two contradict each other: they follow the same record and are less
    /// than `one_window` apart.
    pub fn verify(
        self,
        network: &Network,
        one_window: Duration,
    ) -> Result<ProvenEquivocation, EquivocationError> {
        let verify = |report: Report| report.verify(network, |_, _| false);
        let (first, second) = (verify(self.0.0)?, verify(self.0.1)?);
        if first.digest() < second.digest() && contradict(&first, &second, one_window) {
            Ok(ProvenEquivocation { first, second })
        } else {
            Err(EquivocationError::NoContradiction)
        }
    }
}

impl<'de> Deserialize<'de> for Equivocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (first, second) = <(Report, Report)>::deserialize(deserializer)?;
        // The decoder of reports has seen to it that the one signer is the observer.
        if [&first, &second]
            .iter()
            .any(|report| report.attestations().len() != 1)
        {
            return Err(D::Error::custom("more than the observer's own signature"));
        }
        Ok(Self(Box::new((first, second))))
    }
}

fn contradict(one: &VerifiedReport, other: &VerifiedReport, one_window: Duration) -> bool {
    let (a, b) = (one.observation(), other.observation());
    let is_one_window = a.observed_at().apart(b.observed_at()) < one_window;
    let are_rivals = a.observer() == b.observer() && a.feed() == b.feed() && a.link() == b.link();
    are_rivals && one.digest() != other.digest() && is_one_window
}

/// Two verified statements that contradict each other: their observer signed both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenEquivocation {
    first: VerifiedReport,
    second: VerifiedReport,
}

impl ProvenEquivocation {
    /// The proof, if these two contradict each other. The same two give the same proof in either order.
    pub fn of(one: &VerifiedReport, other: &VerifiedReport, one_window: Duration) -> Option<Self> {
        contradict(one, other, one_window).then(|| {
            let (first, second) = if one.digest() < other.digest() {
                (one, other)
            } else {
                (other, one)
            };
            Self {
                first: first.by_its_observer(),
                second: second.by_its_observer(),
            }
        })
    }

    /// Who made both.
    pub fn observer(&self) -> Address {
        self.first.observation().observer()
    }

    /// The two statements, each with its observer's signature only; the lower digest first.
    pub fn statements(&self) -> (&VerifiedReport, &VerifiedReport) {
        (&self.first, &self.second)
    }

    /// As it travels.
    pub fn to_claim(&self) -> Equivocation {
        Equivocation(Box::new((self.first.to_report(), self.second.to_report())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{Evidence, Quote},
        link::Link,
        message::Message,
        observation::Observation,
        signing::NodeKey,
        time::UnixMillis,
    };

    const NOON: u64 = 1_700_000_000_000;
    const WINDOW: Duration = Duration::from_secs(15);

    fn network() -> Network {
        "local".parse().unwrap()
    }

    fn statement(by: u8, price: &str, ms: u64) -> VerifiedReport {
        statement_for(Link::FIRST, by, price, ms)
    }

    fn statement_for(link: Link, by: u8, price: &str, ms: u64) -> VerifiedReport {
        let key = NodeKey::from_bytes([by; 32]).unwrap();
        let at = UnixMillis::new(NOON + ms);
        let quote = Quote {
            source: "coinbase".parse().unwrap(),
            price: price.parse().unwrap(),
            at,
        };
        let evidence = Evidence::new(vec![quote]).unwrap();
        let feed = "ETH/USD".parse().unwrap();
        let observation = Observation::new(feed, link, at, key.address(), evidence);
        VerifiedReport::sign_own(observation, &network(), &key).unwrap()
    }

    #[test]
    fn two_statements_within_one_window_are_a_proof_in_either_order() {
        let (one, other) = (statement(1, "3000", 0), statement(1, "3001", 14_999));
        let proof = ProvenEquivocation::of(&one, &other, WINDOW).unwrap();
        assert_eq!(
            Some(&proof),
            ProvenEquivocation::of(&other, &one, WINDOW).as_ref()
        );
        assert_eq!(proof.to_claim().verify(&network(), WINDOW), Ok(proof));
    }

    #[test]
    fn what_is_no_contradiction_is_no_proof() {
        let one = statement(1, "3000", 0);
        for (why, other) in [
            ("the same statement", statement(1, "3000", 0)),
            ("another window", statement(1, "3001", 15_000)),
            ("another observer", statement(2, "3001", 0)),
            (
                "another record",
                statement_for(Link::after(1, one.digest()), 1, "3001", 0),
            ),
        ] {
            assert_eq!(ProvenEquivocation::of(&one, &other, WINDOW), None, "{why}");
            let claim = Equivocation(Box::new((one.to_report(), other.to_report())));
            assert_eq!(
                claim.verify(&network(), WINDOW),
                Err(EquivocationError::NoContradiction),
                "{why}"
            );
        }
    }

    #[test]
    fn a_statement_that_its_observer_did_not_sign_proves_nothing_against_it() {
        let one = statement(1, "3000", 0);
        let bytes = Message::Report(statement(1, "3001", 0).to_report()).encode(&network());
        let mut forged = bytes.clone();
        let last = forged.len() - 10;
        forged[last] ^= 1;
        let Ok(Message::Report(other)) = Message::decode(&forged, &network()) else {
            panic!("it has the form")
        };
        let claim = Equivocation(Box::new((one.to_report(), other)));
        assert!(matches!(
            claim.verify(&network(), WINDOW),
            Err(EquivocationError::Signature(_))
        ));
    }

    #[test]
    fn half_a_window_and_never_more_than_fifteen_seconds() {
        assert_eq!(one_window(Duration::from_secs(2)), Duration::from_secs(1));
        assert_eq!(one_window(Duration::from_secs(30)), Duration::from_secs(15));
        assert_eq!(one_window(Duration::from_hours(1)), Duration::from_secs(15));
    }
}
