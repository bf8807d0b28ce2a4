//! From a declaration to typed values: the command line wins over variables, these over the file, this over the defaults.
//!
//! What can be set is declared once, as the fields of structs that derive [`clap::Args`]; a field `write_interval` is the flag
//! `--write-interval`, the variable `QUORATE_WRITE_INTERVAL`, and `write-interval` in the file. clap alone would stop at the first
//! value that is wrong. So it first only splits the command line into texts; each text of each layer is then held against its own
//! declaration; and clap makes the typed values of those that are right.

use std::{any::TypeId, collections::BTreeMap, error::Error as _, ffi::OsString, path::Path};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{Resettable, ValueParser},
};

use super::{
    file::{ConfigFile, Entry},
    problems::{Given, Origin, Problem, Problems, Shown, did_you_mean},
    values::{Wrong, switch, wrong},
};
use crate::secret::Secret;

/// All our variables start so.
const PREFIX: &str = "QUORATE_";
/// Names the file.
const CONFIG: &str = "config";
/// Its options are flags only: it is a tool for trials, and some share names with those of nodes.
const FLAGS_ONLY: &str = "exchange";

/// The variables that are ours: a snapshot, so that nothing after the start depends on them.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    ours: BTreeMap<String, String>,
    /// Those whose bytes are no text.
    problems: Vec<Problem>,
}

impl Environment {
    /// Keeps our variables. An empty one counts as not set, as `${NAME:-}` in a compose file leaves it.
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Some(name) = name.into_string().ok().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    environment.ours.insert(name, value);
                }
                Err(_) => environment.problems.push(Problem {
                    field: name,
                    origin: Origin::Flag,
                    value: Shown::Hidden,
                    wrong: wrong("is not UTF-8", "write it as UTF-8 text"),
                }),
            }
        }
        environment
    }

    /// One line for each variable of ours that no command knows: most likely a typing error. Only the name is shown.
    fn strangers(&self, known: &[String]) -> impl Iterator<Item = String> {
        let strangers = self
            .ours
            .keys()
            .filter(|name| !known.contains(name) && !is_service_link(name));
        strangers.map(|name| {
            let hint =
                did_you_mean(name, known).map_or(String::new(), |known| format!(", did you mean {known}?"));
            format!("unknown variable ignored: name={name}{hint}")
        })
    }
}

/// Kubernetes sets such variables for every Service of the namespace; one called `quorate` or `quorate-api` gives them our
/// prefix.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT") || name.contains("_PORT_") || name.contains("_SERVICE_")
}

/// The values of one command, as far as they are right by themselves.
#[derive(Debug)]
pub(crate) struct Read {
    /// The words of the command: `keys`, `new`.
    pub(crate) words: Vec<String>,
    /// Typed values, for `from_arg_matches`. What is wrong has its default here.
    pub(crate) matches: ArgMatches,
    /// What is wrong with the others.
    pub(crate) problems: Problems,
}

/// Reads the values of a command from all layers.
///
/// # Errors
/// clap's, when help or version is asked for, or when the command line has a word or a flag that does not exist.
pub(crate) fn read(
    declared: Command,
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
) -> Result<Read, clap::Error> {
    let declared = with_conventions(declared, true);
    let texts = texts_only(declared.clone()).try_get_matches_from(arguments)?;
    let mut words = Vec::new();
    let (mut command, mut flags) = (&declared, &texts);
    while let Some((word, below)) = flags.subcommand() {
        words.push(word.to_owned());
        command = command.find_subcommand(word).unwrap_or(command);
        flags = below;
    }
    let globals = declared.get_arguments().filter(|arg| arg.is_global_set());
    let own = command.get_arguments().filter(|arg| !arg.is_global_set());

    let (keys, variables) = known_names(&declared);
    let (file, mut problems) = read_file(flags, &environment, &keys);
    problems.extend(environment.problems.iter().cloned());
    let mut layers = Layers {
        flags,
        environment: &environment,
        file: file.as_ref(),
        typed: words.iter().map(OsString::from).collect(),
        arguments: Vec::new(),
        given: Vec::new(),
        wrong: Vec::new(),
    };
    let flags_only = words.iter().any(|word| word == FLAGS_ONLY);
    for (arg, flags_only) in own
        .map(|arg| (arg, flags_only))
        .chain(globals.map(|arg| (arg, false)))
    {
        if arg.get_id() != CONFIG {
            layers.take(arg, flags_only);
        }
    }
    let Layers {
        typed,
        arguments,
        given,
        wrong,
        ..
    } = layers;
    let mut problems = Problems::new(given, problems);
    for (name, shown, wrong) in wrong {
        problems.reject_as(&name, shown, wrong);
    }
    for stranger in environment.strangers(&variables) {
        problems.warn(stranger);
    }
    let program = OsString::from(declared.get_name());
    // What follows `--` is no flag, however it begins.
    let escape = (!arguments.is_empty()).then(|| OsString::from("--"));
    let line = [program].into_iter().chain(typed).chain(escape).chain(arguments);
    let matches = declared.try_get_matches_from(line)?;
    Ok(Read {
        words,
        matches,
        problems,
    })
}

