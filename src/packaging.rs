//! What shells and packages want of a command line: completions and man pages, from the same declarations as the help.

use std::{fs, io, path::Path};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// The script that completes the commands and options in a shell.
pub(crate) fn completions(mut declared: Command, shell: Shell) -> io::Result<String> {
    let name = declared.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut declared, name, &mut script);
    text(script)
}

/// The page of the command itself.
pub(crate) fn page(declared: Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(declared).render(&mut page)?;
    text(page)
}

/// Writes a page for each command into a folder: `quorate.1`, `quorate-keys-new.1` and so on.
pub(crate) fn pages(declared: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(declared, folder)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(io::Error::other)
}
