//! The trace format: a text file that records, in order, what both sides of one or more connections did.
//!
//! The conformance corpus is made of traces, and the host records connections as traces.
//! `conformance/README.md` specifies the format for other implementations; this crate reads and writes it.
//!
//! ```
//! use legacy_websocket_trace::{Literal, Step, Trace, Variables};
//!
//! let trace: Trace = r#"legacy-websocket-trace 2
//! title: a client says hello and leaves
//! protocol: draft75
//! section: 75 s5.3
//! severity: MUST
//!
//! C "GET ${path} HTTP/1.1\r\n"
//! + "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
//! + "Host: ${host}\r\nOrigin: ${origin}\r\n\r\n"
//! wait
//! C "\x00hello\xff"
//! wait
//! C fin
//! "#
//! .parse()?;
//! assert_eq!(trace.steps.len(), 5);
//! let Step::Client { bytes, .. } = &trace.steps[0] else { unreachable!() };
//! assert!(bytes.bytes(&Variables::default()).starts_with(b"GET /demo HTTP/1.1\r\nUpgrade"));
//! # Ok::<_, legacy_websocket_trace::ParseError>(())
//! ```

mod bytes;
mod frame;
mod framer;
mod literal;
pub mod opcode;
mod parse;
mod parse_error;
mod print;
mod string;

use std::fmt;
use std::time::Duration;

pub use crate::bytes::{Bytes, Part};
pub use crate::frame::{Frame, LengthBits};
pub use crate::framer::Framer;
pub use crate::literal::{Literal, Piece, Variable, Variables};
pub use crate::parse_error::{ParseError, Problem};

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The first line of every trace.
pub const HEADER: &str = "legacy-websocket-trace 2";

/// The first line before there were later protocols than the two drafts. Such traces are still read.
pub const OLD_HEADER: &str = "legacy-websocket-trace 1";

/// The file extension, after the last dot.
pub const EXTENSION: &str = "trace";

