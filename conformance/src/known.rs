//! Known failures: a file that lists, for each server, the cases it fails, with a reason for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use thiserror::Error;

use crate::report::{Report, Verdict};

/// The prefix of the reason for a case that a server fails only in some runs.
const SOMETIMES: &str = "sometimes: ";

/// Cases and reasons, by server name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a table")]
pub struct Known(pub BTreeMap<String, BTreeMap<String, String>>);

/// Why a list cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KnownError {
    /// The file does not exist, or is not readable.
    #[error("{path}: {error}")]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// Not a table of tables of strings.
    #[error("{path}: {error}")]
    Parse {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: Box<toml::de::Error>,
    },
}

impl Known {
    /// Reads a file: `[server]`, then `"area/case" = "reason"`.
    ///
    /// # Errors
    /// [`KnownError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KnownError> {
        let text = fs::read_to_string(path).map_err(|error| KnownError::Read { path: path.into(), error })?;
        let known = toml::from_str(&text);
        known.map(Self).map_err(|error| KnownError::Parse { path: path.into(), error: Box::new(error) })
    }

    /// Adds the reasons to a report. Returns the stale entries: their case passed, or does not exist.
    pub fn apply(&self, report: &mut Report) -> Vec<String> {
        let mut stale = Vec::new();
        for (id, reason) in self.0.get(&report.server.name).into_iter().flatten() {
            match report.cases.iter_mut().find(|case| case.id == *id) {
                // A case that was not run may still fail.
                Some(case) if case.verdict == Verdict::NotApplicable => {}
                Some(case) if matches!(case.verdict, Verdict::FailsMust | Verdict::FailsShould) => {
                    case.known = Some(reason.clone());
                }
                Some(_) if reason.starts_with(SOMETIMES) => {}
                Some(_) => stale.push(format!("{id}: it no longer fails")),
                None => stale.push(format!("{id}: there is no such case")),
            }
        }
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn an_entry_is_stale_when_its_case_passes_or_is_removed() {
        let text = r#"
            [sample]
            "closing/answered" = "it is old"
            "handshake/75/plain" = "it is old"
            "handshake/76/odd" = "sometimes: it is slow"
            "http/post" = "was not run"
            "gone" = "it is old"
            [other]
            "handshake/75/plain" = "not ours"
        "#;
        let known = Known(toml::from_str(text).unwrap());
        let mut report = samples::report();
        let stale = known.apply(&mut report);
        assert_eq!(stale, ["gone: there is no such case", "handshake/75/plain: it no longer fails"]);
        assert_eq!(report.cases[0].known.as_deref(), Some("it is old"));
    }
}
