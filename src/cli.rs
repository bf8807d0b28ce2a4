//! The command line: the commands and their help, and from arguments to a [`Command`] that can be run.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use quorate_protocol::UnixMillis;

use crate::{
    config::{
        archive::{ArchiveArgs, ArchiveConfig},
        check::{CheckArgs, CheckConfig},
        devnet::DevnetConfig,
        evidence::{EvidenceArgs, EvidenceConfig},
        keys::{
            KeyConfig, KeysMembersArgs, KeysNewArgs, KeysNewConfig, KeysSecretArgs, KeysSecretConfig,
            KeysShowArgs,
        },
        layers::{self, Environment},
        logging::LogConfig,
        migrate::{MigrateArgs, MigrateConfig},
        node::{NodeArgs, NodeConfig},
        packaging::{CompletionsArgs, ManArgs},
        prices::{FollowConfig, PricesArgs, PricesConfig},
        problems::{Problems, report},
        rounds::{RoundsArgs, RoundsConfig},
        values::path,
        verify::{VerifyArgs, VerifyConfig},
    },
    exchange::ExchangeArgs,
    keys::Listed,
    secret::mask,
};

/// Wider lines of help are hard to read, on whatever terminal.
const WIDEST_HELP: usize = 110;

#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    version,
    propagate_version = true,
    about = "A network of oracle nodes that agree on the price of ETH",
    long_about = "A network of oracle nodes that agree on the price of ETH.\n\n\
        Every node fetches the price, signs it and gossips it; its peers check it against their own view and add their \
        signatures. The first report that is quorate (has enough signatures) is written to a shared Postgres, at most one \
        every write interval. Anyone can check a record later with nothing but the signers' addresses.\n\n\
        Every option can be given as a flag, as a variable (--write-interval is QUORATE_WRITE_INTERVAL), or in a TOML file \
        (write-interval = \"30s\" in the file of --config); the first of these that says something wins.",
    after_help = "Begin here:\n  \
        quorate devnet --simulate     a whole network on this machine, without the internet\n  \
        quorate devnet                the same with real prices\n  \
        quorate node --help           what a node of a real network needs\n\n\
        Results go to standard output, logs to standard error. Exit codes: 0 done, 1 failed, 2 wrongly called."
)]
struct Arguments {
    #[command(subcommand)]
    command: Declared,

    /// A TOML file with any of these options, like write-interval = "30s"
    #[arg(long, global = true, value_name = "FILE", value_parser = path)]
    config: Option<PathBuf>,

    #[command(flatten)]
    log: LogConfig,
}

