//! `quorate evidence`: which proofs to show, and how.

use quorate_protocol::Address;
use quorate_store::{DatabaseUrl, MAX_EQUIVOCATIONS};

use super::{
    database,
    prices::{FULL, OUTPUT},
    reader::Reader,
    setting::{Kind, Setting},
    value::{choice, number, parsed},
};
use crate::show::Output;

const HEADING: &str = "Proofs";

/// `--observer`
pub(crate) const OBSERVER: Setting = Setting {
    name: "observer",
    kind: Kind::Value,
    value_name: "ADDRESS",
    default: None,
    heading: HEADING,
    help: "Only proofs against this node",
};
/// `--limit`
pub(crate) const LIMIT: Setting = Setting {
    name: "limit",
    kind: Kind::Value,
    value_name: "N",
    default: Some("20"),
    heading: HEADING,
    help: "At most this many, the newest",
};

/// Which proofs to show, and how.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceConfig {
    /// `postgres://…`; a role that can read is enough.
    pub(crate) database_url: DatabaseUrl,
    /// `None`: against anybody.
    pub(crate) observer: Option<Address>,
    /// At most this many.
    pub(crate) limit: u32,
    /// The form.
    pub(crate) output: Output,
}

/// Everything that can be asked, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    [
        [&OBSERVER, &LIMIT, &OUTPUT, &FULL].as_slice(),
        &database::SETTINGS,
    ]
    .concat()
}

/// Reads [`settings`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<EvidenceConfig> {
    let observer = reader.optional(&OBSERVER, |text| parsed("an address", text));
    let limit = reader.value(&LIMIT, |text| number(1..=MAX_EQUIVOCATIONS, text));
    let full = reader.switch(&FULL);
    let output = full.and_then(|full| {
        let outputs = [
            ("table", Output::Table { full }),
            ("json", Output::Json),
            ("csv", Output::Csv),
        ];
        reader.value(&OUTPUT, |text| choice(&outputs, text))
    });
    let database_url = database::read(reader);
    Some(EvidenceConfig {
        database_url: database_url?,
        observer: observer?,
        limit: limit?,
        output: output?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    const DATABASE: (&str, &[&str]) = ("database-url", &["postgres://db"]);

    #[test]
    fn the_newest_twenty_against_anybody_as_a_table() {
        let config = testing::read(&[DATABASE], read).unwrap().config;
        assert_eq!(
            (config.observer, config.limit, config.output),
            (None, 20, Output::Table { full: false })
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let flags: [(&str, &[&str]); 4] = [
            DATABASE,
            ("observer", &["0x12"]),
            ("limit", &["1001"]),
            ("output", &["xml"]),
        ];
        assert_eq!(
            testing::read(&flags, read).unwrap_err(),
            [
                "--observer: \"0x12\" is not an address: expected 40 hex digits after 0x, found 2",
                "--limit: \"1001\" is out of range: write a number from 1 to 1000",
                "--output: \"xml\" is not one of the choices: write table, json, csv",
            ]
        );
    }
}
