//! Writes down what comes of the cases: snapshots, and the coverage table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use legacy_websocket_trace::{EXTENSION, Severity, Trace, Variables};
use similar::TextDiff;
use thiserror::Error;

use crate::chunking::Chunkings;
use crate::corpus::{self, Case, CorpusError};
use crate::replay::{Outcome, Replayer};
use crate::subject::Native;
use crate::{expectation, requirements, settings};

/// What blessing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all that there is to bless")]
pub enum Change {
    /// A case has its first snapshot.
    Added {
        /// Its name.
        id: String,
        /// What the client sees, as the snapshot has it.
        snapshot: String,
    },
    /// Something else comes of a case than before.
    Changed {
        /// Its name.
        id: String,
        /// The lines that differ.
        diff: String,
    },
    /// A snapshot is gone, for there is no such case any more.
    Removed(PathBuf),
    /// The coverage table.
    Coverage {
        /// Where it is.
        path: PathBuf,
        /// The lines that differ.
        diff: String,
    },
}

/// Why nothing, or nothing more, was blessed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlessError {
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file cannot be read, written or removed.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A case is not as a case has to be.
    #[error("{id}: {problem}")]
    Case {
        /// Which.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The requirements and the cases do not fit.
    #[error("{0}")]
    Requirements(String),
}

/// Adds a trace to a corpus as `AREA/NAME`, in the form of all cases, and blesses.
///
/// # Errors
/// [`BlessError`]; then nothing was added.
pub fn add(folder: &Path, trace: &Trace, id: &str) -> Result<Vec<Change>, BlessError> {
    let path = folder.join(format!("{id}.{EXTENSION}"));
    let wrong = |problem: &str| BlessError::Case { id: id.into(), problem: problem.into() };
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
            && !part.starts_with('.')
    };
    if !id.contains('/') || !id.split('/').all(is_name) {
        return Err(wrong("a case is called AREA/NAME, in letters, digits, '-', '_' and '.'"));
    }
    if path.exists() {
        return Err(wrong("there is such a case already"));
    }
    let case = Case { id: id.into(), path: path.clone(), trace: trace.clone() };
    validate(&case)?;
    let file = |error| BlessError::File { path: path.clone(), error };
    if let Some(area) = path.parent() {
        fs::create_dir_all(area).map_err(file)?;
    }
    fs::write(&path, trace.to_string()).map_err(file)?;
    bless(folder).inspect_err(|_| drop(fs::remove_file(&path)))
}

/// Writes the snapshots of a corpus, and this repository's coverage table, where they are not current.
///
/// # Errors
/// [`BlessError`] names the case or file.
pub fn bless(folder: &Path) -> Result<Vec<Change>, BlessError> {
    let cases = corpus::load(folder)?;
    let snapshots = expectation::beside(folder);
    let path = coverage_path(folder);
    let before = fs::read_to_string(&path).ok();
    // First all that can be refused, so that nothing is half done.
    let table = before.as_ref().map(|_| coverage(&cases)).transpose()?;
    cases.iter().try_for_each(validate)?;
    let mut changes = Vec::new();
    for case in &cases {
        changes.extend(bless_case(case, &snapshots)?);
    }
    for path in orphans(&cases, &snapshots)? {
        fs::remove_file(&path).map_err(|error| BlessError::File { path: path.clone(), error })?;
        changes.push(Change::Removed(path));
    }
    if let (Some(before), Some(table)) = (before, table)
        && before != table
    {
        let diff = diff(&before, &table);
        fs::write(&path, &table).map_err(|error| BlessError::File { path: path.clone(), error })?;
        changes.push(Change::Coverage { path, diff });
    }
    Ok(changes)
}

