//! `quorate migrate`: brings a database to the schema, the settings and the role of the nodes.

use std::{error::Error, time::Duration};

use quorate_store::{DatabaseUrl, Member, MigrateError, MigrateOptions, Migrated};
use tokio::time::Instant;

use crate::{config::migrate::MigrateConfig, output};

/// Between two attempts: a server that is being started is up within seconds.
const RETRY: Duration = Duration::from_millis(500);

/// Migrates, and says what was done.
pub(crate) async fn run(config: MigrateConfig) -> Result<(), Box<dyn Error>> {
    let url = config.database_url;
    let options = MigrateOptions {
        write_interval: Some(config.write_interval),
        min_signatures: Some(config.min_signatures),
        min_validators: Some(config.min_validators),
        members: config.members,
        node_password: config.node_password,
    };
    let with_password = options.node_password.is_some();
    let migrated = migrate(&url, &options, config.wait).await?;
    let mut text = match migrated.applied.as_slice() {
        [] => format!("{url}: the schema was up to date\n"),
        applied => format!("{url}: migrated: {}\n", applied.join(", ")),
    };
    text += &format!(
        "write interval {:?}, minimum of signatures {}, of validators {}\n",
        migrated.settings.write_interval, migrated.settings.min_signatures, migrated.settings.min_validators
    );
    text += &members(&migrated.members);
    text += &match (with_password, migrated.sessions_ended) {
        (false, _) => "role quorate_node: password left as it was (--node-password-file sets it)\n".to_owned(),
        (true, Some(ended)) => {
            format!("role quorate_node can log in with the given password; sessions ended: {ended}\n")
        }
        (true, None) => "role quorate_node can log in with the given password; this role may not end its sessions, which go \
                         on with the old one\n"
            .to_owned(),
    };
    Ok(output::print(&text)?)
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
                    log::info!("database not there yet: url={url} reason=\"{reason}\" waiting={wait:?}");
                }
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

fn members(listed: &[Member]) -> String {
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
