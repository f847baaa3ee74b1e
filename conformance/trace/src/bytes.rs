//! What one side writes at once.

use std::fmt;

use crate::{Frame, Literal, Variables};

/// Strings and frames that are written at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever records")]
pub struct Bytes(pub Vec<Part>);

/// A part of [`Bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another part is another version of the format")]
pub enum Part {
    /// Any bytes.
    Literal(Literal),
    /// A frame of RFC 6455.
    Frame(Frame),
}

impl Bytes {
    /// The bytes, with the variables filled in.
    #[must_use]
    pub fn bytes(&self, variables: &Variables) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => out.extend_from_slice(&literal.bytes(variables)),
                Part::Frame(frame) => frame.encode(variables, &mut out),
            }
        }
        out
    }

    /// The form in a trace file, line by line: the first follows the actor, the others say `+` or `&` themselves.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for part in &self.0 {
            let strings = match part {
                Part::Literal(literal) => literal.strings(),
                Part::Frame(frame) => frame.strings(),
            };
            for (at, string) in strings.into_iter().enumerate() {
                lines.push(match (at, lines.is_empty()) {
                    (_, true) => string,
                    (0, false) => format!("& {string}"),
                    (_, false) => format!("+ {string}"),
                });
            }
        }
        if lines.is_empty() {
            lines.push("\"\"".into());
        }
        lines
    }
}

impl Part {
    /// The string, or the payload.
    pub(crate) fn literal(&self) -> &Literal {
        match self {
            Self::Literal(literal) => literal,
            Self::Frame(frame) => &frame.payload,
        }
    }

    /// The string, or the payload.
    pub(crate) fn literal_mut(&mut self) -> &mut Literal {
        match self {
            Self::Literal(literal) => literal,
            Self::Frame(frame) => &mut frame.payload,
        }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(vec![Part::Literal(bytes.into())])
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
