//! When a node ends.

use super::{
    reader::Reader,
    setting::{Kind, Setting},
};

/// `--stop-with-stdin`
pub(crate) const STOP_WITH_STDIN: Setting = Setting {
    name: "stop-with-stdin",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("false"),
    heading: "Process",
    help: "Stop in order when standard input is closed: the node ends with the program that started it, however that ends",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 1] = [&STOP_WITH_STDIN];

/// Reads [`SETTINGS`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<bool> {
    reader.switch(&STOP_WITH_STDIN)
}
