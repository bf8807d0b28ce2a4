//! `quorate migrate`: brings a database to the schema, the settings and the role of the nodes.

use std::{error::Error, time::Duration};

use quorate_store::{DatabaseUrl, Decided, Member, MigrateError, MigrateOptions, Migrated};
use tokio::time::Instant;

use crate::{config::migrate::MigrateConfig, output};

/// Between two attempts: a server that is being started is up within seconds.
const RETRY: Duration = Duration::from_millis(500);

/// Migrates, and says what was done.
pub(crate) async fn run(config: MigrateConfig) -> Result<(), Box<dyn Error>> {
    let url = config.database_url;
    let options = MigrateOptions {
        write_interval: config.write_interval,
        min_signatures: config.min_signatures,
        min_validators: config.min_validators,
        members: config.members,
        node_password: config.node_password,
    };
    let with_password = options.node_password.is_some();
    let migrated = migrate(&url, &options, config.wait).await?;
    Ok(output::print(&report(&url, &migrated, with_password))?)
}

fn report(url: &DatabaseUrl, migrated: &Migrated, with_password: bool) -> String {
    let mut text = match migrated.applied.as_slice() {
        [] => format!("{url}: the schema was up to date\n"),
        applied => format!("{url}: migrated: {}\n", applied.join(", ")),
    };
    let Decided { settings, members } = &migrated.now;
    text += &format!(
        "write interval {:?}, minimum of signatures {}, of validators {}\n",
        settings.write_interval, settings.min_signatures, settings.min_validators
    );
    text += &in_words(members);
    if let Some(before) = &migrated.before {
        for change in changes(before, &migrated.now) {
            text += &format!("changed: {change}\n");
        }
    }
    text += match (with_password, migrated.sessions_ended, migrated.can_log_in) {
        (false, _, true) => "role quorate_node: password left as it was (--node-password-file sets it)\n",
        (false, _, false) => {
            "role quorate_node has no password, so no node can log in yet: run this again with --node-password-file\n"
        }
        (true, Some(ended), _) => {
            return text
                + &format!(
                    "role quorate_node can log in with the given password; sessions ended: {ended}\n"
                );
        }
        (true, None, _) => {
            "role quorate_node can log in with the given password; this role may not end its sessions, which go on with the \
             old one\n"
        }
    };
    text
}

/// What is different now, old and new.
fn changes(before: &Decided, now: &Decided) -> Vec<String> {
    let mut changes = Vec::new();
    let mut compare = |what: &str, old: String, new: String| {
        if old != new {
            changes.push(format!("{what} from {old} to {new}"));
        }
    };
    let (old, new) = (before.settings, now.settings);
    compare(
        "write interval",
        format!("{:?}", old.write_interval),
        format!("{:?}", new.write_interval),
    );
    compare(
        "minimum of signatures",
        old.min_signatures.to_string(),
        new.min_signatures.to_string(),
    );
    compare(
        "minimum of validators",
        old.min_validators.to_string(),
        new.min_validators.to_string(),
    );
    let find =
        |list: &[Member], member: &Member| list.iter().find(|other| other.address == member.address).cloned();
    for member in &now.members {
        match find(&before.members, member) {
            None => changes.push(format!("member added: {}", named(member))),
            Some(old) if old != *member => {
                changes.push(format!("member from {} to {}", named(&old), named(member)));
            }
            Some(_) => {}
        }
    }
    for member in &before.members {
        if find(&now.members, member).is_none() {
            changes.push(format!("member removed: {}", named(member)));
        }
    }
    changes
}

/// `0x… "name", a validator`
fn named(member: &Member) -> String {
    let validator = if member.validator { ", a validator" } else { "" };
    format!("{} {:?}{validator}", member.address, member.name)
}

/// Tries again while the server cannot be reached, for so long.
async fn migrate(
    url: &DatabaseUrl,
    options: &MigrateOptions,
    wait: Duration,
) -> Result<Migrated, MigrateError> {
    let deadline = Instant::now() + wait;
    let mut is_first = true;
    loop {
        match quorate_store::migrate(url, options.clone()).await {
            Err(MigrateError::Unavailable(reason)) if Instant::now() + RETRY < deadline => {
                if std::mem::take(&mut is_first) {
                    // The reason names the server; more of the URL would have it cut.
                    log::info!("database not there yet: reason=\"{reason}\" waiting={wait:?}");
                }
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

fn in_words(listed: &[Member]) -> String {
    if listed.is_empty() {
        return "members: none listed, so the database takes anybody's signature (--members lists them)\n"
            .to_owned();
    }
    let validators = listed.iter().filter(|member| member.validator).count();
    let count = listed.len();
    format!(
        "members: {count} listed, {validators} of them validators; the database takes nobody else's signature\n"
    )
}

#[cfg(test)]
mod tests {
    use quorate_store::Settings;

    use super::*;

    fn member(digit: &str, name: &str, validator: bool) -> Member {
        Member {
            address: format!("0x{}", digit.repeat(40)).parse().unwrap(),
            name: name.to_owned(),
            validator,
        }
    }

    fn decided(seconds: u64, min_signatures: usize, members: Vec<Member>) -> Decided {
        Decided {
            settings: Settings {
                write_interval: Duration::from_secs(seconds),
                min_signatures,
                min_validators: 1,
            },
            members,
        }
    }

    #[test]
    fn what_changes_is_told_old_and_new_and_nothing_else() {
        let before = decided(30, 5, vec![member("1", "a", false), member("2", "b", false)]);
        let now = decided(10, 5, vec![member("2", "b", true), member("3", "c", false)]);
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
        assert_eq!(
            changes(&before, &now),
            [
                "write interval from 30s to 10s".to_owned(),
                format!("member from 0x{two} \"b\" to 0x{two} \"b\", a validator"),
                format!("member added: 0x{three} \"c\""),
                format!("member removed: 0x{one} \"a\""),
            ]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
