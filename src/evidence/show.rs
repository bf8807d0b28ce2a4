//! `quorate evidence`: proofs from the database, verified and shown.

use std::{error::Error, process::ExitCode};

use quorate_store::{EquivocationQuery, Store, StoreConfig};

use super::{EvidenceRow, format};
use crate::{config::evidence::EvidenceConfig, output};

/// Reads the proofs that were asked for, verifies each, and prints them, the newest first. Fails if one does not hold.
pub(crate) async fn run(config: EvidenceConfig) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::new(StoreConfig {
        application_name: "quorate evidence".to_owned(),
        ..StoreConfig::new(config.database_url)
    });
    let query = EquivocationQuery {
        observer: config.observer,
        limit: config.limit,
    };
    let rows: Vec<EvidenceRow> = store
        .equivocations(query)
        .await?
        .into_iter()
        .map(EvidenceRow::new)
        .collect();
    output::print(&format(&rows, config.output))?;
    match rows.iter().filter(|row| row.fault.is_some()).count() {
        0 => Ok(ExitCode::SUCCESS),
        faulty => Err(format!(
            "{faulty} of {} proofs do not hold: somebody has changed the database",
            rows.len()
        )
        .into()),
    }
}
