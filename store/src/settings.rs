//! What the owner has decided for all nodes.

use std::{fmt, time::Duration};

use diesel::pg::data_types::PgInterval;

/// The window and the two minima, in the order of the fields.
pub(crate) type SettingsRow = (PgInterval, i32, i32);

/// The settings that stand in the database; only its owner can change them (`quorate migrate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The write window: the least time between two records of a feed.
    pub write_interval: Duration,
    /// A record with fewer distinct signatures is refused.
    pub min_signatures: usize,
    /// If the database lists validators: a record with fewer of their signatures is refused.
    pub min_validators: usize,
}

impl Settings {
    /// The shortest write window: shorter ones would be smaller than what clocks and networks vary by.
    pub const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(100);
    /// The longest write window: a week.
    pub const MAX_WRITE_INTERVAL: Duration = Duration::from_secs(168 * 3600);

    /// Whether a node with these options fits this database. It must have the same window; it may ask for more
    /// signatures than the database, not for fewer.
    pub fn check(&self, write_interval: Duration, min_signatures: usize) -> Result<(), SettingsMismatch> {
        let mismatch = SettingsMismatch {
            write_interval: (write_interval != self.write_interval)
                .then_some((write_interval, self.write_interval)),
            min_signatures: (min_signatures < self.min_signatures)
                .then_some((min_signatures, self.min_signatures)),
        };
        if mismatch.write_interval.is_none() && mismatch.min_signatures.is_none() {
            Ok(())
        } else {
            Err(mismatch)
        }
    }

    /// Where this database asks for less than a node with these rules, or for more validators: the node goes on with its own
    /// rule, and somebody should know that not everybody is held to it. In words, with both values and the remedy.
    pub fn differences(&self, node: &Settings) -> Vec<String> {
        let mut differences = Vec::new();
        if self.min_signatures < node.min_signatures {
            differences.push(format!(
                "rule=min_signatures node={} database={} so=\"records of other nodes may have fewer than this node asks for\" \
                 remedy=\"quorate migrate --min-signatures {}, or the same for all nodes\"",
                node.min_signatures, self.min_signatures, node.min_signatures
            ));
        }
        if self.min_validators != node.min_validators {
            let so = if self.min_validators < node.min_validators {
                "records of other nodes may have fewer than this node asks for"
            } else {
                "the database refuses records of this node that have fewer"
            };
            differences.push(format!(
                "rule=min_validators node={} database={} so=\"{so}\" \
                 remedy=\"quorate migrate --min-validators with the nodes' number and --members with their file\"",
                node.min_validators, self.min_validators
            ));
        }
        differences
    }

    /// Reads the database's row.
    pub(crate) fn from_row((interval, min_signatures, min_validators): SettingsRow) -> Self {
        // The table's CHECKs: no days or months, nothing negative.
        Self {
            write_interval: Duration::from_micros(u64::try_from(interval.microseconds).unwrap_or(0)),
            min_signatures: usize::try_from(min_signatures).unwrap_or(0),
            min_validators: usize::try_from(min_validators).unwrap_or(0),
        }
    }
}

/// The node's options and the database's settings do not go together: the node must not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsMismatch {
    /// The node's window and the database's, if they differ.
    pub write_interval: Option<(Duration, Duration)>,
    /// The node's minimum and the database's, if the node's is lower.
    pub min_signatures: Option<(usize, usize)>,
}

impl fmt::Display for SettingsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((node, database)) = self.write_interval {
            write!(
                f,
                "the node's write interval is {node:?}, the database's is {database:?}: start the node with \
                 `--write-interval {database:?}`, or run `quorate migrate --write-interval {node:?}` as the database's \
                 owner"
            )?;
        }
        if self.write_interval.is_some() && self.min_signatures.is_some() {
            f.write_str("; ")?;
        }
        if let Some((node, database)) = self.min_signatures {
            write!(
                f,
                "the node's minimum is {node} signatures, the database requires {database}: start the node with \
                 `--min-signatures {database}`, or run `quorate migrate --min-signatures {node}` as the database's owner"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsMismatch {}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        write_interval: Duration::from_secs(30),
        min_signatures: 3,
        min_validators: 1,
    };

    #[test]
    fn the_same_window_and_no_fewer_signatures_fit() {
        assert_eq!(SETTINGS.check(Duration::from_secs(30), 3), Ok(()));
        assert_eq!(SETTINGS.check(Duration::from_secs(30), 5), Ok(()));
    }

    #[test]
    fn a_mismatch_says_both_values_and_both_remedies() {
        let text = SETTINGS
            .check(Duration::from_secs(60), 2)
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            "the node's write interval is 60s, the database's is 30s: start the node with `--write-interval 30s`, or run \
             `quorate migrate --write-interval 60s` as the database's owner; the node's minimum is 2 signatures, the \
             database requires 3: start the node with `--min-signatures 3`, or run `quorate migrate --min-signatures 2` \
             as the database's owner"
        );
    }

    #[test]
    fn a_weaker_rule_of_the_database_is_told_with_both_values() {
        assert!(SETTINGS.differences(&SETTINGS).is_empty());
        let node = Settings {
            min_signatures: 5,
            min_validators: 2,
            ..SETTINGS
        };
        let [signatures, validators] = &SETTINGS.differences(&node)[..] else {
            panic!("two rules differ")
        };
        assert!(
            signatures.starts_with("rule=min_signatures node=5 database=3"),
            "{signatures}"
        );
        assert!(
            validators.starts_with("rule=min_validators node=2 database=1"),
            "{validators}"
        );
        let stricter = Settings {
            min_validators: 3,
            ..SETTINGS
        };
        assert!(stricter.differences(&SETTINGS)[0].contains("refuses"));
    }
}