/// The commands as they are declared, in the order of the help.
#[derive(Debug, Subcommand)]
enum Declared {
    #[command(
        about = "Run one node",
        long_about = "Runs one node: fetches prices, signs them, gossips them, signs those of its peers that it can vouch for, \
            and writes what is quorate to the database.\n\n\
            It needs a database that `quorate migrate` has prepared. It finds peers by mDNS in the local network, by address \
            (--peer), and by DNS (--dns-peers). Without --members anybody's signature counts: name the members wherever others \
            can connect.",
        after_help = "Examples:\n  \
            A node of a trusted local network, with a key for this run:\n    \
            quorate node --database-url-file db-url\n\n  \
            A node of a closed network:\n    \
            quorate keys new --out node.key\n    \
            quorate node --network mainnet --key-file node.key --members members.toml \\\n        \
            --peer /dns4/node-1.example/tcp/5000 --database-url-file db-url\n\n  \
            All of it in a file:\n    \
            quorate node --config quorate.toml\n\n\
            Look at next:\n  \
            http://127.0.0.1:8080/api/v1/status  what it does\n  \
            http://127.0.0.1:8080/readyz         what it still waits for\n  \
            quorate prices                       what has been written"
    )]
    Node(Box<NodeArgs>),

    #[command(
        about = "Check what a node would meet, before it runs",
        long_about = "Checks all that a node with these options would meet, and changes nothing: clocks, each source (name, \
            connection, TLS, price), the database (log-in, role, schema, rules, members, replication), key and secret files, the \
            list of members, peers (connection, identity, round trip), the ports that it listens on, descriptors and memory.\n\n\
            Each finding is good, fair, poor or fail, with what was measured and what to do. It ends within 15 s. It takes the \
            options, variables and file of `quorate node`, and dials peers with a key of its own, or with the node's where only \
            members are let in and the node does not run.",
        after_help = "Examples:\n  \
            quorate check --config quorate.toml\n  \
            quorate check --config quorate.toml --output json --fail-on poor\n\n\
            Exit codes: 0 nothing failed, 1 something failed (see --fail-on), 2 wrongly called.\n\
            Look at next: docs/check.md says what each check means."
    )]
    Check(Box<CheckArgs>),

    #[command(
        about = "Run a whole network on this machine",
        long_about = "Runs a whole network on this machine: a private Postgres, and nodes that are processes of their own and \
            find each other by mDNS; with --simulate also an exchange, so that no internet is needed.\n\n\
            It prints where every API and psql are, then a line for every record. Ctrl-C ends all of it and \
            leaves nothing behind, but the logs if --log-dir is given.",
        after_help = "Examples:\n  \
            quorate devnet --simulate\n  \
            quorate devnet --simulate --nodes 10 --quorum-fraction 2/3 --write-interval 5s\n  \
            quorate devnet --source coinbase --source kraken --log-dir ./logs\n\n\
            Look at next: the APIs that it names, and SELECT * FROM eth_prices_readable in the psql that it \
            names."
    )]
    Devnet(Box<DevnetConfig>),

    #[command(
        about = "Show the records that were written",
        long_about = "Shows the newest records: when each was written and observed, the price, who signed, who wrote, and the \
            digest that was signed. As a table for people, as JSON with all signatures, or as CSV.",
        after_help = "Examples:\n  \
            quorate prices --database-url-file db-url\n  \
            quorate prices --feed ETH/USD --from 24h --limit 1000 --output csv > day.csv\n  \
            quorate prices --follow --api http://127.0.0.1:8080\n  \
            quorate prices --from 2026-01-31 --to 2026-02-01 --output json"
    )]
    Prices(PricesArgs),

    #[command(
        about = "Show what happened in a node's last rounds",
        long_about = "Shows a node's last rounds, as it saw them: how many prices were stated for a record, who signed, who refused \
            and why, when it was quorate, who wrote it and how late, and for a window without a record the reason in one \
            sentence. A round is the work on the next record; a node remembers a hundred. As a table for people, as JSON with \
            every statement and time, or as CSV.",
        after_help = "Examples:\n  \
            quorate rounds\n  \
            quorate rounds --api http://127.0.0.1:8080 --limit 101 --output json\n\n\
            Look at next: the node's dashboard, at the address of its API."
    )]
    Rounds(RoundsArgs),

    #[command(
        about = "Show the proofs against nodes that signed two statements for one window",
        long_about = "Shows the newest proofs of equivocation: an observer that has signed two different statements for one \
            window, with both prices and both digests. Each proof holds everything that is needed to check it, and is verified \
            here before it is shown, whatever the database says: the last column is `verified`, or what is wrong with it. Fails \
            if one does not hold. As a table for people, as JSON with quotes and signatures, or as CSV.",
        after_help = "Examples:\n  \
            quorate evidence --database-url-file db-url\n  \
            quorate evidence --observer 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --output json > proofs.json\n\n\
            Look at next: take the node out of the members' file of every node, and out of the database's with quorate migrate \
            --members."
    )]
    Evidence(EvidenceArgs),

    #[command(
        about = "Check that records are genuine and that none is missing",
        long_about = "Checks records from a database, from archives, or from what `quorate prices --output json` printed: that each \
            proves itself (price, digest, every signature, members, enough of them), follows the one before it, and was written \
            at its time; so that none was changed, put in or taken out. Nothing that the database or a file says has to be \
            believed, if you bring the list of members (--members).\n\n\
            It says what was read, what it was held against, and what could not be checked. Exit code 0: every record holds. 1: \
            the first that does not, and how many by reason. docs/verifying.md explains the reasons, and how to check without \
            quorate.",
        after_help = "Examples:\n  \
            quorate verify --database-url-file db-url --members members.toml\n  \
            quorate verify --database-url-file db-url --from 24h\n  \
            quorate verify 2026-01.jsonl.gz 2026-02.jsonl.gz --members members.toml --database-url-file db-url\n  \
            quorate prices --database-url-file db-url --output json | quorate verify -\n\n\
            Look at next: --output json for programs."
    )]
    Verify(Box<VerifyArgs>),

    #[command(
        about = "Write old records to a file, and remove them from the database",
        long_about = "Writes records up to a point to a new file that proves itself: compressed JSON lines that `quorate verify` and \
            any program can read. The file is read again and verified before it gets its name; only then, and only with --remove, \
            the records leave the database, which only its owner can do.\n\n\
            The last record of each feed stays, and the database remembers what was before the first one that is left: so that \
            archives and database together still prove to be complete.",
        after_help = "Examples:\n  \
            quorate archive --database-url-file db-url --before 2026-02-01 --out 2026-01.jsonl.gz\n  \
            quorate archive --database-url-file owner-url --before 720h --out /archives --remove --members members.toml\n\n\
            Look at next: quorate verify 2026-01.jsonl.gz --database-url-file db-url says whether they join."
    )]
    Archive(Box<ArchiveArgs>),

    #[command(
        about = "Bring a database to the schema, as its owner",
        long_about = "Brings a database to the schema: tables, views, the write interval, the least number of signatures and \
            the members that the database itself holds every node to, and the role quorate_node, which can only read and add \
            records.\n\n\
            The database verifies every signature by itself. With --members it also refuses signatures of anybody else; a \
            member that is left out of a new list still counts for what was observed before, for one write interval.\n\n\
            Run it as the owner of the database, before the nodes and after every upgrade. It can run any number of times, and \
            from several places at once.",
        after_help = "Examples:\n  \
            quorate migrate --database-url-file owner-url --node-password-file node-password\n  \
            quorate migrate --database-url-file owner-url --write-interval 10s --min-signatures 5\n  \
            quorate migrate --database-url-file owner-url --members members.toml --min-validators 2\n\n\
            Look at next: start nodes with a URL like postgres://quorate_node:PASSWORD@HOST/DATABASE."
    )]
    Migrate(MigrateArgs),

    #[command(about = "Run the simulated exchange")]
    Exchange(ExchangeArgs),

    #[command(
        subcommand,
        arg_required_else_help = true,
        about = "Make or show keys and secrets",
        long_about = "Makes or shows a node's key, a list of members, or the secret of a sealed network.\n\n\
            One secp256k1 key is the node: it signs prices, its Ethereum address is the node's name in --members and in the \
            records, and its PeerId is the node's name in the peer-to-peer network.",
        after_help = "Examples:\n  quorate keys new --out node.key\n  quorate keys show --key-file node.key\n  \
            quorate keys members node-*.key > members.toml\n  quorate keys secret --out network.secret"
    )]
    Keys(DeclaredKeys),

    #[command(
        about = "Print completions for a shell",
        long_about = "Prints the script by which a shell completes quorate's commands and options: for bash, elvish, fish, \
            powershell or zsh.",
        after_help = "Examples:\n  \
            quorate completions bash > /etc/bash_completion.d/quorate\n  \
            quorate completions zsh > \"${fpath[1]}/_quorate\"\n  \
            quorate completions fish > ~/.config/fish/completions/quorate.fish"
    )]
    Completions(CompletionsArgs),

    #[command(
        about = "Print man pages",
        long_about = "Prints quorate's man page, or writes a page for each command into a folder: what their --help says.",
        after_help = "Examples:\n  \
            quorate man | man -l -\n  \
            quorate man --out /usr/local/share/man/man1"
    )]
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
enum DeclaredKeys {
    #[command(
        about = "Make a new key",
        long_about = "Makes a new secp256k1 key from the system's randomness and writes it to a new file that only you can \
            read. Prints the address and the PeerId that belong to it, never the key.\n\n\
            A keystore's password comes from --key-password-file, from the variable QUORATE_KEY_PASSWORD, or from you: at a \
            terminal it is asked for twice and not shown. Make it a long random one.",
        after_help = "Examples:\n  \
            quorate keys new --out node.key\n  \
            quorate keys new --out node.json --format keystore\n  \
            openssl rand -hex 32 > password && quorate keys new --out node.json --format keystore --key-password-file \
            password\n\n\
            Look at next: add the address to the file of --members on every node, and start with quorate node --key-file."
    )]
    New(KeysNewArgs),

    #[command(
        about = "Show the address and PeerId of a key",
        long_about = "Shows the Ethereum address (for --members and --validator) and the libp2p PeerId (for the end of --peer) \
            of the key in a file. The key itself is never shown.",
        after_help = "Examples:\n  \
            quorate keys show --key-file node.key\n  \
            quorate keys show --key-file node.json --key-password-file password"
    )]
    Show(KeysShowArgs),

    #[command(
        about = "Print a file of members",
        long_about = "Prints what --members reads: a table for each key file or address, with the file's name as the member's \
            name. Of a keystore the address that it names is taken, or that in the file KEYSTORE.address; with a password it is \
            opened.",
        after_help = "Examples:\n  \
            quorate keys members node-1.key node-2.json 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf > members.toml\n\n\
            Look at next: give the file to every node with --members. A change of it is noticed while they run."
    )]
    Members(KeysMembersArgs),

    #[command(
        about = "Make the secret of a sealed network",
        long_about = "Makes 32 random bytes, written as hex to a new file that only you can read, and prints the key id that \
            messages sealed with it carry. Bring the file to every node that shall read and write messages.\n\n\
            To change the secret: add the new one as second line everywhere, then make it the first, then drop the old one. \
            Nodes notice within two seconds, and no message is lost.",
        after_help = "Examples:\n  \
            quorate keys secret --out network.secret --network mainnet\n  \
            quorate keys secret --out new.secret && cat new.secret >> network.secret\n\n\
            Look at next: start nodes with --network-secret-file network.secret."
    )]
    Secret(KeysSecretArgs),
}

