//! `quorate verify`: whether records from files or a database are genuine, and whether any is missing.

pub(crate) mod file;
pub(crate) mod pipeline;
mod read;
mod report;

use std::{error::Error, process::ExitCode};

pub(crate) use read::{beginnings, first_written_since, header, progress};
pub(crate) use report::Tally;

use crate::{
    config::verify::{Verdict, VerifyConfig},
    output,
};

/// Checks the records, and says what was found. Fails if anything does not hold, or if there is nothing to check.
pub(crate) fn run(config: VerifyConfig) -> Result<ExitCode, Box<dyn Error>> {
    let mut tally = Tally::new(config.trusted.clone());
    all(&config, &mut tally)?;
    output::print(&match config.output {
        Verdict::Text => tally.text(),
        Verdict::Json => format!("{:#}\n", tally.json()),
    })?;
    let (faults, records) = (tally.faults(), tally.records());
    match (faults, records) {
        (0, 0) => Err("there is no record to verify".into()),
        (0, _) => Ok(ExitCode::SUCCESS),
        (1, _) => Err(format!("1 fault in {records} records").into()),
        _ => Err(format!("{faults} faults in {records} records").into()),
    }
}

/// Checks all that is to be read, on all cores.
pub(crate) fn all(config: &VerifyConfig, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let committee = report::committee(&config.trusted, None);
    let read = |feeder: &mut pipeline::Feeder| read::all(config, feeder);
    pipeline::run(committee, read, |checked| tally.take(checked))
        .map_err(|failure| -> Box<dyn Error> { failure })
}
