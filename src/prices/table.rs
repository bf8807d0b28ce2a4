//! For people.

use super::{PriceRow, time::rfc3339};

const COLUMNS: usize = 7;
const HEADER: [&str; COLUMNS] = [
    "written_at",
    "feed",
    "price",
    "observed_at",
    "signatures",
    "written_by",
    "digest",
];
/// Digits line up at their end; everything else at its beginning.
const PRICE: usize = 2;

/// Columns wide enough for their widest cell, two blanks apart.
pub(crate) fn format(rows: &[PriceRow], full: bool) -> String {
    if rows.is_empty() {
        return "no records\n".to_owned();
    }
    let mut lines = vec![HEADER.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row, full)));
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
    lines.iter().map(|line| aligned(line, &widths)).collect()
}

fn aligned(line: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let cells: Vec<String> = line
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, width))| {
            if column == PRICE {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        })
        .collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn cells(row: &PriceRow, full: bool) -> [String; COLUMNS] {
    let signers: Vec<String> = row
        .signatures
        .iter()
        .map(|attestation| {
            if full {
                attestation.signer.to_string()
            } else {
                attestation.signer.short()
            }
        })
        .collect();
    [
        rfc3339(row.written_at),
        row.feed.to_string(),
        row.price.to_string(),
        rfc3339(row.observed_at),
        format!("{} {}", signers.len(), signers.join(" ")),
        if full {
            row.written_by.to_string()
        } else {
            row.written_by.short()
        },
        if full {
            row.digest.to_string()
        } else {
            row.digest.short()
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::row::examples;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        assert_eq!(
            format(&examples(), false),
            "\
written_at                feed       price  observed_at               signatures                          written_by  digest
2026-01-31T12:00:30.250Z  ETH/USD  3012.45  2026-01-31T12:00:29.235Z  3 0x1a642f0E 0x5050A4F4 0x3325a784  0x1a642f0E  0xabababab
2026-01-31T12:00:00.248Z  ETH/USD    998.5  2026-01-31T11:59:59.233Z  2 0x5050A4F4 0x3325a784             0x1a642f0E  0xabababab
"
        );
    }

    #[test]
    fn in_full_nothing_is_cut() {
        let text = format(&examples(), true);
        assert!(text.contains(&examples()[0].digest.to_string()), "{text}");
        assert!(
            text.contains(&examples()[1].signatures[1].signer.to_string()),
            "{text}"
        );
    }

    #[test]
    fn nothing_to_show_is_said() {
        assert_eq!(format(&[], false), "no records\n");
    }
}