/// What can be run, with its configuration understood.
#[derive(Debug)]
pub(crate) enum Command {
    /// `quorate node`
    Node(Box<NodeConfig>),
    /// `quorate check`
    Check(Box<CheckConfig>),
    /// `quorate devnet`
    Devnet(Box<DevnetConfig>),
    /// `quorate prices`
    Prices(PricesConfig),
    /// `quorate rounds`
    Rounds(RoundsConfig),
    /// `quorate prices --follow`
    Follow(FollowConfig),
    /// `quorate evidence`
    Evidence(EvidenceConfig),
    /// `quorate verify`
    Verify(Box<VerifyConfig>),
    /// `quorate archive`
    Archive(Box<ArchiveConfig>),
    /// `quorate migrate`
    Migrate(MigrateConfig),
    /// `quorate exchange`
    Exchange(ExchangeArgs),
    /// `quorate keys new`
    KeysNew(KeysNewConfig),
    /// `quorate keys show`
    KeysShow(KeyConfig),
    /// `quorate keys members`
    KeysMembers(Vec<Listed>),
    /// `quorate keys secret`
    KeysSecret(KeysSecretConfig),
    /// `quorate completions`
    Completions(Shell),
    /// `quorate man`, into a folder or printed.
    Man(Option<PathBuf>),
}

