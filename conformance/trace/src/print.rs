//! A trace as text.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::{Action, Connection, HEADER, Literal, Step, Trace};

impl Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        field(f, "title", &self.title)?;
        field(f, "protocol", &self.protocol.name())?;
        field(f, "section", &self.section)?;
        field(f, "severity", &self.severity.name())?;
        if !self.requirements.is_empty() {
            field(f, "requirements", &self.requirements.join(", "))?;
        }
        for setting in &self.settings {
            field(f, "setting", setting)?;
        }
        for variant in &self.variants {
            field(f, "variant", variant)?;
        }
        for (name, value) in [("url", &self.url), ("client", &self.client), ("source", &self.source)] {
            if let Some(value) = value {
                field(f, name, value)?;
            }
        }
        for note in &self.notes {
            field(f, "note", note)?;
        }
        writeln!(f)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |reset: &bool| if *reset { "reset" } else { "fin" };
        match self {
            Self::Client { connection, bytes } => write!(f, "{} {bytes}", actor("C", *connection)),
            Self::ClientEnd { connection, reset } => {
                write!(f, "{} {}", actor("C", *connection), end(reset))
            }
            Self::Server { connection, bytes } => write!(f, "{} {bytes}", actor("S", *connection)),
            Self::ServerEnd { connection, reset } => {
                write!(f, "{} {}", actor("S", *connection), end(reset))
            }
            Self::Wait => f.write_str("wait"),
            Self::After(time) => write!(f, "after {}", duration(*time)),
            Self::Application(action) => action.fmt(f),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(connection, text) => literal(f, &format!("{} send", actor("A", *connection)), text),
            Self::SendBinary(connection, bytes) => {
                literal(f, &format!("{} send-binary", actor("A", *connection)), bytes)
            }
            Self::Broadcast(text) => literal(f, "A broadcast", text),
            Self::Close(connection, None) => write!(f, "{} close", actor("A", *connection)),
            Self::Close(connection, Some((code, reason))) if reason.0.is_empty() => {
                write!(f, "{} close {code}", actor("A", *connection))
            }
            Self::Close(connection, Some((code, reason))) => {
                literal(f, &format!("{} close {code}", actor("A", *connection)), reason)
            }
            Self::Accept(connection, None) => write!(f, "{} accept", actor("A", *connection)),
            Self::Accept(connection, Some(subprotocol)) => {
                literal(f, &format!("{} accept", actor("A", *connection)), subprotocol)
            }
            Self::Reject(connection, status, reason) => {
                literal(f, &format!("{} reject {status}", actor("A", *connection)), reason)
            }
            Self::Respond(connection, status, body) => {
                literal(f, &format!("{} respond {status}", actor("A", *connection)), body)
            }
            Self::Shutdown => f.write_str("A shutdown"),
        }
    }
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, value: &dyn Display) -> fmt::Result {
    // A field is one line and never empty, whatever the client's name.
    let value = value.to_string().replace(|character: char| character.is_control(), " ");
    let value = Some(value.trim()).filter(|value| !value.is_empty());
    writeln!(f, "{name}: {}", value.unwrap_or("-"))
}

/// The first string follows `start`, each other one goes on its own line.
fn literal(f: &mut fmt::Formatter<'_>, start: &str, literal: &Literal) -> fmt::Result {
    write!(f, "{start} {}", literal.strings().join("\n+ "))
}

fn actor(letter: &str, connection: Connection) -> String {
    if connection == 1 { letter.into() } else { format!("{letter}{connection}") }
}

fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}
