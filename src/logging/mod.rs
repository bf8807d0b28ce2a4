//! The log: lines on standard error, for people or for collectors. Standard output is for what a command was asked for.

mod line;
mod queue;

use std::{
    env,
    io::{self, IsTerminal},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use chrono::Utc;
use env_filter::{Filter, ParseError};
use log::{Level, LevelFilter, Log, Metadata, Record};

pub(crate) use self::queue::dropped_lines;
use self::{line::Form, queue::Queue};
use crate::{
    config::{
        logging::{LogConfig, LogFormat},
        members::Names,
    },
    names::Named,
};

/// How long the end of the process waits for a reader of what was logged last.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What members are called in the lines from now on: the log is one for the process, and so are they.
static NAMES: RwLock<Named> = RwLock::new(Named::none());

/// From now on lines show these names beside the addresses.
pub(crate) fn call_members(names: &Names) {
    *NAMES.write().unwrap_or_else(PoisonError::into_inner) = Named::new(names);
}

/// Libraries that may say everything if `RUST_LOG` asks for it: they see no password, key or token. The others (the database's
/// client shows statements with their parameters, that of HTTP headers) say what is at least `info`, whatever is asked for.
const OUTSPOKEN: [&str; 8] = [
    "quorate",
    "libp2p",
    "multistream_select",
    "yamux",
    "hickory",
    "if_watch",
    "netlink",
    "actix_server",
];

/// Begins to log. `rust_log` wins over the level, as users of Rust programs expect.
///
/// # Errors
/// The thread that writes cannot be started, or something logs already.
pub(crate) fn init(config: &LogConfig, rust_log: Option<&str>) -> io::Result<()> {
    let usual = filters(config.level);
    let (filter, error) = match parsed(rust_log.unwrap_or(&usual)) {
        Ok(filter) => (filter, None),
        Err(error) => (
            parsed(&usual).map_err(|error| io::Error::other(error.to_string()))?,
            Some(error),
        ),
    };
    let form = match config.format {
        LogFormat::Json => Form::Json,
        LogFormat::Text if wants_colour() => Form::Colour,
        LogFormat::Text => Form::Text,
    };
    let most = filter.filter();
    let logger = Logger {
        filter,
        form,
        queue: Arc::default(),
    };
    let queue = Arc::clone(&logger.queue);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || queue.write_to(&mut io::stderr(), |count| line::dropped(form, count, Utc::now())))?;
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(most);
    if let Some(error) = error {
        log::warn!("RUST_LOG is not understood, so --log-level counts: reason=\"{error}\"");
    }
    Ok(())
}

fn parsed(filters: &str) -> Result<Filter, ParseError> {
    let mut builder = env_filter::Builder::new();
    builder.try_parse(filters)?;
    Ok(builder.build())
}

/// Our crates at `level`, all of which start so; the libraries, which say much, at warnings. Those of the network tell of single
/// frames and streams, of which a hostile peer can send any number: the gossip bridge says in sum and in its own words what an
/// operator can use of it.
fn filters(level: LevelFilter) -> String {
    let libraries = level.min(LevelFilter::Warn);
    format!(
        "{libraries},{},quorate={level}",
        OF_THE_NETWORK.map(|library| format!("{library}=OFF")).join(",")
    )
}

/// Beginnings of the names of libraries whose lines are the network's to provoke.
const OF_THE_NETWORK: [&str; 5] = ["actix_http", "libp2p", "multistream_select", "yamux", "hickory"];

/// As <https://no-color.org> has it.
fn wants_colour() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether nothing that this library says at this level can hold a secret.
fn may_say(target: &str, level: Level) -> bool {
    // The handshake's keys are its business.
    let is_outspoken =
        !target.starts_with("libp2p_noise") && OUTSPOKEN.iter().any(|library| target.starts_with(library));
    level <= Level::Info || is_outspoken
}

struct Logger {
    filter: Filter,
    form: Form,
    queue: Arc<Queue>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata) && may_say(metadata.target(), metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        if self.filter.matches(record) && may_say(record.target(), record.level()) {
            let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
            self.queue.push(line::of(self.form, record, &names, Utc::now()));
        }
    }

    /// Waits until what was logged is written, or nobody has read it for a second.
    fn flush(&self) {
        self.queue.flush(FLUSH_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn libraries_log_warnings_and_those_of_the_network_nothing_whatever_our_level_is() {
        let silent = "actix_http=OFF,libp2p=OFF,multistream_select=OFF,yamux=OFF,hickory=OFF";
        for (level, libraries) in [
            (LevelFilter::Debug, "WARN"),
            (LevelFilter::Error, "ERROR"),
            (LevelFilter::Off, "OFF"),
        ] {
            assert_eq!(filters(level), format!("{libraries},{silent},quorate={level}"));
        }
    }

    /// All files of Rust below a folder of the repository, without their tests.
    fn sources(folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                into.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
            }
        }
    }

    /// What a literal behind `marker` says before the first colon; not what is put together elsewhere.
    fn named_behind<'t>(text: &'t str, marker: &'static str) -> impl Iterator<Item = &'t str> {
        let literals = text
            .split(marker)
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"'));
        let names = literals.map(|literal| {
            literal
                .split([':', '"', '{', '\\'])
                .next()
                .unwrap_or_default()
                .trim()
        });
        names.filter(|name| !name.is_empty())
    }

    #[test]
    fn every_warning_is_explained_in_the_documentation_and_nothing_else_is() {
        let page = include_str!("../../docs/messages.md");
        let first_cells = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let explained: BTreeSet<&str> = first_cells
            .flat_map(|cell| cell.split("`, `"))
            .map(|name| name.trim_matches('`'))
            .collect();
        let mut texts = vec![];
        for folder in ["actors/src", "prices/src", "store/src", "supervisor/src", "src"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut texts);
        }
        for text in &texts {
            for name in named_behind(text, "log::warn!(").chain(named_behind(text, "log::error!(")) {
                assert!(explained.contains(name), "docs/messages.md lacks {name:?}");
            }
        }
        for name in explained {
            // Of some messages the first word is the name of a file's content.
            let tail = name
                .split_once(" file not taken over")
                .map_or(name, |_| "file not taken over");
            assert!(
                texts.iter().any(|text| text.contains(tail)),
                "nothing says {name:?}"
            );
        }
    }

    #[test]
    fn a_library_that_sees_secrets_is_silent_below_info_whatever_rust_log_asks_for() {
        let logger = Logger {
            filter: parsed("trace").unwrap(),
            form: Form::Text,
            queue: Arc::default(),
        };
        let is_logged = |target: &str, level| {
            let metadata = Metadata::builder().target(target).level(level).build();
            logger.enabled(&metadata)
        };
        for library in [
            "tokio_postgres::query",
            "awc::sender",
            "actix_http::h1::client",
            "rustls::client::hs",
            "libp2p_noise::protocol",
            "not_known_today",
        ] {
            assert!(!is_logged(library, Level::Debug), "{library}");
            assert!(!is_logged(library, Level::Trace), "{library}");
            assert!(is_logged(library, Level::Info), "{library}");
        }
        for library in ["quorate_actors::signer", "libp2p_swarm", "yamux::connection"] {
            assert!(is_logged(library, Level::Trace), "{library}");
        }
    }
}