impl Declared {
    /// Checks the rules between the settings, and loads what they name.
    fn resolve(self, now: UnixMillis, has_terminal: bool, problems: &mut Problems) -> Option<Command> {
        match self {
            Self::Node(args) => args.resolve(problems).map(Box::new).map(Command::Node),
            Self::Check(args) => args.resolve(problems).map(Box::new).map(Command::Check),
            Self::Devnet(config) => Some(Command::Devnet(Box::new(config.resolve(problems)))),
            Self::Prices(args) if args.follow => args.follow(problems).map(Command::Follow),
            Self::Prices(args) => args.resolve(now, problems).map(Command::Prices),
            Self::Rounds(args) => Some(Command::Rounds(args.resolve(problems))),
            Self::Evidence(args) => args.resolve(problems).map(Command::Evidence),
            Self::Verify(args) => args.resolve(now, problems).map(Box::new).map(Command::Verify),
            Self::Archive(args) => args.resolve(now, problems).map(Box::new).map(Command::Archive),
            Self::Migrate(args) => args.resolve(problems).map(Command::Migrate),
            Self::Exchange(args) => Some(Command::Exchange(args)),
            Self::Completions(args) => args.resolve(problems).map(Command::Completions),
            Self::Man(args) => Some(Command::Man(args.out)),
            Self::Keys(DeclaredKeys::New(args)) => args.resolve(has_terminal, problems).map(Command::KeysNew),
            Self::Keys(DeclaredKeys::Show(args)) => args.resolve(problems).map(Command::KeysShow),
            Self::Keys(DeclaredKeys::Members(args)) => args.resolve(problems).map(Command::KeysMembers),
            Self::Keys(DeclaredKeys::Secret(args)) => args.resolve(problems).map(Command::KeysSecret),
        }
    }
}

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