/// What is wrong with a case, apart from what comes of it.
///
/// # Errors
/// [`BlessError::Case`] says the first thing.
pub fn validate(case: &Case) -> Result<(), BlessError> {
    let wrong = |problem: String| Err(BlessError::Case { id: case.id.clone(), problem });
    let trace = &case.trace;
    for settings in case.all_settings() {
        if let Err(error) = settings::options(&settings) {
            return wrong(error.to_string());
        }
    }
    if matches!(trace.severity, Severity::Must | Severity::Should) && trace.requirements.is_empty() {
        return wrong("a MUST or SHOULD names the requirements that it tests".into());
    }
    let known = requirements::requirements().map_err(BlessError::Requirements)?;
    match trace.requirements.iter().find(|id| known.iter().all(|known| known.id != **id)) {
        Some(id) => wrong(format!("{id} is no requirement of requirements.toml")),
        None => Ok(()),
    }
}

/// What a folder of snapshots holds of cases that there are no more.
///
/// # Errors
/// [`CorpusError`]: the folder cannot be read.
pub fn orphans(cases: &[Case], snapshots: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let known: BTreeSet<_> = cases.iter().map(|case| expectation::path(snapshots, &case.id)).collect();
    let mut found = corpus::files(snapshots, expectation::EXTENSION)?;
    found.retain(|path| !known.contains(path));
    Ok(found)
}

/// Where the coverage table of a corpus is, if it has one.
#[must_use]
pub fn coverage_path(folder: &Path) -> PathBuf {
    folder.join("../../docs/conformance-coverage.md")
}

/// The coverage table, as it has to be.
///
/// # Errors
/// [`BlessError::Requirements`]: some requirement has neither case nor reason, or a case names none.
pub fn coverage(cases: &[Case]) -> Result<String, BlessError> {
    let cases: Vec<_> = cases.iter().collect();
    let requirements = requirements::requirements().map_err(BlessError::Requirements)?;
    requirements::check(&requirements, &cases).map_err(BlessError::Requirements)?;
    Ok(requirements::table(&requirements, &cases))
}

/// What differs between two texts, for people.
#[must_use]
pub fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(2).to_string()
}

fn bless_case(case: &Case, snapshots: &Path) -> Result<Option<Change>, BlessError> {
    let path = expectation::path(snapshots, &case.id);
    let before = fs::read_to_string(&path).ok();
    let text = outcomes(case, Chunkings::Whole)?;
    if before.as_deref().map(expectation::body) == Some(text.as_str()) {
        return Ok(None);
    }
    // What hangs on how reads are cut is wrong, and no snapshot could hold it.
    for chunkings in [Chunkings::Written, Chunkings::Bytes, Chunkings::Parts] {
        let cut = outcomes(case, chunkings)?;
        if cut != text {
            let problem = format!("the engine does otherwise when reads are cut:\n{}", diff(&text, &cut));
            return Err(BlessError::Case { id: case.id.clone(), problem });
        }
    }
    let file = |error| BlessError::File { path: path.clone(), error };
    if let Some(area) = path.parent() {
        fs::create_dir_all(area).map_err(file)?;
    }
    fs::write(&path, expectation::file(case, &text)).map_err(file)?;
    let id = case.id.clone();
    Ok(Some(match before {
        Some(before) => Change::Changed { id, diff: diff(expectation::body(&before), &text) },
        None => Change::Added { id, snapshot: text },
    }))
}

/// The text of a case's snapshot by the native engine, with the last of these chunkings.
fn outcomes(case: &Case, chunkings: Chunkings) -> Result<String, BlessError> {
    let mut all = Vec::new();
    for settings in case.all_settings() {
        let wrong = |problem: String| BlessError::Case { id: case.id.clone(), problem };
        let options = settings::options(&settings).map_err(|error| wrong(error.to_string()))?;
        let native = Native::new(options).ok_or_else(|| wrong("the engine refuses its settings".into()))?;
        let mut outcome = Outcome::default();
        let mut replayer = Replayer::new(native);
        for chunking in chunkings.of(case, 0) {
            outcome = replayer.replay(&case.trace, &Variables::default(), chunking);
        }
        all.push(outcome);
    }
    Ok(expectation::render(case, &all))
}
