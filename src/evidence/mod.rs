//! Showing proofs of equivocation, each with the verdict of this program: the database's word is not taken for it. The
//! formats are pure: rows in, text out.

mod csv;
mod json;
mod row;
mod show;
mod table;

pub(crate) use row::EvidenceRow;
pub(crate) use show::run;

use crate::prices::Output;

/// The rows as text that ends with a line end.
pub(crate) fn format(rows: &[EvidenceRow], output: Output) -> String {
    match output {
        Output::Table { full } => table::format(rows, full),
        Output::Json => json::format(rows),
        Output::Csv => csv::format(rows),
    }
}
