//! From arguments, variables and a file to something to run, or to everything that is wrong.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use quorate_protocol::UnixMillis;

use super::{
    command::{Command, Name},
    help::{self, Help},
};
use crate::{
    config::{
        environment::Environment,
        file::ConfigFile,
        layers::Layers,
        logging::{self, LogConfig},
        problem::{Origin, Problem, report},
        reader::{Reader, Resolved},
        setting::{Kind, Setting},
    },
    exchange::ExchangeArgs,
    secret::mask,
};

const EXCHANGE: &str = "exchange";
const CONFIG: &str = "config";
const CONFIG_VARIABLE: &str = "QUORATE_CONFIG";

/// What to run.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The command.
    pub(crate) command: Command,
    /// What it logs.
    pub(crate) log: LogConfig,
    /// What the user should know, for the log.
    pub(crate) warnings: Vec<String>,
}

/// Why nothing is run.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `--help` or `--version`: this text is what was asked for.
    Answer(String),
    /// The arguments or the configuration are wrong in the ways that this text lists.
    Wrong(String),
}

/// Understands the arguments, the first of which is the program's own name.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
    now: UnixMillis,
) -> Result<Invocation, Refusal> {
    let matches = root().try_get_matches_from(arguments).map_err(refusal)?;
    if let Some((EXCHANGE, matches)) = matches.subcommand() {
        return exchange(matches);
    }
    let (name, matches) = chosen(&matches)?;
    let (layers, mut problems) = read_layers(name, matches, environment);
    problems.extend(layers.environment.problems.clone());

    let mut reader = Reader::new(&layers, problems);
    let log = logging::read(&mut reader);
    let command = name.read(&mut reader, now);
    let both = command.and_then(|command| Some((command, log?)));
    match reader.finish(both) {
        Ok(Resolved {
            config: (command, log),
            warnings,
        }) => {
            let strangers = layers.environment.strangers(&known_variables());
            Ok(Invocation {
                command,
                log,
                warnings: [strangers, warnings].concat(),
            })
        }
        Err(problems) => Err(Refusal::Wrong(report(&name.words().join(" "), &problems))),
    }
}

/// clap's errors, which quote arguments: one in the wrong place may be a secret.
fn refusal(error: clap::Error) -> Refusal {
    let text = error.render().to_string();
    if error.use_stderr() {
        Refusal::Wrong(mask(&text))
    } else {
        Refusal::Answer(text)
    }
}

fn chosen(matches: &ArgMatches) -> Result<(Name, &ArgMatches), Refusal> {
    let mut words = Vec::new();
    let mut innermost = matches;
    while let Some((word, below)) = innermost.subcommand() {
        words.push(word);
        innermost = below;
    }
    let name = Name::ALL.into_iter().find(|name| name.words() == words);
    // clap lets nothing else pass.
    let name =
        name.ok_or_else(|| Refusal::Wrong(format!("error: no such command: {}\n", words.join(" "))))?;
    Ok((name, innermost))
}

fn read_layers(name: Name, matches: &ArgMatches, environment: Environment) -> (Layers, Vec<Problem>) {
    let flags: BTreeMap<_, _> = settings_of(name)
        .filter(|setting| setting.kind != Kind::SecretVariable)
        .filter_map(|setting| {
            let values = matches.get_many::<String>(setting.name)?.cloned().collect();
            Some((setting.name, values))
        })
        .collect();
    let from_flag = matches
        .get_one::<String>(CONFIG)
        .map(|path| (path.clone(), Origin::Flag));
    let from_variable = || {
        let path = environment.variable(CONFIG_VARIABLE)?;
        Some((path.to_owned(), Origin::Variable(CONFIG_VARIABLE.to_owned())))
    };
    let (file, problems) = match from_flag.or_else(from_variable) {
        Some((path, origin)) => ConfigFile::read(Path::new(&path), origin, &known_keys()),
        None => (None, Vec::new()),
    };
    (
        Layers {
            flags,
            environment,
            file,
        },
        problems,
    )
}