/// A trace. Printing it gives text that parses to the same trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by whoever records")]
pub struct Trace {
    /// What happens, in one line.
    pub title: String,
    /// The protocol the client speaks.
    pub protocol: Protocol,
    /// The section of the specification: `76 s5.2 step 5`, `6455 s5.1`, or `field` for behaviour met in the field.
    pub section: String,
    /// How much it matters.
    pub severity: Severity,
    /// The requirements that it tests.
    pub requirements: Vec<String>,
    /// Options that the server needs for it.
    pub settings: Vec<Setting>,
    /// Other settings with an equally good outcome: each adds to (or replaces) one of `settings`.
    pub variants: Vec<Setting>,
    /// The URL that the client opened, unless it is `ws://`, Host and the resource name.
    pub url: Option<String>,
    /// The client that was recorded, with its version.
    pub client: Option<String>,
    /// The source of the bytes.
    pub source: Option<String>,
    /// A note for the reader.
    pub notes: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// The protocol the client of a trace speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all that browsers shipped; there will be no other")]
pub enum Protocol {
    /// draft-hixie-thewebsocketprotocol-75.
    Draft75,
    /// draft-hixie-thewebsocketprotocol-76.
    Draft76,
    /// draft-ietf-hybi-thewebsocketprotocol-07.
    Hybi7,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12.
    Hybi8,
    /// RFC 6455, and hybi-13 to -17.
    Rfc6455,
    /// None of these: plain HTTP, noise.
    #[default]
    None,
}

/// How much a case matters: the specifications' own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the specifications' words, and one for what they do not say")]
pub enum Severity {
    /// The draft requires it, of the server or through a comparison its clients make.
    Must,
    /// The draft recommends it.
    Should,
    /// The draft allows it.
    May,
    /// The draft is silent; clients and networks of the time made it matter.
    #[default]
    Field,
}

/// An option of a server: a name, and a value unless it is a switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a pair with names")]
pub struct Setting {
    /// As on the host's command line, without dashes before it.
    pub name: String,
    /// Empty for a switch.
    pub value: String,
}

/// The number of a connection in a trace, counted from 1.
pub type Connection = u32;

/// One step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another step is another version of the format")]
pub enum Step {
    /// The client writes. Its first step on a connection opens it.
    Client {
        /// The connection.
        connection: Connection,
        /// The bytes.
        bytes: Bytes,
    },
    /// The client ends its side of TCP, or resets the connection.
    ClientEnd {
        /// The connection.
        connection: Connection,
        /// By RST, not FIN.
        reset: bool,
    },
    /// What a server wrote when the trace was recorded. A runner treats it as [`Step::Wait`].
    Server {
        /// The connection.
        connection: Connection,
        /// The bytes.
        bytes: Bytes,
    },
    /// How a server ended the connection when the trace was recorded. A runner treats it as [`Step::Wait`].
    ServerEnd {
        /// The connection.
        connection: Connection,
        /// By RST, not FIN.
        reset: bool,
    },
    /// The client waits for the server's output.
    Wait,
    /// This much time passes.
    After(Duration),
    /// The server's application acts.
    Application(Action),
}

/// An action of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another action is another version of the format")]
pub enum Action {
    /// Sends a message to one connection.
    Send(Connection, Literal),
    /// Sends a binary message to one connection.
    SendBinary(Connection, Literal),
    /// Sends a message to every connected client.
    Broadcast(Literal),
    /// Closes a connection, with a code and a reason if it is not the usual code without a reason. The drafts of hixie
    /// have neither.
    Close(Connection, Option<(u16, Literal)>),
    /// Accepts an opening handshake, optionally naming a subprotocol.
    Accept(Connection, Option<Literal>),
    /// Refuses an opening handshake with a status and a reason.
    Reject(Connection, u16, Literal),
    /// Answers an opening handshake with a response of this status and body instead of the 101.
    Respond(Connection, u16, Literal),
    /// Stops the server.
    Shutdown,
}

impl Protocol {
    /// All of them, the oldest first.
    pub const ALL: [Self; 6] =
        [Self::Draft75, Self::Draft76, Self::Hybi7, Self::Hybi8, Self::Rfc6455, Self::None];

    /// The name in a trace file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft75 => "draft75",
            Self::Draft76 => "draft76",
            Self::Hybi7 => "hybi7",
            Self::Hybi8 => "hybi8",
            Self::Rfc6455 => "rfc6455",
            Self::None => "none",
        }
    }

    /// The protocol of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The protocol that a request asks for, by its head; what follows that does not matter.
    #[must_use]
    pub fn of_request(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = bytes.get(..end).unwrap_or(bytes);
        let field = |name: &str| {
            let mut lines = head.split(|byte| *byte == b'\n').skip(1);
            lines.find_map(|line| {
                let (found, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
                found
                    .eq_ignore_ascii_case(name.as_bytes())
                    .then(|| value.get(1..).unwrap_or_default().trim_ascii())
            })
        };
        let has = |name| field(name).is_some_and(|value| !value.is_empty());
        match field("sec-websocket-version") {
            Some(b"7") => Self::Hybi7,
            Some(b"8") => Self::Hybi8,
            Some(b"13") => Self::Rfc6455,
            Some([]) | None if has("upgrade") && !has("sec-websocket-key") => {
                let has_key = has("sec-websocket-key1") || has("sec-websocket-key2");
                if has_key { Self::Draft76 } else { Self::Draft75 }
            }
            _ => Self::None,
        }
    }

    /// Whether it has the frames of RFC 6455 section 5.2.
    #[must_use]
    pub fn has_frames(self) -> bool {
        matches!(self, Self::Hybi7 | Self::Hybi8 | Self::Rfc6455)
    }
}

impl Severity {
    /// The name in a trace file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Field => "field",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.value.is_empty() { Ok(()) } else { write!(f, " {}", self.value) }
    }
}
