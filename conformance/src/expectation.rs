//! Snapshots: what came of a case, and of it what a client has to see.

use std::path::{Path, PathBuf};

use legacy_websocket_trace::{Connection, Setting};

use crate::corpus::Case;
use crate::replay::Outcome;

/// What the files are called behind the last dot.
pub const EXTENSION: &str = "snap";

/// Where the snapshots of this repository are.
#[must_use]
pub fn folder() -> PathBuf {
    beside(&crate::corpus::folder())
}

/// Where the snapshots of a corpus are.
#[must_use]
pub fn beside(corpus: &Path) -> PathBuf {
    corpus.with_file_name("snapshots")
}

/// Where a case's snapshot is, below a folder of snapshots.
#[must_use]
pub fn path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.{EXTENSION}"))
}

/// The text of a case's snapshot: one outcome for each of [`Case::all_settings`].
#[must_use]
pub fn render(case: &Case, outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for (settings, outcome) in case.all_settings().iter().zip(outcomes) {
        out.push_str(&format!("== {}\n{}", name(settings), outcome.render()));
    }
    out
}

/// A snapshot's file: its text, behind a head that says what it is.
#[must_use]
pub fn file(case: &Case, text: &str) -> String {
    let title = &case.trace.title;
    let is_plain = |char: char| char.is_alphanumeric() || " .-_/".contains(char);
    let title = if title.chars().all(is_plain) { title.clone() } else { format!("{title:?}") };
    format!("---\nsource: conformance/tests/corpus.rs\ndescription: {title}\n---\n{text}")
}

/// A snapshot's text in its file.
#[must_use]
pub fn body(file: &str) -> &str {
    file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(file, |(_, body)| body)
}

/// The parts of a snapshot's text, one for each of [`Case::all_settings`]: each is a snapshot's text by itself.
#[must_use]
pub fn parts(snapshot: &str) -> Vec<&str> {
    let mut starts: Vec<_> = snapshot.match_indices("\n== ").map(|(at, _)| at + 1).collect();
    starts.push(snapshot.len());
    starts.windows(2).filter_map(|ends| snapshot.get(ends[0]..ends[1])).collect()
}

/// What clients may see, by a snapshot's text: one list for each of [`Case::all_settings`].
#[must_use]
pub fn read(snapshot: &str) -> Vec<Vec<(Connection, u32, String)>> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in snapshot.lines() {
        if line.starts_with("== ") {
            all.push(Vec::new());
            inside = false;
        } else if line == "the client sees" {
            inside = true;
        } else if inside
            && let Some(line) = line.strip_prefix("  ")
            && let Some((place, what)) = line.split_once(' ')
            && let Some((connection, turn)) = place.split_once('.')
            && let (Ok(connection), Ok(turn)) = (connection.parse(), turn.parse())
            && let Some(seen) = all.last_mut()
        {
            seen.push((connection, turn, what.to_owned()));
        }
    }
    all
}

fn name(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return "without settings".into();
    }
    settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
