//! Showing records: to people as a table, to programs as JSON or CSV. The formats are pure: rows in, text out.

mod csv;
mod json;
mod row;
mod show;
mod table;
mod time;

pub(crate) use row::PriceRow;
pub(crate) use show::run;
pub(crate) use time::rfc3339;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Aligned columns.
    Table {
        /// Whole digests and addresses instead of their beginnings.
        full: bool,
    },
    /// An array of objects, with all signatures.
    Json,
    /// A line of names, then a line a record (RFC 4180).
    Csv,
}

/// The rows as text that ends with a line end.
pub(crate) fn format(rows: &[PriceRow], output: Output) -> String {
    match output {
        Output::Table { full } => table::format(rows, full),
        Output::Json => json::format(rows),
        Output::Csv => csv::format(rows),
    }
}
