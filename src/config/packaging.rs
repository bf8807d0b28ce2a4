//! `quorate completions` and `quorate man`: for which shell, and where to.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{
    problems::Problems,
    values::{choice, path, wrong},
};

const SHELLS: &[(&str, Shell)] = &[
    ("bash", Shell::Bash),
    ("elvish", Shell::Elvish),
    ("fish", Shell::Fish),
    ("powershell", Shell::PowerShell),
    ("zsh", Shell::Zsh),
];

/// Which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", value_parser = choice(SHELLS))]
    shell: Option<Shell>,
}

impl CompletionsArgs {
    /// There is one.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<Shell> {
        if self.shell.is_none() && problems.are_right(&["shell"]) {
            let names: Vec<&str> = SHELLS.iter().map(|(name, _)| *name).collect();
            let remedy = format!("write one of {}", names.join(", "));
            problems.reject("shell", wrong("is missing", remedy));
        }
        self.shell
    }
}

/// Where to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pages")]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder; if not set, the page of quorate itself is printed
    #[arg(long, value_name = "FOLDER", value_parser = path)]
    pub(crate) out: Option<PathBuf>,
}