fn settings_of(name: Name) -> impl Iterator<Item = &'static Setting> {
    name.settings().into_iter().chain(logging::SETTINGS)
}

/// The keys of any command: one file may serve several.
fn known_keys() -> Vec<&'static str> {
    let mut keys: Vec<_> = Name::ALL
        .into_iter()
        .flat_map(settings_of)
        .filter(|setting| setting.kind.is_in_files())
        .map(|setting| setting.name)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn known_variables() -> Vec<String> {
    let settings = Name::ALL.into_iter().flat_map(settings_of);
    let variables = settings
        .filter(|setting| setting.kind != Kind::Arguments)
        .map(Setting::variable);
    variables.chain([CONFIG_VARIABLE.to_owned()]).collect()
}

fn root() -> clap::Command {
    let keys = [Name::KeysNew, Name::KeysShow, Name::KeysMembers, Name::KeysSecret].map(subcommand);
    let keys = described(clap::Command::new("keys"), help::KEYS)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(keys);
    described(clap::Command::new("quorate"), help::ROOT)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(
            [
                Name::Node,
                Name::Devnet,
                Name::Prices,
                Name::Evidence,
                Name::Migrate,
            ]
            .map(subcommand),
        )
        .subcommand(ExchangeArgs::augment_args(clap::Command::new(EXCHANGE)).about(help::EXCHANGE_ABOUT))
        .subcommand(keys)
}

/// The simulated exchange is a tool for trials: its options are flags only, in no file and no variable.
fn exchange(matches: &ArgMatches) -> Result<Invocation, Refusal> {
    let args = ExchangeArgs::from_arg_matches(matches).map_err(refusal)?;
    Ok(Invocation {
        command: Command::Exchange(args),
        log: LogConfig::default(),
        warnings: vec![],
    })
}

fn subcommand(name: Name) -> clap::Command {
    let word = name.words().last().copied().unwrap_or_default();
    let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").help(format!(
        "A TOML file with any of these options, like write-interval = \"30s\"\n[env: {CONFIG_VARIABLE}]"
    ));
    described(clap::Command::new(word), help::of(name))
        .arg(config)
        .args(
            settings_of(name)
                .filter(|setting| setting.kind != Kind::SecretVariable)
                .map(argument),
        )
}

fn described(command: clap::Command, help: Help) -> clap::Command {
    // clap's own rendering wraps at the terminal's width, and at this where there is none or a wide one.
    const WIDEST: usize = 110;
    command
        .about(help.about)
        .long_about(help.long_about)
        .after_help(help.examples)
        .max_term_width(WIDEST)
}

