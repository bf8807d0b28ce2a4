//! `quorate evidence`: proofs of equivocation from the database, each with the verdict of this program: the database's word is
//! not taken for it.

use std::{error::Error, process::ExitCode};

use quorate_store::{Equivocation, EquivocationFault, EquivocationQuery, Statement, Store, StoreConfig};
use serde_json::{Value, json};

use crate::{
    config::evidence::EvidenceConfig,
    output,
    show::{self, Column, Row, rfc3339},
};

/// Reads the proofs that were asked for, verifies each, and prints them, the newest first. Fails if one does not hold.
pub(crate) async fn run(config: EvidenceConfig) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::new(StoreConfig {
        application_name: "quorate evidence".to_owned(),
        ..StoreConfig::new(config.database_url)
    });
    let query = EquivocationQuery {
        observer: config.observer,
        limit: config.limit,
    };
    let proofs = match store.equivocations(query).await {
        Ok(proofs) => proofs,
        Err(error) => return Err(store.explain(error).await.into()),
    };
    let verified: Vec<Verified> = proofs.into_iter().map(Verified::new).collect();
    output::print(&show::format(&verified, config.output)?)?;
    match verified.iter().filter(|proof| proof.fault.is_some()).count() {
        0 => Ok(ExitCode::SUCCESS),
        faulty => Err(format!(
            "{faulty} of {} proofs do not hold: somebody has changed the database",
            verified.len()
        )
        .into()),
    }
}

/// A proof with what verifying it found.
struct Verified {
    /// As it stands in the database.
    proof: Equivocation,
    /// What is wrong with it; `None`: nothing.
    fault: Option<EquivocationFault>,
}

impl Verified {
    fn new(proof: Equivocation) -> Self {
        let fault = proof.verify().err();
        Self { proof, fault }
    }

    /// `verified`, or what is wrong.
    fn verdict(&self) -> String {
        self.fault
            .as_ref()
            .map_or("verified".to_owned(), ToString::to_string)
    }
}

impl Row for Verified {
    const NONE: &'static str = "no proof of equivocation";
    const TABLE: &'static [Column] = &[
        Column::Text("found_at"),
        Column::Text("observer"),
        Column::Text("feed"),
        Column::Text("observed_at"),
        Column::Text("apart"),
        Column::Text("prices"),
        Column::Text("digests"),
        Column::Text("found_by"),
        Column::Text("verdict"),
    ];
    const CSV: &'static [&'static str] = &[
        "found_at",
        "observer",
        "feed",
        "sequence",
        "previous",
        "network",
        "first_observed_at",
        "first_price",
        "first_digest",
        "first_signature",
        "second_observed_at",
        "second_price",
        "second_digest",
        "second_signature",
        "found_by",
        "verdict",
    ];

    fn table(&self, full: bool) -> Vec<String> {
        let proof = &self.proof;
        let (first, second) = (&proof.first, &proof.second);
        let earlier = first.observed_at.min(second.observed_at);
        let apart = first.observed_at.max(second.observed_at).since(earlier);
        let [one, other] = [first, second].map(|statement| show::digest(statement.digest, full));
        vec![
            rfc3339(proof.found_at),
            show::address(proof.observer, full),
            proof.feed.to_string(),
            rfc3339(earlier),
            format!("{apart:?}"),
            format!("{} {}", first.price, second.price),
            format!("{one} {other}"),
            show::address(proof.found_by, full),
            self.verdict(),
        ]
    }

    fn csv(&self) -> Vec<String> {
        let proof = &self.proof;
        let mut cells = vec![
            rfc3339(proof.found_at),
            proof.observer.to_string(),
            proof.feed.to_string(),
            proof.sequence.to_string(),
            proof.previous.to_string(),
            proof.network.clone(),
        ];
        for statement in [&proof.first, &proof.second] {
            cells.extend([
                rfc3339(statement.observed_at),
                statement.price.to_string(),
                statement.digest.to_string(),
                statement.signature.to_string(),
            ]);
        }
        cells.extend([proof.found_by.to_string(), self.verdict()]);
        cells
    }

    /// Everything that a proof has, so that it can be checked elsewhere.
    fn json(&self) -> Value {
        let proof = &self.proof;
        json!({
            "found_at": rfc3339(proof.found_at),
            "found_by": proof.found_by.to_string(),
            "observer": proof.observer.to_string(),
            "feed": proof.feed.as_str(),
            "sequence": proof.sequence,
            "previous": proof.previous.to_string(),
            "network": proof.network,
            "moment_ms": u64::try_from(proof.moment.as_millis()).unwrap_or(u64::MAX),
            "first": object(&proof.first),
            "second": object(&proof.second),
            "verified": self.fault.is_none(),
            "verdict": self.verdict(),
        })
    }
}

