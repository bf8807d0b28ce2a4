//! `quorate`: a network of oracle nodes that agree on the price of ETH. This is the executable: command line, configuration
//! and wiring; the decisions are made in `quorate-protocol`, the work is done in `quorate-actors` and `quorate-store`.

mod cli;
mod config;
mod devnet;
mod evidence;
mod exchange;
mod http;
mod keys;
mod logging;
mod migrate;
mod node;
mod output;
mod prices;
mod secret;

use std::{env, error::Error, process::ExitCode, time::SystemTime};

use quorate_protocol::{NodeKey, UnixMillis};

use crate::{
    cli::{Command, Invocation, Refusal},
    config::environment::Environment,
};

/// Something failed while it ran.
const FAILED: u8 = 1;
/// It was called wrongly, and nothing was done.
const WRONGLY_CALLED: u8 = 2;

fn main() -> ExitCode {
    match cli::parse(env::args_os(), Environment::new(env::vars_os()), unix_now()) {
        Ok(invocation) => run(invocation),
        Err(Refusal::Answer(text)) => exit_with(
            output::print(&text)
                .map(|()| ExitCode::SUCCESS)
                .map_err(Into::into),
        ),
        Err(Refusal::Wrong(text)) => {
            output::complain(&text);
            ExitCode::from(WRONGLY_CALLED)
        }
    }
}

fn run(
    Invocation {
        command,
        log,
        warnings,
    }: Invocation,
) -> ExitCode {
    // rustls is built with one provider and still asks which; a second answer changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rust_log = env::var("RUST_LOG").ok();
    if let Err(error) = logging::init(&log, rust_log.as_deref()) {
        output::complain(&format!("error: the log cannot be opened: {error}\n"));
    }
    for warning in warnings {
        log::warn!("{warning}");
    }
    exit_with(execute(command))
}

fn exit_with(done: Result<ExitCode, Box<dyn Error>>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("error: {}\n", secret::mask(&error.to_string())));
            ExitCode::from(FAILED)
        }
    }
}

fn execute(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    let system = actix_rt::System::new();
    match command {
        Command::Node(config) => return system.block_on(node::run(*config)),
        Command::Evidence(config) => return system.block_on(evidence::run(config)),
        Command::Devnet(config) => system.block_on(devnet::run(*config))?,
        Command::Exchange(args) => system.block_on(exchange::run(args))?,
        Command::Migrate(config) => system.block_on(migrate::run(config))?,
        Command::Prices(config) => system.block_on(prices::run(config))?,
        Command::KeysNew(config) => {
            let key = NodeKey::generate();
            keys::save(&key, &config.out, &config.format)
                .map_err(|error| format!("{error}: {}", error.remedy()))?;
            output::print(&keys::describe(&key))?;
        }
        Command::KeysShow(config) => output::print(&keys::describe(&config.key))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unix_now() -> UnixMillis {
    let elapsed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::new(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
