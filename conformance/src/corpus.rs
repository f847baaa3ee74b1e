//! The corpus: a folder of traces, and beside it a folder of snapshots.

use std::path::{Path, PathBuf};
use std::{fs, io};

use legacy_websocket_trace::{EXTENSION, ParseError, Setting, Trace};
use thiserror::Error;

use crate::settings::with_variant;

/// A trace of the corpus.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its path below the corpus, without the extension: `area/name`.
    pub id: String,
    /// The path of its file.
    pub path: PathBuf,
    /// The trace.
    pub trace: Trace,
}

/// Why a corpus cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A folder or file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file is not a valid trace.
    #[error("{path}: {error}")]
    Parse {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: ParseError,
    },
    /// There is no trace.
    #[error("{0} holds no .{EXTENSION} file")]
    Empty(PathBuf),
}

impl Case {
    /// The settings to run it with: its own first, then each variant in its place.
    #[must_use]
    pub fn all_settings(&self) -> Vec<Vec<Setting>> {
        let own = &self.trace.settings;
        let variants = self.trace.variants.iter().map(|variant| with_variant(own, variant));
        [own.clone()].into_iter().chain(variants).collect()
    }
}

/// The corpus of this repository.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Every case below a folder, by id.
///
/// # Errors
/// [`CorpusError`] names the file.
pub fn load(folder: &Path) -> Result<Vec<Case>, CorpusError> {
    let mut cases = Vec::new();
    for path in files(folder, EXTENSION)? {
        let relative = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
        let id = relative.to_string_lossy().replace('\\', "/");
        let trace = read(&path)?;
        cases.push(Case { id, path, trace });
    }
    if cases.is_empty() {
        return Err(CorpusError::Empty(folder.into()));
    }
    cases.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(cases)
}

/// Reads one trace.
///
/// # Errors
/// [`CorpusError`] names the file.
pub fn read(path: &Path) -> Result<Trace, CorpusError> {
    let text = fs::read_to_string(path).map_err(|error| CorpusError::Read { path: path.into(), error })?;
    text.parse().map_err(|error| CorpusError::Parse { path: path.into(), error })
}

/// Every file below a folder whose name has this extension.
///
/// # Errors
/// [`CorpusError::Read`].
pub fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let fail = |error| CorpusError::Read { path: folder.into(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(found)
}
