//! For programs: everything that a record has. Prices are strings: a JSON number would be read as a float.

use serde_json::{Value, json};

use super::{PriceRow, time::rfc3339};

/// An array of objects, indented.
pub(crate) fn format(rows: &[PriceRow]) -> String {
    let rows: Vec<Value> = rows.iter().map(object).collect();
    format!("{:#}\n", Value::Array(rows))
}

fn object(row: &PriceRow) -> Value {
    let signatures: Vec<Value> = row
        .signatures
        .iter()
        .map(|attestation| {
            json!({ "signer": attestation.signer.to_string(), "signature": attestation.signature.to_string() })
        })
        .collect();
    json!({
        "written_at": rfc3339(row.written_at),
        "feed": row.feed.as_str(),
        "price": row.price.to_string(),
        "observed_at": rfc3339(row.observed_at),
        "observed_at_ms": row.observed_at.get(),
        "observer": row.observer.to_string(),
        "written_by": row.written_by.to_string(),
        "digest": row.digest.to_string(),
        "signatures": signatures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::row::examples;

    #[test]
    fn every_record_with_all_its_signatures() {
        let rows = examples();
        let value: Value = serde_json::from_str(&format(&rows)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 2);
        let first = &value[0];
        assert_eq!(first["price"], "3012.45");
        assert_eq!(first["written_at"], "2026-01-31T12:00:30.250Z");
        assert_eq!(first["observed_at_ms"], rows[0].observed_at.get());
        assert_eq!(first["digest"], rows[0].digest.to_string());
        let signatures = first["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), 3);
        let signature: quorate_protocol::Signature =
            signatures[2]["signature"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            signature.recover(rows[0].digest),
            Ok(rows[0].signatures[2].signer)
        );
    }

    #[test]
    fn nothing_is_an_empty_array() {
        assert_eq!(format(&[]), "[]\n");
    }
}