/// What all declarations have in common: a `bool` is a switch, and the help tells defaults and variables.
pub(crate) fn with_conventions(command: Command, has_variables: bool) -> Command {
    let command = command.mut_args(|arg| {
        if arg.is_positional() {
            return arg;
        }
        let arg = if matches!(arg.get_action(), ArgAction::SetTrue) {
            as_switch(arg)
        } else {
            arg
        };
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let mut origins = Vec::new();
        if !defaults.is_empty() {
            origins.push(format!("[default: {}]", defaults.join(",")));
        }
        if has_variables {
            origins.push(format!("[env: {}]", variable(&name(&arg))));
        }
        let help = arg
            .get_long_help()
            .or(arg.get_help())
            .cloned()
            .unwrap_or_default();
        arg.hide_default_value(true)
            .long_help(format!("{help}\n{}", origins.join(" ")))
    });
    command.mut_subcommands(|below| {
        let has_variables = has_variables && below.get_name() != FLAGS_ONLY;
        with_conventions(below, has_variables)
    })
}

/// `--mdns` and `--mdns true` are the same, and what is on by default can be switched off.
fn as_switch(arg: Arg) -> Arg {
    let is_set = !arg.get_default_values().is_empty();
    let arg = arg
        .action(ArgAction::Set)
        .num_args(0..=1)
        .default_missing_value("true")
        .value_name("true|false")
        .value_parser(switch);
    if is_set { arg } else { arg.default_value("false") }
}

/// The same command line, of which every value is just a text.
fn texts_only(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_action() {
            ArgAction::Set | ArgAction::Append => arg
                .value_parser(ValueParser::string())
                .required(false)
                .default_value(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(texts_only)
}

/// The name in kebab case: of the flag without its dashes, of the key in the file.
fn name(arg: &Arg) -> String {
    arg.get_long()
        .map_or_else(|| arg.get_id().to_string(), str::to_owned)
}

/// `write-interval` is `QUORATE_WRITE_INTERVAL`.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The keys and variables of all commands: one file, and one set of variables, may serve several.
fn known_names(declared: &Command) -> (Vec<String>, Vec<String>) {
    fn walk(command: &Command, keys: &mut Vec<String>, variables: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
            let name = name(arg);
            variables.push(variable(&name));
            if name != CONFIG && !arg.is_hide_set() {
                keys.push(name);
            }
        }
        for below in command
            .get_subcommands()
            .filter(|below| below.get_name() != FLAGS_ONLY)
        {
            walk(below, keys, variables);
        }
    }
    let (mut keys, mut variables) = (Vec::new(), Vec::new());
    walk(declared, &mut keys, &mut variables);
    for names in [&mut keys, &mut variables] {
        names.sort();
        names.dedup();
    }
    (keys, variables)
}

fn read_file(
    flags: &ArgMatches,
    environment: &Environment,
    keys: &[String],
) -> (Option<ConfigFile>, Vec<Problem>) {
    let from_flag = flags.try_get_one::<String>(CONFIG).ok().flatten();
    let variable = variable(CONFIG);
    match (from_flag, environment.ours.get(&variable)) {
        (Some(path), _) => ConfigFile::read(Path::new(path), Origin::Flag, keys),
        (None, Some(path)) => ConfigFile::read(Path::new(path), Origin::Variable(variable), keys),
        (None, None) => (None, Vec::new()),
    }
}

/// The layers of one command, and what has been taken from them.
struct Layers<'a> {
    flags: &'a ArgMatches,
    environment: &'a Environment,
    file: Option<&'a ConfigFile>,
    /// The words and the flags that are right, for clap to make typed values of.
    typed: Vec<OsString>,
    /// What has no flag.
    arguments: Vec<OsString>,
    given: Vec<(String, Given)>,
    wrong: Vec<(String, Shown, Wrong)>,
}

