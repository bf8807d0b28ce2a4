//! The verdicts as people and programs read them. Pure: verdicts in, text out.

use std::{collections::BTreeMap, time::Duration};

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use strum::VariantArray;

use super::grade::{Grade, Verdict};
use crate::secret::mask;

/// A line each, and below what is not good, what to do; then how many of each grade.
pub(super) fn table(verdicts: &[Verdict], took: Duration, has_colours: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["verdict", "check", "of", "measured"]);
    table.add_rows(verdicts.iter().map(|verdict| {
        let cells = [verdict.check.name(), &verdict.subject, &verdict.measured];
        let cells = cells.map(|cell| mask(&one_line(cell)));
        [vec![verdict.grade.name().to_owned()], cells.to_vec()].concat()
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    // A line of the table is a row: nothing is wrapped.
    let table = table.trim_fmt();
    let mut lines = table.lines();
    text.push_str(lines.next().unwrap_or_default());
    text.push('\n');
    for (line, verdict) in lines.zip(verdicts) {
        text.push_str(&coloured(line, verdict.grade, has_colours));
        text.push('\n');
        if let Some(remedy) = &verdict.remedy {
            text.push_str(&format!("             -> {}\n", mask(&one_line(remedy))));
        }
    }
    let mut counts: BTreeMap<Grade, usize> = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.grade).or_default() += 1;
    }
    let counted: Vec<String> = (Grade::VARIANTS.iter())
        .filter_map(|grade| counts.get(grade).map(|count| format!("{count} {}", grade.name())))
        .collect();
    let millis = took.as_millis();
    text.push_str(&format!(
        "\n{}: {} checks in {millis} ms: {}\n",
        worst(verdicts).name(),
        verdicts.len(),
        counted.join(", ")
    ));
    text
}

/// One object.
pub(super) fn json(verdicts: &[Verdict], took: Duration) -> String {
    let worst: &str = worst(verdicts).into();
    let checks: Vec<Value> = verdicts.iter().map(|verdict| masked(verdict.json())).collect();
    let took_ms = took.as_millis() as u64;
    format!(
        "{:#}\n",
        json!({ "verdict": worst, "took_ms": took_ms, "checks": checks })
    )
}

/// The worst of all.
pub(super) fn worst(verdicts: &[Verdict]) -> Grade {
    verdicts
        .iter()
        .map(|verdict| verdict.grade)
        .max()
        .unwrap_or(Grade::NotChecked)
}

/// What a system or a server says may repeat what it was told.
fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => mask(&text).into(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, masked(value)))
            .collect(),
        other => other,
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn coloured(line: &str, grade: Grade, has_colours: bool) -> String {
    let code = match grade {
        Grade::NotChecked => "2",
        Grade::Good => "32",
        Grade::Fair => "36",
        Grade::Poor => "33",
        Grade::Fail => "31;1",
    };
    let name = grade.name();
    match line.strip_prefix(name) {
        Some(rest) if has_colours => format!("\x1b[{code}m{name}\x1b[0m{rest}"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::grade::Check, *};

    fn verdicts() -> Vec<Verdict> {
        vec![
            Verdict::new(Check::Source, "kraken ETH/USD", Grade::Good, "3000 in 80 ms").with("took_ms", 80),
            Verdict::new(
                Check::Database,
                "db",
                Grade::Fail,
                "postgres://u:hunter2@db is\naway",
            )
            .advise("start it"),
        ]
    }

    #[test]
    fn people_read_a_line_each_with_what_to_do_below() {
        let took = Duration::from_millis(812);
        assert_eq!(
            table(&verdicts(), took, false),
            "\
verdict  check     of              measured
good     source    kraken ETH/USD  3000 in 80 ms
fail     database  db              postgres://***@db is away
             -> start it

fail: 2 checks in 812 ms: 1 good, 1 fail
"
        );
        assert!(table(&verdicts(), took, true).contains("\n\x1b[31;1mfail\x1b[0m     database"));
    }

    #[test]
    fn programs_read_one_object() {
        let value: Value = serde_json::from_str(&json(&verdicts(), Duration::ZERO)).unwrap();
        assert_eq!(
            (&value["verdict"], &value["checks"][0]["check"]),
            (&json!("fail"), &json!("source"))
        );
        assert_eq!(value["checks"][0]["values"]["took_ms"], 80);
        assert_eq!(value["checks"][0]["remedy"], Value::Null);
        assert!(!value.to_string().contains("hunter2"));
        assert_eq!(worst(&[]), Grade::NotChecked);
    }
}