/// Understands the arguments, the first of which is the program's own name. `now` is the present time; at a terminal a person can
/// be asked for what is missing.
///
/// # Errors
/// A text to print instead of running.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
    now: UnixMillis,
    has_terminal: bool,
) -> Result<Invocation, Refusal> {
    let layers::Read {
        words,
        matches,
        mut problems,
    } = layers::read(declaration(), arguments, environment).map_err(refusal)?;
    let Arguments { command, log, .. } = Arguments::from_arg_matches(&matches).map_err(refusal)?;
    let command = command.resolve(now, has_terminal, &mut problems);
    match problems.finish(command) {
        Ok((command, warnings)) => Ok(Invocation {
            command,
            log,
            warnings,
        }),
        Err(problems) => Err(Refusal::Wrong(report(&words.join(" "), &problems))),
    }
}

/// Everything that can be written behind `quorate`, as its help tells it.
pub(crate) fn described() -> clap::Command {
    layers::with_conventions(declaration(), true)
}

fn declaration() -> clap::Command {
    fn narrow(command: clap::Command) -> clap::Command {
        command.max_term_width(WIDEST_HELP).mut_subcommands(narrow)
    }
    narrow(Arguments::command())
}

/// clap's errors quote arguments: one in the wrong place may be a secret.
fn refusal(error: clap::Error) -> Refusal {
    let text = error.render().to_string();
    if error.use_stderr() {
        Refusal::Wrong(mask(&text))
    } else {
        Refusal::Answer(text)
    }
}
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Invocation, Refusal> {
        let arguments = ["quorate"].iter().chain(arguments).map(OsString::from);
        let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        parse(arguments, environment, UnixMillis::new(1_800_000_000_000), false)
    }

    fn problems(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        match run(arguments, variables) {
            Err(Refusal::Wrong(text)) => text.lines().map(|line| line.trim().to_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_declarations_of_all_options_are_sound() {
        declaration().debug_assert();
    }

    #[test]
    fn every_default_is_right() {
        for (command, arguments) in [
            ("node", &["--database-url", "postgres://db"][..]),
            ("check", &["--database-url", "postgres://db"]),
            ("devnet", &[]),
            ("prices", &["--database-url", "postgres://db"]),
            ("evidence", &["--database-url", "postgres://db"]),
            ("verify", &["--database-url", "postgres://db"]),
            ("migrate", &["--database-url", "postgres://db"]),
        ] {
            let arguments = [&[command], arguments].concat();
            run(&arguments, &[]).unwrap();
        }
    }

    /// Each command below, and its own options.
    fn visit(command: &clap::Command, see: &mut impl FnMut(&clap::Arg)) {
        command.get_arguments().for_each(&mut *see);
        command.get_subcommands().for_each(|below| visit(below, see));
    }

    #[test]
    fn one_name_means_one_thing_in_all_commands() {
        let mut kinds = BTreeMap::new();
        visit(&declaration(), &mut |arg| {
            let kind = format!("{:?}", arg.get_action());
            // The exchange's option of this name is no variable and no key.
            if let Some(name) = arg.get_long().filter(|name| *name != "listen") {
                let known = kinds.entry(name.to_owned()).or_insert(kind.clone());
                assert_eq!(*known, kind, "{name}");
            }
        });
    }

    /// README's table of a node's options, as the declaration says it.
    fn options_table() -> String {
        let root = described();
        let node = root.find_subcommand("node").unwrap();
        let own = node.get_arguments();
        let global = root
            .get_arguments()
            .filter(|arg| arg.is_global_set() && arg.get_id() != "config");
        let mut table = "| option of `node` | default | what it is |\n|---|---|---|\n".to_owned();
        for arg in own.chain(global).filter(|arg| !arg.is_hide_set()) {
            let (name, help) = (arg.get_long().unwrap(), arg.get_help().unwrap().to_string());
            let defaults: Vec<_> = arg
                .get_default_values()
                .iter()
                .map(|value| format!("`{}`", value.to_string_lossy()))
                .collect();
            table += &format!(
                "| `--{name}` | {} | {} |\n",
                defaults.join(", "),
                help.replace('|', "\\|")
            );
        }
        table
    }

    #[test]
    fn readme_lists_every_option_of_a_node() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let table = options_table();
        let (before, rest) = readme.split_once("| option of `node` |").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let expected = format!("{before}{table}\n{after}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert!(
                readme == expected,
                "run this with UPDATE=1; the table is\n{table}"
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
                format!("--fetch-interval (from {file}): \"1s\" is an array: write one value: fetch-interval = \"…\""),
                "--write-interval (from QUORATE_WRITE_INTERVAL): \"30\" is not a duration: write a unit, like 30s".into(),
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
