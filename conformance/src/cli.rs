//! The command line.

mod check;
mod corpus;
mod trace;

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::report::{Report, html};

/// The conformance suite for every WebSocket protocol that browsers shipped: draft-hixie-75 and -76, hybi-07 to -12,
/// RFC 6455.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a running server against the corpus.
    ///
    /// Each case gets a verdict: pass; fails a MUST or a SHOULD of its protocol; differs, where the protocol allows it
    /// or is silent; not applicable. The exit status is 0 without unknown failures, 1 with any, 2 on an error.
    Check(Box<check::Check>),
    /// Combine the JSON reports of several servers into one page.
    Report(Merge),
    /// Replay a trace: against the engine in this process, or against a running server.
    Replay(trace::Replay),
    /// Print a trace readably.
    Show(trace::Show),
    /// Add a trace to the corpus as a case, and bless it.
    Add(corpus::Add),
    /// Write the snapshots of new or changed cases and the coverage table, and list the changes.
    Bless(corpus::Bless),
}

#[derive(Debug, Args)]
struct Merge {
    /// Reports written by `check --json`. Two of the same server become one column.
    #[arg(required = true, value_name = "JSON")]
    reports: Vec<PathBuf>,

    /// The page.
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

/// The outcome of `check` and the other commands.
enum Outcome {
    Fine,
    Failures,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(check) => check.run(),
        Command::Report(merge) => merge.run(),
        Command::Replay(replay) => replay.run(),
        Command::Show(show) => show.run(),
        Command::Add(add) => add.run(),
        Command::Bless(bless) => bless.run(),
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Failures) => ExitCode::from(1),
        Err(error) => {
            anstream::eprintln!("conformance: {error}");
            ExitCode::from(2)
        }
    }
}

impl Merge {
    fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        let read = |path: &PathBuf| {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Report::read(BufReader::new(file)).map_err(|error| format!("{}: {error}", path.display()))
        };
        let reports = self.reports.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        write_file(&self.html, |to| html(&reports, to))?;
        Ok(Outcome::Fine)
    }
}

/// Writes a file, with an error that names it.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let whole = || {
        let mut file = BufWriter::new(File::create(path)?);
        write(&mut file)?;
        file.flush()
    };
    whole().map_err(|error| format!("{}: {error}", path.display()).into())
}
