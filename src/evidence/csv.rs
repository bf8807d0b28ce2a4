//! For spreadsheets and scripts.

use super::EvidenceRow;
use crate::prices::rfc3339;

const HEADER: [&str; 14] = [
    "found_at",
    "observer",
    "feed",
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

/// A line of names and a line a proof (RFC 4180). Only the verdict is prose and has to be quoted.
pub(crate) fn format(rows: &[EvidenceRow]) -> String {
    let mut text = HEADER.join(",");
    text.push_str("\r\n");
    for row in rows {
        let proof = &row.proof;
        let mut cells = vec![
            rfc3339(proof.found_at),
            proof.observer.to_string(),
            proof.feed.to_string(),
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
        cells.extend([proof.found_by.to_string(), quoted(&row.verdict())]);
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::row::examples;

    #[test]
    fn every_line_has_a_cell_for_every_name() {
        let text = format(&examples());
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3);
        for line in &lines[1..] {
            let (cells, verdict) = line.split_once(",\"").unwrap();
            assert_eq!(cells.split(',').count(), HEADER.len() - 1);
            assert!(verdict.ends_with('"'), "{verdict}");
        }
        assert!(lines[1].ends_with(",\"verified\""), "{text}");
    }
}
