//! The results of a run of the suite against one server, and how they are shown.

mod details;
mod fold;
mod html;
mod json;
mod junit;
mod matrix;
#[cfg(test)]
pub(crate) mod samples;
mod terminal;

use std::fmt;
use std::time::Duration;

use legacy_websocket_trace::{Protocol, Severity};
use serde::{Deserialize, Serialize};

use crate::client;

pub use self::fold::fold_refused;
pub use self::html::html;
pub use self::json::ReadError;
pub use self::junit::junit;
pub use self::terminal::summary;

/// The version of the JSON form.
pub const FORMAT: u32 = 2;

/// One run against one server: what `--json` writes and `conformance report` reads.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "a record of the JSON form, which has a version of its own")]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The server that was checked.
    pub server: Server,
    /// When it was checked, in UTC: `2010-05-06T12:00:00Z`.
    pub started: String,
    /// The cases, in ascending order of ids.
    pub cases: Vec<Case>,
}

/// The server that was checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "as Report")]
pub struct Server {
    /// Its name in the matrix: `--name`, or the URL.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The protocols that it was declared to speak; empty if none was declared.
    pub protocols: Vec<String>,
    /// The protocols of which it refused every handshake, not counting those that it was declared to speak.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Whether it was declared to echo messages.
    pub echo: bool,
    /// The settings it was declared to have.
    pub settings: Vec<String>,
}

/// One case.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "as Report")]
pub struct Case {
    /// `area/name`; the area may have slashes.
    pub id: String,
    /// What happens, in one line.
    pub title: String,
    /// The protocol the client speaks.
    #[serde(with = "json::ProtocolName")]
    pub protocol: Protocol,
    /// The section of the specification.
    pub section: String,
    /// How much it matters.
    #[serde(with = "json::SeverityName")]
    pub severity: Severity,
    /// The ids of the requirements that it tests.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub requirements: Vec<String>,
    /// The outcome.
    pub verdict: Verdict,
    /// One sentence for a verdict that is not `pass`; empty for `pass`.
    pub reason: String,
    /// The reason without anything specific to this case, so that cases can be grouped; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cause: String,
    /// How the client's bytes were split when it did not pass; `None` if they were sent as in the trace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chunking: Option<String>,
    /// The reason from the list of known failures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub known: Option<String>,
    /// What a client was expected to see, one item per line.
    pub expected: Vec<Seen>,
    /// What it saw.
    pub seen: Vec<Seen>,
    /// What went over the wire. Empty if the case is not applicable.
    pub transcript: Vec<Entry>,
}

/// The outcome of a case, in ascending order of gravity.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "as Report")]
pub enum Verdict {
    /// It was not run: [`Case::reason`] says why.
    NotApplicable,
    /// As the specification requires.
    Pass,
    /// Differs from our engine where the specification allows it or is silent.
    Differs,
    /// Violates a SHOULD.
    FailsShould,
    /// Violates a MUST.
    FailsMust,
}

/// One item that a client sees.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "as Report")]
pub struct Seen {
    /// The connection, counted from 1.
    pub connection: u32,
    /// The turn, counted from 1. A turn is what the client sends before a wait.
    pub turn: u32,
    /// The item: `accepted`, `message "hello"`, `end` …
    pub what: String,
}

/// Something sent over the wire, or another event on it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "as Report")]
pub struct Entry {
    /// Milliseconds since the case began.
    pub at: f64,
    /// The connection, counted from 1.
    pub connection: u32,
    /// The side that caused it.
    pub from: Side,
    /// Its kind.
    pub kind: Kind,
    /// The bytes, hexadecimal in JSON; empty if there are none. Long runs are truncated: see `length`.
    #[serde(with = "hex")]
    pub bytes: Vec<u8>,
    /// The number of bytes.
    pub length: usize,
    /// The frame of RFC 6455 that ends with these bytes, as in a trace.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub frame: String,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "as Report")]
pub enum Side {
    /// The checker, on the left.
    Client,
    /// The server, on the right.
    Server,
}

/// What an [`Entry`] is: its colour in the diagram.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "as Report")]
pub enum Kind {
    /// The head of a request or of an answer, or a part of one.
    Head,
    /// Bytes of key3, or of the 16 bytes that answer it.
    Challenge,
    /// A text frame, or a part of one.
    Text,
    /// A binary frame, or a part of one.
    Binary,
    /// A frame that continues a message, or a part of one.
    Continuation,
    /// FF 00, or a close frame.
    Closing,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A frame of a reserved type, or a part of one.
    Reserved,
    /// Other bytes: a body, noise.
    Other,
    /// The side ended its part of TCP.
    Fin,
    /// The side reset TCP.
    Reset,
    /// The client waits (no bytes): the end of a turn, once for all connections.
    Wait,
    /// The checker stopped waiting for something expected (no bytes).
    Timeout,
    /// The checker drove the server's application or advanced its clock; the bytes are the step of the trace.
    Application,
}

impl Case {
    /// Whether it fails a MUST or a SHOULD and is not a known failure.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.known.is_none() && matches!(self.verdict, Verdict::FailsMust | Verdict::FailsShould)
    }

    /// The part of the id before the last slash.
    #[must_use]
    pub fn area(&self) -> &str {
        self.id.rsplit_once('/').map_or("", |(area, _)| area)
    }
}

/// The difference, in words that other cases share.
pub(crate) fn cause(expected: Option<&Seen>, seen: Option<&Seen>) -> String {
    let kind = |seen: Option<&Seen>| match seen {
        None => "nothing more".to_owned(),
        Some(Seen { what, .. }) if client::is_message(what) && !what.contains("not UTF-8") => {
            "a message".into()
        }
        Some(Seen { what, .. }) if client::is_message(what) => "a message that is not UTF-8".into(),
        Some(Seen { what, .. }) if what.starts_with("frame of type") => "a frame that no server sends".into(),
        Some(Seen { what, .. }) if what.starts_with("pong ") => "a pong".into(),
        Some(Seen { what, .. }) => what.clone(),
    };
    let (one, other) = (kind(expected), kind(seen));
    let other = match (expected, seen) {
        (Some(expected), Some(seen)) if expected.what == seen.what => "it in another turn".into(),
        _ if one == other => other.replacen("a ", "another ", 1),
        _ => other,
    };
    format!("expected {one}, saw {other}")
}

impl Verdict {
    /// All verdicts, in display order.
    pub const ALL: [Self; 5] =
        [Self::Pass, Self::FailsMust, Self::FailsShould, Self::Differs, Self::NotApplicable];

    /// The verdict for a case of this severity in which a client saw something unexpected.
    #[must_use]
    pub fn of_difference(severity: Severity) -> Self {
        match severity {
            Severity::Must => Self::FailsMust,
            Severity::Should => Self::FailsShould,
            Severity::May | Severity::Field => Self::Differs,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.connection != 1 {
            write!(f, "connection {}, ", self.connection)?;
        }
        write!(f, "turn {}: {}", self.turn, self.what)
    }
}

impl Entry {
    /// The maximum number of bytes kept of one entry.
    pub const MAX_BYTES: usize = 2048;

    /// An entry with the first [`Self::MAX_BYTES`] of `bytes`.
    #[must_use]
    pub fn new(at: Duration, connection: u32, from: Side, kind: Kind, bytes: &[u8]) -> Self {
        Self {
            at: (at.as_secs_f64() * 1e6).round() / 1e3,
            connection,
            from,
            kind,
            bytes: bytes.iter().copied().take(Self::MAX_BYTES).collect(),
            length: bytes.len(),
            frame: String::new(),
        }
    }
}
