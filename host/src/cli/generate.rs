//! Completions and man pages, from the declared options.

use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};

/// Prints a script that completes the program's commands and options.
pub(super) fn completions(mut command: Command, shell: Shell) -> Result<(), Box<dyn Error>> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    Ok(stdout().write_all(&script)?)
}

/// Writes a man page for each command.
pub(super) fn man_pages(command: Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| format!("{}: {error}", folder.display()).into())
}
