//! `quorate migrate`: brings a database to the schema, the settings and the role of the nodes.

use std::error::Error;

use quorate_store::MigrateOptions;

use crate::{config::migrate::MigrateConfig, output};

/// Migrates, and says what was done.
pub(crate) async fn run(config: MigrateConfig) -> Result<(), Box<dyn Error>> {
    let url = config.database_url;
    let options = MigrateOptions {
        write_interval: Some(config.write_interval),
        min_signatures: Some(config.min_signatures),
        node_password: config.node_password,
    };
    let with_password = options.node_password.is_some();
    let migrated = quorate_store::migrate(&url, options).await?;
    let mut text = match migrated.applied.as_slice() {
        [] => format!("{url}: the schema was up to date\n"),
        applied => format!("{url}: migrated: {}\n", applied.join(", ")),
    };
    text += &format!(
        "write interval {:?}, minimum of signatures {}\n",
        migrated.settings.write_interval, migrated.settings.min_signatures
    );
    text += if with_password {
        "role quorate_node can log in with the given password\n"
    } else {
        "role quorate_node: password left as it was (--node-password-file sets it)\n"
    };
    Ok(output::print(&text)?)
}
