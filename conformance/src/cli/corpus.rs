//! `conformance add` and `conformance bless`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use crate::bless::{self, Change};
use crate::corpus;

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The trace: written by hand, or by `legacy-websocket serve --record`.
    file: PathBuf,

    /// What the case is called: AREA/NAME, as in corpus/.
    name: String,

    #[command(flatten)]
    bless: Bless,
}

#[derive(Debug, Args)]
pub(super) struct Bless {
    /// Another corpus. Its snapshots are in the folder `snapshots` beside it.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
}

impl Add {
    pub(super) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        say(&bless::add(&self.bless.folder(), &corpus::read(&self.file)?, &self.name)?);
        Ok(Outcome::Fine)
    }
}

impl Bless {
    pub(super) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        say(&bless::bless(&self.folder())?);
        Ok(Outcome::Fine)
    }

    fn folder(&self) -> PathBuf {
        self.corpus.clone().unwrap_or_else(corpus::folder)
    }
}

fn say(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Added { id, snapshot } => anstream::println!("added {id}\n{snapshot}"),
            Change::Changed { id, diff } => anstream::println!("changed {id}\n{diff}"),
            Change::Removed(path) => anstream::println!("removed {}", path.display()),
            Change::Coverage { path, diff } => anstream::println!("changed {}\n{diff}", path.display()),
        }
    }
    let blessed =
        changes.iter().any(|change| matches!(change, Change::Added { .. } | Change::Changed { .. }));
    anstream::println!(
        "{}",
        match (changes, blessed) {
            ([], _) => "Nothing changed.",
            (_, true) => "Read what each says that the client sees, against the draft.",
            (_, false) => "No case says anything else than before.",
        }
    );
}
