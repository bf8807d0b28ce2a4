//! One proof as it is shown.

use quorate_store::{Equivocation, EquivocationFault};

/// One proof as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvidenceRow {
    /// As it stands in the database.
    pub(crate) proof: Equivocation,
    /// What is wrong with it; `None`: nothing.
    pub(crate) fault: Option<EquivocationFault>,
}

impl EvidenceRow {
    /// Verifies the proof.
    pub(crate) fn new(proof: Equivocation) -> Self {
        let fault = proof.verify().err();
        Self { proof, fault }
    }

    /// `verified`, or what is wrong.
    pub(crate) fn verdict(&self) -> String {
        self.fault
            .as_ref()
            .map_or("verified".to_owned(), ToString::to_string)
    }
}

/// A proof that holds and one that does not, for the tests of the formats.
#[cfg(test)]
pub(crate) fn examples() -> Vec<EvidenceRow> {
    use std::time::Duration;

    use quorate_protocol::{Evidence, Network, NodeKey, Observation, Quote, UnixMillis};
    use quorate_store::Statement;

    let key = NodeKey::from_bytes([1; 32]).unwrap();
    let network: Network = "local".parse().unwrap();
    let statement = |price: &str, millis| {
        let quote = Quote {
            source: "kraken".parse().unwrap(),
            price: price.parse().unwrap(),
            at: UnixMillis::new(1_769_860_829_000),
        };
        let evidence = Evidence::new(vec![quote]).unwrap();
        let observed_at = UnixMillis::new(millis);
        let observation = Observation::new(
            "ETH/USD".parse().unwrap(),
            observed_at,
            key.address(),
            evidence.clone(),
        );
        let digest = observation.digest(&network);
        Statement {
            digest,
            observed_at,
            price: observation.price(),
            evidence,
            signature: key.sign(digest),
        }
    };
    let proof = Equivocation {
        observer: key.address(),
        feed: "ETH/USD".parse().unwrap(),
        network: network.to_string(),
        first: statement("3012.45", 1_769_860_829_235),
        second: statement("998.5", 1_769_860_829_935),
        moment: Duration::from_secs(15),
        found_by: NodeKey::from_bytes([2; 32]).unwrap().address(),
        found_at: UnixMillis::new(1_769_860_830_250),
    };
    let mut damaged = proof.clone();
    damaged.second.price = "998.6".parse().unwrap();
    vec![EvidenceRow::new(proof), EvidenceRow::new(damaged)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_this_programs_own() {
        let [holds, does_not] = &examples()[..] else {
            panic!("two examples")
        };
        assert_eq!(
            (holds.fault.is_none(), holds.verdict().as_str()),
            (true, "verified")
        );
        assert!(
            does_not
                .verdict()
                .contains("is 998.6, the median of its quotes is 998.5"),
            "{}",
            does_not.verdict()
        );
    }
}
