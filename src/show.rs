//! Rows as people and programs read them: a table, JSON or CSV. What stands in a row, each command says in its own file. Pure:
//! rows in, text out.

use std::error::Error;

use chrono::{DateTime, SecondsFormat};
use comfy_table::{CellAlignment, Table, presets};
use csv::{Terminator, WriterBuilder};
use quorate_protocol::{Address, Digest, Evidence, UnixMillis};
use serde_json::{Value, json};

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Aligned columns.
    Table {
        /// Whole digests and addresses instead of their beginnings.
        full: bool,
    },
    /// An array of objects, with everything that a row has.
    Json,
    /// A line of names, then a line a row (RFC 4180).
    Csv,
}

/// A column of a table, and where its cells line up.
pub(crate) enum Column {
    /// At their beginning.
    Text(&'static str),
    /// At their end, as digits should.
    Number(&'static str),
}

/// What can be shown.
pub(crate) trait Row {
    /// What a table says when there is no row.
    const NONE: &'static str;
    /// The columns of the table.
    const TABLE: &'static [Column];
    /// The columns of CSV.
    const CSV: &'static [&'static str];

    /// A cell for each column of the table; with `full`, digests and addresses are whole.
    fn table(&self, full: bool) -> Vec<String>;

    /// A cell for each column of CSV.
    fn csv(&self) -> Vec<String>;

    /// The object for programs. Prices are strings in it: a JSON number would be read as a float.
    fn json(&self) -> Value;
}

/// The rows as text that ends with a line end.
///
/// # Errors
/// A row with another number of cells than there are columns: a defect of its [`Row`].
pub(crate) fn format<R: Row>(rows: &[R], output: Output) -> Result<String, Box<dyn Error>> {
    match output {
        Output::Table { full } => Ok(table(rows, full)),
        Output::Json => Ok(format!("{:#}\n", rows.iter().map(Row::json).collect::<Value>())),
        Output::Csv => csv(rows),
    }
}

/// The quotes behind a price, for programs.
pub(crate) fn quotes(evidence: &Evidence) -> Value {
    let quotes = evidence.quotes().iter();
    quotes
        .map(|quote| {
            json!({ "source": quote.source.as_str(), "price": quote.price.to_string(), "at": quote.at.get() })
        })
        .collect()
}

/// Columns two blanks apart, without frames, so that `awk` and `cut` can take a table too.
fn table<R: Row>(rows: &[R], full: bool) -> String {
    if rows.is_empty() {
        return format!("{}\n", R::NONE);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(R::TABLE.iter().map(|column| match column {
        Column::Text(name) | Column::Number(name) => *name,
    }));
    table.add_rows(rows.iter().map(|row| row.table(full)));
    for (column, described) in table.column_iter_mut().zip(R::TABLE) {
        column.set_padding((0, 2));
        if matches!(described, Column::Number(_)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

fn csv<R: Row>(rows: &[R]) -> Result<String, Box<dyn Error>> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(vec![]);
    writer.write_record(R::CSV)?;
    for row in rows {
        writer.write_record(row.csv())?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// An address, or its beginning.
pub(crate) fn address(address: Address, full: bool) -> String {
    if full {
        address.to_string()
    } else {
        address.short()
    }
}

/// A digest, or its beginning.
pub(crate) fn digest(digest: Digest, full: bool) -> String {
    if full { digest.to_string() } else { digest.short() }
}

/// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:30.250Z`.
pub(crate) fn rfc3339(time: UnixMillis) -> String {
    let date = i64::try_from(time.get())
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    // Beyond the calendar's end nothing but the number itself can be said.
    date.map_or_else(
        || time.to_string(),
        |date| date.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Pair(&'static str, u32);

    impl Row for Pair {
        const NONE: &'static str = "no pairs";
        const TABLE: &'static [Column] = &[Column::Text("name"), Column::Number("count")];
        const CSV: &'static [&'static str] = &["name", "count"];

        fn table(&self, _: bool) -> Vec<String> {
            self.csv()
        }

        fn csv(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_string()]
        }

        fn json(&self) -> Value {
            json!({ "name": self.0, "count": self.1 })
        }
    }

    const PAIRS: [Pair; 2] = [Pair("a, \"b\"", 1), Pair("c", 1_000_000)];

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        assert_eq!(
            format(&PAIRS, Output::Table { full: false }).unwrap(),
            "name      count\na, \"b\"        1\nc       1000000\n"
        );
    }

    #[test]
    fn csv_quotes_what_would_be_read_otherwise_and_always_has_its_header() {
        assert_eq!(
            format(&PAIRS, Output::Csv).unwrap(),
            "name,count\r\n\"a, \"\"b\"\"\",1\r\nc,1000000\r\n"
        );
        assert_eq!(format::<Pair>(&[], Output::Csv).unwrap(), "name,count\r\n");
    }

    #[test]
    fn nothing_to_show_is_said_to_people_and_is_an_empty_array_to_programs() {
        assert_eq!(
            format::<Pair>(&[], Output::Table { full: true }).unwrap(),
            "no pairs\n"
        );
        assert_eq!(format::<Pair>(&[], Output::Json).unwrap(), "[]\n");
    }

    #[test]
    fn milliseconds_are_kept_and_nothing_panics() {
        assert_eq!(
            rfc3339(UnixMillis::new(1_769_860_830_250)),
            "2026-01-31T12:00:30.250Z"
        );
        assert_eq!(rfc3339(UnixMillis::new(u64::MAX)), u64::MAX.to_string());
    }
}
