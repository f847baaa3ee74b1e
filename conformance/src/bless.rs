//! Records the outcomes of the cases: snapshots, and the coverage table.

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
        /// The case.
        id: String,
        /// What the client sees, as in the snapshot.
        snapshot: String,
    },
    /// The outcome of a case has changed.
    Changed {
        /// The case.
        id: String,
        /// The lines that differ.
        diff: String,
    },
    /// A snapshot was removed because its case no longer exists.
    Removed(PathBuf),
    /// The coverage table has changed.
    Coverage {
        /// Its path.
        path: PathBuf,
        /// The lines that differ.
        diff: String,
    },
}

/// Why blessing stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlessError {
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file cannot be read, written or removed.
    #[error("{path}: {error}")]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A case is invalid.
    #[error("{id}: {problem}")]
    Case {
        /// The case.
        id: String,
        /// The problem.
        problem: String,
    },
    /// The requirements and the cases do not match.
    #[error("{0}")]
    Requirements(String),
}

/// Adds a trace to a corpus as `AREA/NAME`, in canonical form, and blesses.
///
/// # Errors
/// [`BlessError`]; nothing was added then.
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

/// Updates the snapshots of a corpus, and this repository's coverage table.
///
/// # Errors
/// [`BlessError`] names the case or file.
pub fn bless(folder: &Path) -> Result<Vec<Change>, BlessError> {
    let cases = corpus::load(folder)?;
    let snapshots = expectation::beside(folder);
    let path = coverage_path(folder);
    let before = fs::read_to_string(&path).ok();
    // Check everything that can be refused first, so that nothing is left half done.
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

/// Checks a case, apart from its outcome.
///
/// # Errors
/// [`BlessError::Case`] describes the first problem.
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

/// The snapshots in a folder whose cases no longer exist.
///
/// # Errors
/// [`CorpusError`]: the folder cannot be read.
pub fn orphans(cases: &[Case], snapshots: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let known: BTreeSet<_> = cases.iter().map(|case| expectation::path(snapshots, &case.id)).collect();
    let mut found = corpus::files(snapshots, expectation::EXTENSION)?;
    found.retain(|path| !known.contains(path));
    Ok(found)
}

/// The path of a corpus's coverage table, if it has one.
#[must_use]
pub fn coverage_path(folder: &Path) -> PathBuf {
    folder.join("../../docs/conformance-coverage.md")
}

/// The expected coverage table.
///
/// # Errors
/// [`BlessError::Requirements`]: a requirement has neither case nor reason, or a case names an unknown one.
pub fn coverage(cases: &[Case]) -> Result<String, BlessError> {
    let cases: Vec<_> = cases.iter().collect();
    let requirements = requirements::requirements().map_err(BlessError::Requirements)?;
    requirements::check(&requirements, &cases).map_err(BlessError::Requirements)?;
    Ok(requirements::table(&requirements, &cases))
}

/// The difference between two texts, for display.
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
    // An outcome that depends on how reads are split is wrong, and could not be captured in a snapshot.
    for chunkings in [Chunkings::Written, Chunkings::Bytes, Chunkings::Parts] {
        let cut = outcomes(case, chunkings)?;
        if cut != text {
            let problem = format!("the result depends on how reads are split:\n{}", diff(&text, &cut));
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

/// The text of a case's snapshot from the native engine, with the last of these chunkings.
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
