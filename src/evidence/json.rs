//! For programs: everything that a proof has, so that it can be checked elsewhere. Prices are strings: a JSON number would
//! be read as a float.

use quorate_store::Statement;
use serde_json::{Value, json};

use super::EvidenceRow;
use crate::prices::rfc3339;

/// An array of objects, indented.
pub(crate) fn format(rows: &[EvidenceRow]) -> String {
    let rows: Vec<Value> = rows.iter().map(object).collect();
    format!("{:#}\n", Value::Array(rows))
}

fn object(row: &EvidenceRow) -> Value {
    let proof = &row.proof;
    json!({
        "found_at": rfc3339(proof.found_at),
        "found_by": proof.found_by.to_string(),
        "observer": proof.observer.to_string(),
        "feed": proof.feed.as_str(),
        "network": proof.network,
        "moment_ms": u64::try_from(proof.moment.as_millis()).unwrap_or(u64::MAX),
        "first": statement(&proof.first),
        "second": statement(&proof.second),
        "verified": row.fault.is_none(),
        "verdict": row.verdict(),
    })
}

fn statement(statement: &Statement) -> Value {
    let quotes: Vec<Value> = statement
        .evidence
        .quotes()
        .iter()
        .map(|quote| {
            json!({ "source": quote.source.as_str(), "price": quote.price.to_string(), "at": quote.at.get() })
        })
        .collect();
    json!({
        "digest": statement.digest.to_string(),
        "price": statement.price.to_string(),
        "observed_at": rfc3339(statement.observed_at),
        "observed_at_ms": statement.observed_at.get(),
        "evidence": quotes,
        "signature": statement.signature.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{Digest, Signature};

    use super::*;
    use crate::evidence::row::examples;

    #[test]
    fn both_signatures_can_be_checked_from_it() {
        let value: Value = serde_json::from_str(&format(&examples())).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 2);
        assert_eq!(
            (&value[0]["verified"], &value[1]["verified"]),
            (&json!(true), &json!(false))
        );
        for half in ["first", "second"] {
            let half = &value[0][half];
            let digest: Digest = half["digest"].as_str().unwrap().parse().unwrap();
            let signature: Signature = half["signature"].as_str().unwrap().parse().unwrap();
            assert_eq!(signature.recover(digest), Ok(examples()[0].proof.observer));
            assert_eq!(half["evidence"][0]["source"], "kraken");
        }
    }

    #[test]
    fn nothing_is_an_empty_array() {
        assert_eq!(format(&[]), "[]\n");
    }
}
