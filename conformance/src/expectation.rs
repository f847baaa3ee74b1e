//! Snapshots: the outcome of a case, and what a client must see of it.

use std::path::{Path, PathBuf};

use legacy_websocket_trace::{Connection, Setting};

use crate::corpus::Case;
use crate::replay::Outcome;

/// The file extension, after the last dot.
pub const EXTENSION: &str = "snap";

/// The snapshots of this repository.
#[must_use]
pub fn folder() -> PathBuf {
    beside(&crate::corpus::folder())
}

/// The snapshots of a corpus.
#[must_use]
pub fn beside(corpus: &Path) -> PathBuf {
    corpus.with_file_name("snapshots")
}

/// The path of a case's snapshot below a folder of snapshots.
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

/// The content of a snapshot file: the text, after a header that describes it.
#[must_use]
pub fn file(case: &Case, text: &str) -> String {
    let title = &case.trace.title;
    let is_plain = |char: char| char.is_alphanumeric() || " .-_/".contains(char);
    let title = if title.chars().all(is_plain) { title.clone() } else { format!("{title:?}") };
    format!("---\nsource: conformance/tests/corpus.rs\ndescription: {title}\n---\n{text}")
}

/// The text in a snapshot file.
#[must_use]
pub fn body(file: &str) -> &str {
    file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(file, |(_, body)| body)
}

/// The parts of a snapshot's text, one for each of [`Case::all_settings`]; each is itself a snapshot's text.
#[must_use]
pub fn parts(snapshot: &str) -> Vec<&str> {
    let mut starts: Vec<_> = snapshot.match_indices("\n== ").map(|(at, _)| at + 1).collect();
    starts.push(snapshot.len());
    starts.windows(2).filter_map(|ends| snapshot.get(ends[0]..ends[1])).collect()
}

/// What clients may see according to a snapshot: one list for each of [`Case::all_settings`].
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
