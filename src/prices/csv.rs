//! For spreadsheets and scripts.

use super::{PriceRow, time::rfc3339};

const HEADER: [&str; 9] = [
    "written_at",
    "feed",
    "price",
    "observed_at",
    "observer",
    "signatures",
    "signers",
    "written_by",
    "digest",
];

/// A line of names and a line a record. No cell holds a comma, a quote or a line end, so none needs quoting: they are times,
/// codes, digits and hex, and the signers are separated by blanks.
pub(crate) fn format(rows: &[PriceRow]) -> String {
    let mut text = HEADER.join(",");
    text.push_str("\r\n");
    for row in rows {
        let signers: Vec<String> = row
            .signatures
            .iter()
            .map(|attestation| attestation.signer.to_string())
            .collect();
        let cells = [
            rfc3339(row.written_at),
            row.feed.to_string(),
            row.price.to_string(),
            rfc3339(row.observed_at),
            row.observer.to_string(),
            signers.len().to_string(),
            signers.join(" "),
            row.written_by.to_string(),
            row.digest.to_string(),
        ];
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::row::examples;

    #[test]
    fn every_line_has_a_cell_for_every_name() {
        let rows = examples();
        let text = format(&rows);
        let lines: Vec<Vec<&str>> = text
            .split_terminator("\r\n")
            .map(|line| line.split(',').collect())
            .collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == HEADER.len()), "{text}");
        assert_eq!(lines[1][..3], ["2026-01-31T12:00:30.250Z", "ETH/USD", "3012.45"]);
        assert_eq!(lines[2][5], "2");
        assert_eq!(lines[2][6].split(' ').count(), 2);
        assert_eq!(lines[2][8], rows[1].digest.to_string());
    }
}