/// Every value is a text to clap, so that it never stops at the first that is wrong.
fn argument(setting: &'static Setting) -> Arg {
    let default = setting
        .default
        .map_or(String::new(), |default| format!("[default: {default}] "));
    let origins = format!("{default}[env: {}]", setting.variable());
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .help_heading(setting.heading)
        .help(setting.help)
        .long_help(format!("{}\n{origins}", setting.help));
    match setting.kind {
        Kind::Value | Kind::Secret | Kind::SecretVariable => argument.action(ArgAction::Set),
        Kind::List => argument.action(ArgAction::Append),
        Kind::Arguments => Arg::new(setting.name)
            .value_name(setting.value_name)
            .help(setting.help)
            .num_args(0..)
            .action(ArgAction::Append),
        Kind::Switch => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .default_missing_value("true"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Invocation, Refusal> {
        let arguments = ["quorate"].iter().chain(arguments).map(OsString::from);
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        parse(arguments, environment, UnixMillis::new(1_800_000_000_000))
    }

    fn problems(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        match run(arguments, variables) {
            Err(Refusal::Wrong(text)) => text.lines().map(|line| line.trim().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_declarations_of_all_options_are_sound() {
        root().debug_assert();
    }

    #[test]
    fn every_default_is_right() {
        for (command, arguments) in [
            ("node", &["--database-url", "postgres://db"][..]),
            ("devnet", &[]),
            ("prices", &["--database-url", "postgres://db"]),
            ("evidence", &["--database-url", "postgres://db"]),
            ("migrate", &["--database-url", "postgres://db"]),
        ] {
            let arguments = [&[command], arguments].concat();
            run(&arguments, &[]).unwrap();
        }
    }

    #[test]
    fn one_name_means_one_thing_in_all_commands() {
        let mut kinds = BTreeMap::new();
        for setting in Name::ALL.into_iter().flat_map(settings_of) {
            assert_eq!(
                *kinds.entry(setting.name).or_insert(setting.kind),
                setting.kind,
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn all_problems_of_all_layers_are_listed_with_their_origins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quorate.toml");
        std::fs::write(&file, "min-signatures = 0\npeers = []\nfetch-interval = ['1s']\n").unwrap();
        let file = file.to_str().unwrap();
        let found = problems(
            &[
                "node",
                "--config",
                file,
                "--mdns",
                "maybe",
                "--database-url",
                "postgres://db",
            ],
            &[("QUORATE_WRITE_INTERVAL", "30"), ("QUORATE_PEER", "a, b")],
        );
        let like = "write one like /dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID";
        assert_eq!(
            found,
            [
                "error: 7 problems with the configuration of `quorate node`".to_owned(),
                format!("peers (from {file}): is not a known setting: did you mean peer?"),
                "--write-interval (from QUORATE_WRITE_INTERVAL): \"30\" is not a duration: write a unit, like 30s".into(),
                format!("--fetch-interval (from {file}): \"1s\" is an array: write one value: fetch-interval = \"…\""),
                format!("--min-signatures (from {file}): \"0\" is out of range: write a number from 1 to 128"),
                format!("--peer (from QUORATE_PEER): \"a\" is not a multiaddress: {like}"),
                format!("--peer (from QUORATE_PEER): \"b\" is not a multiaddress: {like}"),
                "--mdns: \"maybe\" is not one of the choices: write true or false".into(),
                "`quorate node --help` explains every option".into(),
            ]
        );
    }

    #[test]
    fn a_switch_alone_means_true() {
        for (arguments, simulate) in [
            (&["--simulate"][..], true),
            (&["--simulate", "--nodes", "5"], true),
            (&["--simulate=false"], false),
            (&[], false),
        ] {
            let arguments = [&["devnet"], arguments].concat();
            match run(&arguments, &[]).unwrap().command {
                Command::Devnet(config) => {
                    assert!(format!("{config:?}").contains(&format!("simulate: {simulate}")))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_file_may_serve_several_commands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quorate.toml");
        std::fs::write(
            &file,
            "database-url = 'postgres://db'\nnodes = 5\nnetwork = 'x'\n",
        )
        .unwrap();
        for command in ["node", "migrate", "prices", "devnet"] {
            run(&[command], &[("QUORATE_CONFIG", file.to_str().unwrap())]).unwrap();
        }
    }

    #[test]
    fn a_missing_file_is_a_problem() {
        assert_eq!(
            problems(&["devnet"], &[("QUORATE_CONFIG", "/nowhere.toml")])[1],
            "--config (from QUORATE_CONFIG): \"/nowhere.toml\" cannot be read (No such file or directory (os error 2)): name a \
             readable TOML file"
        );
    }

    #[test]
    fn a_mistyped_variable_is_a_warning() {
        let warnings = run(&["devnet"], &[("QUORATE_NODE", "5")]).unwrap().warnings;
        assert_eq!(
            warnings,
            ["unknown variable ignored: name=QUORATE_NODE, did you mean QUORATE_NODES?"]
        );
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let url = "postgres://quorate:hunter2@db/prices";
        for arguments in [
            vec!["node", url],
            vec!["node", "--databse-url", url],
            vec!["node", "--database-url-file", url],
            vec!["node", "--peer", url],
            vec![url],
        ] {
            let text = problems(&arguments, &[]).join("\n");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let equals = format!("--databse-url={url}");
        assert!(!problems(&["node", &equals], &[]).join("\n").contains("hunter2"));
    }
}