fn object(statement: &Statement) -> Value {
    json!({
        "digest": statement.digest.to_string(),
        "price": statement.price.to_string(),
        "observed_at": rfc3339(statement.observed_at),
        "observed_at_ms": statement.observed_at.get(),
        "evidence": show::quotes(&statement.evidence),
        "signature": statement.signature.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_protocol::{
        Digest, Evidence, Link, Network, NodeKey, Observation, Quote, Signature, UnixMillis,
    };

    use super::*;
    use crate::show::Output;

    /// A proof that holds and one that does not.
    fn proofs() -> [Verified; 2] {
        let key = NodeKey::from_bytes([1; 32]).unwrap();
        let network: Network = "local".parse().unwrap();
        let link = Link::after(1041, Digest::new([7; 32]));
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
                link,
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
            sequence: link.sequence(),
            previous: link.previous(),
            network: network.to_string(),
            first: statement("3012.45", 1_769_860_829_235),
            second: statement("998.5", 1_769_860_829_935),
            moment: Duration::from_secs(15),
            found_by: NodeKey::from_bytes([2; 32]).unwrap().address(),
            found_at: UnixMillis::new(1_769_860_830_250),
        };
        let mut damaged = proof.clone();
        damaged.second.price = "998.6".parse().unwrap();
        [proof, damaged].map(Verified::new)
    }

    #[test]
    fn the_verdict_is_this_programs_own() {
        let [holds, does_not] = proofs();
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

    #[test]
    fn every_proof_is_a_line_that_ends_with_the_verdict() {
        let text = show::format(&proofs(), Output::Table { full: false }).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("found_at                  observer    feed     observed_at"));
        assert!(
            lines[1].starts_with(
                "2026-01-31T12:00:30.250Z  0x1a642f0E  ETH/USD  2026-01-31T12:00:29.235Z  700ms  3012.45 998.5"
            ),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with("  verified"), "{}", lines[1]);
        assert!(lines[2].contains("is 998.6, the median"), "{}", lines[2]);
    }

    #[test]
    fn in_full_nothing_is_cut() {
        let text = show::format(&proofs(), Output::Table { full: true }).unwrap();
        assert!(
            text.contains(&proofs()[0].proof.second.digest.to_string()),
            "{text}"
        );
    }

    #[test]
    fn csv_has_a_cell_for_every_name_though_a_verdict_is_prose() {
        let text = show::format(&proofs(), Output::Csv).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), Verified::CSV);
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        for (cells, proof) in read.iter().zip(proofs()) {
            assert_eq!(cells.len(), Verified::CSV.len());
            assert_eq!(cells[15], proof.verdict());
            assert_eq!(cells[12], proof.proof.second.digest.to_string());
        }
    }

    #[test]
    fn both_signatures_can_be_checked_from_the_json() {
        let text = show::format(&proofs(), Output::Json).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 2);
        assert_eq!(
            (&value[0]["verified"], &value[1]["verified"]),
            (&json!(true), &json!(false))
        );
        for half in ["first", "second"] {
            let half = &value[0][half];
            let digest: Digest = half["digest"].as_str().unwrap().parse().unwrap();
            let signature: Signature = half["signature"].as_str().unwrap().parse().unwrap();
            assert_eq!(signature.recover(digest), Ok(proofs()[0].proof.observer));
            assert_eq!(half["evidence"][0]["source"], "kraken");
        }
    }
}
