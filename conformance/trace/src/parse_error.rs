//! What is wrong with a text that is no trace.

use thiserror::Error;

use crate::HEADER;

/// Why a text is not a valid trace.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
#[expect(clippy::exhaustive_structs, reason = "a place and a problem")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The problem in that line.
    pub problem: Problem,
}

/// The problem with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The first line is not the header.
    #[error("the first line must be {HEADER:?}")]
    Header,
    /// A field unknown to the format.
    #[error("unknown field {0:?}")]
    UnknownField(String),
    /// A field that may appear only once is repeated, or a field follows a step.
    #[error("{0} is repeated or out of place")]
    MisplacedField(String),
    /// An invalid value for the field.
    #[error("invalid {0}: {1:?}")]
    FieldValue(String, String),
    /// A required field is missing.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// Neither a field nor a step.
    #[error("not a step: {0:?}")]
    UnknownStep(String),
    /// A frame with an unknown opcode or attribute.
    #[error("not a frame: {0}")]
    NotAFrame(String),
    /// A string without an end, or with something after it.
    #[error("not a string: {0}")]
    NotAString(String),
    /// An escape unknown to the format.
    #[error("unknown escape: {0:?}")]
    Escape(String),
    /// A `+` or `&` with nothing to continue.
    #[error("nothing to continue")]
    NothingToContinue,
    /// Repetitions that exceed 64 MiB.
    #[error("repeated too often: repetitions may total 64 MiB")]
    TooLong,
    /// No steps.
    #[error("no steps")]
    NoSteps,
}
