//! For people.

use super::EvidenceRow;
use crate::prices::rfc3339;

const COLUMNS: usize = 9;
const HEADER: [&str; COLUMNS] = [
    "found_at",
    "observer",
    "feed",
    "observed_at",
    "apart",
    "prices",
    "digests",
    "found_by",
    "verdict",
];

/// Columns wide enough for their widest cell, two blanks apart.
pub(crate) fn format(rows: &[EvidenceRow], full: bool) -> String {
    if rows.is_empty() {
        return "no proof of equivocation\n".to_owned();
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
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn cells(row: &EvidenceRow, full: bool) -> [String; COLUMNS] {
    let proof = &row.proof;
    let (first, second) = (&proof.first, &proof.second);
    let earlier = first.observed_at.min(second.observed_at);
    let apart = first.observed_at.max(second.observed_at).since(earlier);
    let address = |address: quorate_protocol::Address| {
        if full {
            address.to_string()
        } else {
            address.short()
        }
    };
    let digest = |digest: quorate_protocol::Digest| {
        if full { digest.to_string() } else { digest.short() }
    };
    [
        rfc3339(proof.found_at),
        address(proof.observer),
        proof.feed.to_string(),
        rfc3339(earlier),
        format!("{apart:?}"),
        format!("{} {}", first.price, second.price),
        format!("{} {}", digest(first.digest), digest(second.digest)),
        address(proof.found_by),
        row.verdict(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::row::examples;

    #[test]
    fn every_proof_is_a_line_that_ends_with_the_verdict() {
        let text = format(&examples(), false);
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
        let text = format(&examples(), true);
        assert!(
            text.contains(&examples()[0].proof.second.digest.to_string()),
            "{text}"
        );
    }

    #[test]
    fn nothing_to_show_is_said() {
        assert_eq!(format(&[], false), "no proof of equivocation\n");
    }
}
