//! `quorate rounds`: what happened in a node's last rounds, asked over its API.

use std::{error::Error, time::Duration};

use awc::Client;
use serde_json::{Value, json};

use crate::{
    config::rounds::RoundsConfig,
    http::rounds::{NodeBody, RoundBody, RoundsAnswer, StatementBody},
    output,
    show::{self, Column, Row},
};

/// A node answers within milliseconds; one that does not for so long is no help to anybody.
const PATIENCE: Duration = Duration::from_secs(5);
/// A hundred rounds of a large network, each with 32 statements.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Asks, and prints.
pub(crate) async fn run(config: RoundsConfig) -> Result<(), Box<dyn Error>> {
    let base = config.api.trim_end_matches('/');
    let feed = config
        .feed
        .map_or_else(String::new, |feed| format!("&feed={feed}"));
    let url = format!("{base}/api/v1/rounds?limit={}{feed}", config.limit);
    let client = Client::builder().timeout(PATIENCE).finish();
    let mut answer = client.get(&url).send().await.map_err(|error| {
        format!("--api: {base} does not answer ({error}): is it the API of a running node?")
    })?;
    let status = answer.status();
    let body = answer.body().limit(MOST_BYTES).await?;
    if !status.is_success() {
        return Err(format!("{url}: {}", in_words(&body, status.as_u16())).into());
    }
    let answer: RoundsAnswer = serde_json::from_slice(&body)
        .map_err(|error| format!("{url}: the answer is none of a node of this version ({error})"))?;
    output::print(&show::format(&answer.rounds, config.output)?)?;
    Ok(())
}

/// What the node says is wrong.
fn in_words(body: &[u8], status: u16) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => format!("HTTP status {status}"),
    }
}

/// A node's name, or its address as short as it is still known by.
pub(crate) fn name(node: &NodeBody) -> String {
    let short = || node.address.get(..10).unwrap_or(&node.address).to_owned();
    node.name.clone().unwrap_or_else(short)
}

/// Refusals of all statements: `node-3 price_deviates`.
pub(crate) fn refusals(round: &RoundBody) -> Vec<String> {
    let all = round.statements.iter().flat_map(|statement| &statement.refusals);
    let mut all: Vec<String> = all
        .map(|refusal| format!("{} {}", name(&refusal.node), refusal.reason))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The statement that became the record, or the one nearest to it.
pub(crate) fn leading(round: &RoundBody) -> Option<&StatementBody> {
    let digest = round.record.as_ref().map(|record| &record.digest);
    let recorded = round
        .statements
        .iter()
        .find(|statement| Some(&statement.digest) == digest);
    recorded.or_else(|| {
        round
            .statements
            .iter()
            .max_by_key(|statement| statement.signers.len())
    })
}

impl Row for RoundBody {
    const NONE: &'static str = "no rounds";
    const TABLE: &'static [Column] = &[
        Column::Number("record"),
        Column::Text("began"),
        Column::Number("stated"),
        Column::Text("signed"),
        Column::Text("refused"),
        Column::Number("quorate"),
        Column::Text("written"),
        Column::Number("late"),
        Column::Text("why not earlier"),
    ];
    const CSV: &'static [&'static str] = &[
        "record",
        "began_at",
        "statements",
        "signers",
        "refusals",
        "quorate_after_ms",
        "written_by",
        "written_after_ms",
        "late_ms",
        "missed_windows",
        "reason",
    ];

    fn table(&self, _: bool) -> Vec<String> {
        let dash = || "-".to_owned();
        let ms = |ms: u64| format!("{ms} ms");
        let joined = |list: Vec<String>| if list.is_empty() { dash() } else { list.join(", ") };
        let signers = leading(self).map(|statement| {
            let names = statement.signers.iter().map(|signer| name(&signer.node));
            names.collect::<Vec<_>>()
        });
        let record = self.record.as_ref();
        vec![
            self.sequence.to_string(),
            self.began_at.clone().unwrap_or_else(dash),
            self.statements.len().to_string(),
            joined(signers.unwrap_or_default()),
            joined(refusals(self)),
            self.quorum
                .as_ref()
                .map_or_else(dash, |quorum| ms(quorum.after_ms)),
            record.map_or_else(
                || "under way".to_owned(),
                |record| format!("by {}", name(&record.writer)),
            ),
            record.and_then(|record| record.late_ms).map_or_else(dash, ms),
            self.reason.clone().unwrap_or_else(dash),
        ]
    }

    fn csv(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        let record = self.record.as_ref();
        let signers = leading(self).map(|statement| {
            let names = statement.signers.iter().map(|signer| name(&signer.node));
            names.collect::<Vec<_>>().join(" ")
        });
        vec![
            self.sequence.to_string(),
            self.began_at.clone().unwrap_or_default(),
            self.statements.len().to_string(),
            signers.unwrap_or_default(),
            refusals(self).join("; "),
            number(self.quorum.as_ref().map(|quorum| quorum.after_ms)),
            record.map(|record| name(&record.writer)).unwrap_or_default(),
            number(record.map(|record| record.after_ms)),
            number(record.and_then(|record| record.late_ms)),
            self.missed_windows.to_string(),
            self.reason.clone().unwrap_or_default(),
        ]
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::Output;

    fn round() -> RoundBody {
        serde_json::from_value(json!({
            "sequence": 7,
            "began_at": "2026-01-31T12:00:30.250Z",
            "statements": [{
                "digest": "0xab",
                "observer": {"address": "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1", "name": "node-1"},
                "price": "3012.45", "observed_at": "2026-01-31T12:00:30.200Z", "after_ms": 0,
                "signers": [
                    {"address": "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1", "name": "node-1", "after_ms": 0},
                    {"address": "0x5050A4F4b3f9338C3472dcC01A87C76A144b3c9c", "name": null, "after_ms": 90}],
                "refusals": [{"address": "0x3325a784", "name": "node-3", "reason": "price_deviates", "abstains": false}],
            }],
            "quorum": {"digest": "0xab", "after_ms": 90, "signatures": 2, "required": 2},
            "record": null, "missed_windows": 1, "reason": "the database did not answer: Connection refused",
        }))
        .unwrap()
    }

    #[test]
    fn a_round_is_a_line_that_says_who_did_what_and_why_not_earlier() {
        assert_eq!(
            show::format(&[round()], Output::Table { full: false }).unwrap(),
            "\
record  began                     stated  signed              refused                quorate  written    late  why not earlier
     7  2026-01-31T12:00:30.250Z       1  node-1, 0x5050A4F4  node-3 price_deviates    90 ms  under way     -  the database did not \
             answer: Connection refused
"
        );
        let csv = show::format(&[round()], Output::Csv).unwrap();
        assert!(
            csv.ends_with(
                "\r\n7,2026-01-31T12:00:30.250Z,1,node-1 0x5050A4F4,node-3 price_deviates,90,,,,1,the database did not \
                 answer: Connection refused\r\n"
            ),
            "{csv}"
        );
    }

    #[test]
    fn what_the_node_says_is_wrong_is_said_in_its_words() {
        assert_eq!(
            in_words(br#"{"detail":"feed: BTC/USD is not priced by this node"}"#, 404),
            "feed: BTC/USD is not priced by this node"
        );
        assert_eq!(in_words(b"<html>", 502), "HTTP status 502");
    }
}
