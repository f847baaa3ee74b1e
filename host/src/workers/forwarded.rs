//! An application's commands on their way to the workers of their connections.

use std::sync::Arc;

use legacy_websocket::step::{
    Closing, Command, CommandKind, Failed, Failure, Outgoing, OutgoingBinary, Recipients, Refusal,
};

/// The cost of a command beyond its text, in bytes.
const COMMAND_BYTES: usize = 64;

/// Commands on their way to another worker.
#[derive(Debug)]
pub(crate) struct ForwardedCommands {
    pub(crate) from: Origin,
    commands: Vec<OwnedCommand>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) enum OwnedCommand {
    Send { to: Destination, outbound: Outbound },
    Close { connection: u64, code: Option<u16>, reason: Box<str> },
    Reject { connection: u64, status: u16, reason: Box<str> },
}

/// What is sent, shared by all receiving workers.
#[derive(Clone, Debug)]
pub(crate) enum Outbound {
    Texts(Arc<SharedMessages>),
    Binary(Arc<[u8]>),
}

/// Texts in one string.
#[derive(Debug)]
pub(crate) struct SharedMessages {
    text: String,
    ends: Vec<u32>,
}

#[derive(Debug)]
pub(crate) enum Destination {
    One(u64),
    Many(Vec<u64>),
    All,
    AllBut(u64),
}

/// Which application instance issued a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) worker: usize,
    pub(crate) version: u64,
    /// The number of the instance of that version on that worker.
    pub(crate) instance: u64,
}

impl ForwardedCommands {
    pub(crate) fn new(from: Origin) -> Self {
        Self { from, commands: Vec::new(), bytes: 0 }
    }

    /// The approximate memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn lend(&self) -> Vec<Command<'_>> {
        self.commands.iter().map(OwnedCommand::lend).collect()
    }

    /// The failures to report if none of the connections exists.
    pub(crate) fn failures(&self) -> Vec<Failed> {
        let unknown = |command| {
            move |connection: &u64| Failed {
                connection: *connection,
                command,
                why: Failure::UnknownConnection,
            }
        };
        let failures = |command: &OwnedCommand| match command {
            OwnedCommand::Send { to: Destination::One(connection), outbound } => {
                vec![unknown(outbound.command())(connection)]
            }
            OwnedCommand::Send { to: Destination::Many(connections), outbound } => {
                connections.iter().map(unknown(outbound.command())).collect()
            }
            OwnedCommand::Send { to: Destination::All | Destination::AllBut(_), .. } => Vec::new(),
            OwnedCommand::Close { connection, .. } => vec![unknown(CommandKind::Close)(connection)],
            OwnedCommand::Reject { connection, .. } => vec![unknown(CommandKind::Reject)(connection)],
        };
        self.commands.iter().flat_map(failures).collect()
    }

    pub(super) fn push(&mut self, command: OwnedCommand, bytes: usize) {
        self.bytes += COMMAND_BYTES + bytes;
        self.commands.push(command);
    }
}

impl OwnedCommand {
    pub(super) fn lend(&self) -> Command<'_> {
        match self {
            Self::Send { to, outbound } => {
                let to = match to {
                    Destination::One(connection) => Recipients::One(*connection),
                    Destination::Many(connections) => Recipients::Many(connections),
                    Destination::All => Recipients::All,
                    Destination::AllBut(connection) => Recipients::AllBut(*connection),
                };
                match outbound {
                    Outbound::Texts(texts) => {
                        Command::Send(Outgoing { to, text: &texts.text, ends: &texts.ends })
                    }
                    Outbound::Binary(bytes) => Command::SendBinary(OutgoingBinary { to, bytes }),
                }
            }
            Self::Close { connection, code, reason } => {
                Command::Close(Closing { connection: *connection, code: *code, reason })
            }
            Self::Reject { connection, status, reason } => {
                Command::Reject(Refusal { connection: *connection, status: *status, reason })
            }
        }
    }
}

impl Outbound {
    pub(super) fn command(&self) -> CommandKind {
        match self {
            Self::Texts(_) => CommandKind::Send,
            Self::Binary(_) => CommandKind::SendBinary,
        }
    }
}

impl Destination {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Many(connections) => size_of_val(connections.as_slice()),
            _ => 0,
        }
    }
}

impl SharedMessages {
    /// `ends` as in [`Outgoing`].
    pub(crate) fn new(text: String, ends: Vec<u32>) -> Arc<Self> {
        Arc::new(Self { text, ends })
    }

    /// Joins all of them into one.
    pub(crate) fn of<'a>(sends: impl Iterator<Item = &'a Outgoing<'a>>) -> Arc<Self> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for outgoing in sends {
            // A batch never reaches 4 GB: one call of the application returns less.
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(outgoing.text);
            ends.extend(outgoing.ends.iter().map(|end| start.saturating_add(*end)));
        }
        Self::new(text, ends)
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }
}