impl Layers<'_> {
    /// Takes a setting's texts from the highest layer that says something, and holds each against the declaration.
    fn take(&mut self, arg: &Arg, flags_only: bool) {
        let name = name(arg);
        let is_secret = arg.get_value_parser().type_id() == TypeId::of::<Secret>();
        let (values, origin) = self.find(arg, &name, flags_only);
        for text in &values {
            let checked = match origin {
                Origin::Default => continue,
                Origin::Flag if arg.is_hide_set() => Err(wrong(
                    "would be seen by other users in the list of processes",
                    format!("set {} instead", variable(&name)),
                )),
                _ => check(arg, text),
            };
            match checked {
                Ok(()) if arg.is_positional() => self.arguments.push(text.into()),
                Ok(()) => self.typed.push(format!("--{name}={text}").into()),
                Err(wrong) if is_secret => self.wrong.push((name.clone(), Shown::Hidden, wrong)),
                Err(wrong) => self.wrong.push((name.clone(), Shown::Text(text.clone()), wrong)),
            }
        }
        let field = match arg.get_value_names() {
            Some([value_name]) if arg.is_positional() => value_name.to_string(),
            _ if arg.is_hide_set() => variable(&name),
            _ => format!("--{name}"),
        };
        let given = Given {
            field,
            values,
            origin,
            is_secret,
        };
        self.given.push((name, given));
    }

    /// A list replaces a lower layer's list; they are not merged.
    fn find(&mut self, arg: &Arg, name: &str, flags_only: bool) -> (Vec<String>, Origin) {
        let is_list = matches!(arg.get_action(), ArgAction::Append);
        if let Ok(Some(texts)) = self.flags.try_get_many::<String>(arg.get_id().as_str()) {
            return (texts.cloned().collect(), Origin::Flag);
        }
        if !flags_only && !arg.is_positional() {
            let variable = variable(name);
            if let Some(text) = self.environment.ours.get(&variable) {
                let texts = if is_list { split(text) } else { vec![text.clone()] };
                return (texts, Origin::Variable(variable));
            }
            let file = self.file.filter(|_| !arg.is_hide_set());
            if let Some((file, entry)) = file.and_then(|file| Some((file, file.get(name)?))) {
                let origin = Origin::File(file.path.clone());
                match entry {
                    Entry::One(text) => return (vec![text.clone()], origin),
                    Entry::Many(texts) if is_list => return (texts.clone(), origin),
                    Entry::Many(texts) => {
                        let wrong = wrong("is an array", format!("write one value: {name} = \"…\""));
                        let shown = Shown::Text(texts.join(","));
                        self.wrong.push((name.to_owned(), shown, wrong));
                        return (Vec::new(), origin);
                    }
                }
            }
        }
        let defaults = arg.get_default_values().iter();
        let defaults = defaults.map(|value| value.to_string_lossy().into_owned());
        (defaults.collect(), Origin::Default)
    }
}

fn split(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

/// Holds a text against the declaration of its setting alone.
fn check(arg: &Arg, text: &str) -> Result<(), Wrong> {
    let alone = Command::new("alone").no_binary_name(true).arg(arg.clone());
    let line = match arg.get_long() {
        Some(long) => vec![format!("--{long}={text}")],
        None => vec!["--".to_owned(), text.to_owned()],
    };
    let Err(error) = alone.try_get_matches_from(line) else {
        return Ok(());
    };
    let source = error.source();
    Err(match source.and_then(|source| source.downcast_ref::<Wrong>()) {
        Some(wrong) => wrong.clone(),
        None => {
            let reason = source.map_or_else(String::new, |source| format!(" ({source})"));
            wrong(format!("is not accepted{reason}"), "see --help")
        }
    })
}
