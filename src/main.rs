//! `quorate`: a network of oracle nodes that agree on the price of ETH. This is the executable: command line, configuration
//! and wiring; the decisions are made in `quorate-protocol`, the work is done in `quorate-actors` and `quorate-store`.

mod archive;
mod check;
mod cli;
mod config;
mod dashboard;
mod devnet;
mod evidence;
mod exchange;
mod follow;
mod hardening;
mod http;
mod keys;
mod logging;
mod migrate;
mod names;
mod node;
mod output;
mod packaging;
mod prices;
mod ready;
mod record_json;
mod rounds;
mod secret;
mod show;
mod verify;
mod watch;

use std::{
    env,
    error::Error,
    io::{self, IsTerminal},
    process::ExitCode,
};

use quorate_actors::Clock;
use quorate_protocol::NodeKey;

use crate::{
    cli::{Command, Invocation, Refusal},
    config::{keys::NewFormat, layers::Environment},
    keys::Format,
};

/// Something failed while it ran.
const FAILED: u8 = 1;
/// It was called wrongly, and nothing was done.
const WRONGLY_CALLED: u8 = 2;

fn main() -> ExitCode {
    // Before any key is read.
    let memory = hardening::keep_memory_private();
    let environment = Environment::new(env::vars_os());
    let has_terminal = io::stdin().is_terminal();
    let now = Clock::system().unix_now();
    match cli::parse(env::args_os(), environment, now, has_terminal) {
        Ok(mut invocation) => {
            invocation.warnings.extend(memory.err());
            run(invocation)
        }
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
    let code = exit_with(execute(command));
    log::logger().flush();
    code
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
        Command::Check(config) => return system.block_on(check::run(*config)),
        Command::Evidence(config) => return system.block_on(evidence::run(config)),
        Command::Verify(config) => return verify::run(*config),
        Command::Archive(config) => system.block_on(archive::run(*config))?,
        Command::Devnet(config) => system.block_on(devnet::run(*config))?,
        Command::Exchange(args) => system.block_on(exchange::run(args))?,
        Command::Migrate(config) => system.block_on(migrate::run(config))?,
        Command::Rounds(config) => system.block_on(rounds::run(config))?,
        Command::Follow(config) => system.block_on(follow::run(config))?,
        Command::Prices(config) => system.block_on(prices::run(config))?,
        Command::KeysNew(config) => {
            let key = NodeKey::generate();
            let format = match config.format {
                NewFormat::Hex => Format::Hex,
                NewFormat::Keystore(password) => Format::Keystore(password),
                NewFormat::Ask => Format::Keystore(keys::new_password()?),
            };
            keys::save(&key, &config.out, &format).map_err(|error| format!("{error}: {}", error.remedy()))?;
            output::print(&keys::describe(&key))?;
        }
        Command::KeysShow(config) => output::print(&keys::describe(&config.key))?,
        Command::KeysMembers(members) => output::print(&keys::members_file(&members))?,
        Command::KeysSecret(config) => {
            let id = keys::network_secret::create(&config.out, &config.network)
                .map_err(|error| format!("--out: {} cannot be made ({error})", secret::shown(&config.out)))?;
            output::print(&format!("key_id   {id}\nnetwork  {}\n", config.network))?;
        }
        Command::Completions(shell) => output::print(&packaging::completions(cli::described(), shell)?)?,
        Command::Man(None) => output::print(&packaging::page(cli::described())?)?,
        Command::Man(Some(folder)) => {
            packaging::pages(cli::described(), &folder)
                .map_err(|error| format!("--out: {} cannot be written ({error})", folder.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
