//! Bytes as text.

use std::fmt::{self, Write};

/// Bytes, some of which are known only when the trace is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever records")]
pub struct Literal(pub Vec<Piece>);

/// A part of a [`Literal`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another piece is another version of the format")]
pub enum Piece {
    /// Bytes, repeated this many times.
    Bytes(Vec<u8>, usize),
    /// A value filled in by the runner.
    Variable(Variable),
}

/// A value that depends on the server that a trace is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another variable is another version of the format")]
pub enum Variable {
    /// The value of Host.
    Host,
    /// The resource name.
    Path,
    /// The value of Origin.
    Origin,
}

/// The values of the variables. The defaults are those of the drafts' examples.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct Variables {
    /// `${host}`.
    pub host: String,
    /// `${path}`.
    pub path: String,
    /// `${origin}`.
    pub origin: String,
}

impl Default for Variables {
    fn default() -> Self {
        Self { host: "example.com".into(), path: "/demo".into(), origin: "http://example.com".into() }
    }
}

impl Variables {
    /// Fills the variables into a text, as allowed in the field `url`.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let fill = |text: String, variable: Variable| {
            text.replace(&format!("${{{}}}", variable.name()), self.value(variable))
        };
        Variable::ALL.into_iter().fold(text.to_owned(), fill)
    }

    fn value(&self, variable: Variable) -> &str {
        match variable {
            Variable::Host => &self.host,
            Variable::Path => &self.path,
            Variable::Origin => &self.origin,
        }
    }
}

impl Variable {
    const ALL: [Self; 3] = [Self::Host, Self::Path, Self::Origin];

    /// The name between the braces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Origin => "origin",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variable| variable.name() == name)
    }
}

impl Literal {
    /// The bytes, with the variables filled in.
    #[must_use]
    pub fn bytes(&self, variables: &Variables) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes, times) => (0..*times).for_each(|_| out.extend_from_slice(bytes)),
                Piece::Variable(variable) => out.extend_from_slice(variables.value(*variable).as_bytes()),
            }
        }
        out
    }
}

impl From<&[u8]> for Literal {
    fn from(bytes: &[u8]) -> Self {
        Self(if bytes.is_empty() { Vec::new() } else { vec![Piece::Bytes(bytes.into(), 1)] })
    }
}

/// Runs of one byte at least this long are printed as a repetition.
const RUN: usize = 64;

/// Where a long line is broken.
const WIDTH: usize = 100;

impl Literal {
    /// The form in a trace file: strings, with a new one after each line feed.
    #[must_use]
    pub fn strings(&self) -> Vec<String> {
        let mut printer = Printer::default();
        for piece in &self.0 {
            match piece {
                Piece::Variable(variable) => {
                    let _ = write!(printer.line, "${{{}}}", variable.name());
                }
                Piece::Bytes(bytes, 1) => printer.bytes(bytes),
                Piece::Bytes(bytes, times) => printer.repeat(bytes, *times),
            }
        }
        printer.flush();
        if printer.strings.is_empty() {
            printer.strings.push("\"\"".into());
        }
        printer.strings
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.strings().join(" "))
    }
}

#[derive(Default)]
struct Printer {
    strings: Vec<String>,
    line: String,
}

impl Printer {
    fn bytes(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let run = bytes.iter().take_while(|other| **other == byte).count();
            if run >= RUN {
                self.repeat(&[byte], run);
                bytes = &bytes[run..];
                continue;
            }
            escape(byte, &mut self.line);
            bytes = &bytes[1..];
            if byte == b'\n' || self.line.len() >= WIDTH {
                self.flush();
            }
        }
    }

    fn repeat(&mut self, bytes: &[u8], times: usize) {
        self.flush();
        bytes.iter().for_each(|byte| escape(*byte, &mut self.line));
        let string = std::mem::take(&mut self.line);
        self.strings.push(format!("\"{string}\"*{times}"));
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let string = std::mem::take(&mut self.line);
            self.strings.push(format!("\"{string}\""));
        }
    }
}

fn escape(byte: u8, out: &mut String) {
    match byte {
        b'\r' => out.push_str("\\r"),
        b'\n' => out.push_str("\\n"),
        b'\t' => out.push_str("\\t"),
        b'\\' | b'"' | b'$' => {
            out.push('\\');
            out.push(char::from(byte));
        }
        b' '..=b'~' => out.push(char::from(byte)),
        _ => {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}
