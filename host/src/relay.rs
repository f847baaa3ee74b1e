//! Commands of an application for connections of other workers.

use std::sync::Arc;

use crate::crew::{Crew, Origin};
use crate::engine::ends_fit;
use crate::wit::{Command, CommandKind, Failed, Failure, Outgoing, Recipients, Refusal};

/// What a command costs beside its text.
const COMMAND_BYTES: usize = 64;

/// An application's commands, for here and for others.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    here: Vec<Here<'a>>,
    /// For each worker.
    elsewhere: Vec<Relayed>,
}

#[derive(Debug)]
enum Here<'a> {
    Whole(&'a Command<'a>),
    /// To some of its recipients.
    Part(&'a Outgoing<'a>, Vec<u64>),
}

/// Commands on their way to another worker.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) from: Origin,
    commands: Vec<Owned>,
    bytes: usize,
}

#[derive(Debug)]
enum Owned {
    Send { to: To, said: Arc<Said> },
    Close(u64),
    Reject { connection: u64, status: u16, reason: Box<str> },
}

/// Messages, shared by all workers that they go to.
#[derive(Debug)]
struct Said {
    text: Box<str>,
    ends: Box<[u32]>,
}

#[derive(Debug)]
enum To {
    One(u64),
    Many(Vec<u64>),
    All,
    AllBut(u64),
}

impl<'a> Split<'a> {
    /// None where all of it is for here. Handshakes and requests are answered where they came: who answers those of
    /// others is told by the engine that it does not know them.
    pub(crate) fn of(crew: &Crew, from: Origin, commands: &'a [Command<'a>]) -> Option<Self> {
        let is_elsewhere = |connection: u64| worker_of(crew, from, connection) != from.worker;
        let leaves = |command: &Command<'_>| match command {
            Command::Send(outgoing) => match outgoing.to {
                Recipients::One(connection) => is_elsewhere(connection),
                Recipients::Many(connections) => connections.iter().copied().any(is_elsewhere),
                Recipients::All | Recipients::AllBut(_) => true,
            },
            Command::Close(connection) => is_elsewhere(*connection),
            Command::Reject(refusal) => is_elsewhere(refusal.connection),
            _ => false,
        };
        if crew.size() == 1 || !commands.iter().any(leaves) {
            return None;
        }
        let elsewhere = (0..crew.size()).map(|_| Relayed::new(from)).collect();
        let mut split = Self { here: Vec::with_capacity(commands.len()), elsewhere };
        for together in commands.chunk_by(is_same_send) {
            split.take(crew, from, together);
        }
        Some(split)
    }

    pub(crate) fn here(&self) -> Vec<Command<'_>> {
        self.here.iter().map(Here::lend).collect()
    }

    /// Sends the others theirs.
    pub(crate) fn send(self, crew: &Crew) {
        for (worker, relayed) in self.elsewhere.into_iter().enumerate() {
            if !relayed.commands.is_empty() {
                crew.relay(worker, relayed);
            }
        }
    }

    /// Takes one command, or sends to the same recipients, which are one to the others.
    fn take(&mut self, crew: &Crew, from: Origin, together: &'a [Command<'a>]) {
        let [command, ..] = together else {
            return;
        };
        let (connection, owned, bytes) = match command {
            // One that is malformed fails here, once.
            Command::Send(outgoing) if ends_fit(outgoing.text, outgoing.ends) => {
                return self.take_sends(crew, from, together, outgoing);
            }
            Command::Close(connection) => (*connection, Owned::Close(*connection), 0),
            Command::Reject(Refusal { connection, status, reason }) => {
                let (connection, status) = (*connection, *status);
                (connection, Owned::Reject { connection, status, reason: (*reason).into() }, reason.len())
            }
            _ => return self.here.push(Here::Whole(command)),
        };
        match worker_of(crew, from, connection) {
            here if here == from.worker => self.here.push(Here::Whole(command)),
            worker => self.elsewhere[worker].push(owned, bytes),
        }
    }

    /// `first` is the first of them.
    fn take_sends(&mut self, crew: &Crew, from: Origin, sends: &'a [Command<'a>], first: &'a Outgoing<'a>) {
        let mut said = None;
        let mut send = |worker: usize, to: To| {
            let said = Arc::clone(said.get_or_insert_with(|| Said::of(sends)));
            let bytes = said.bytes() + to.bytes();
            self.elsewhere[worker].push(Owned::Send { to, said }, bytes);
        };
        let others = (0..crew.size()).filter(|worker| *worker != from.worker);
        let whole = sends.iter().map(Here::Whole);
        match first.to {
            Recipients::One(connection) => match worker_of(crew, from, connection) {
                here if here == from.worker => self.here.extend(whole),
                worker => send(worker, To::One(connection)),
            },
            Recipients::Many(connections) => {
                let mut to = vec![Vec::new(); crew.size()];
                for connection in connections {
                    to[worker_of(crew, from, *connection)].push(*connection);
                }
                let here = std::mem::take(&mut to[from.worker]);
                for (worker, to) in to.into_iter().enumerate().filter(|(_, to)| !to.is_empty()) {
                    send(worker, To::Many(to));
                }
                if !here.is_empty() {
                    let outgoing = sends.iter().filter_map(outgoing);
                    self.here.extend(outgoing.map(|outgoing| Here::Part(outgoing, here.clone())));
                }
            }
            Recipients::All => {
                others.for_each(|worker| send(worker, To::All));
                self.here.extend(whole);
            }
            Recipients::AllBut(connection) => {
                others.for_each(|worker| send(worker, To::AllBut(connection)));
                self.here.extend(whole);
            }
        }
    }
}

fn outgoing<'a>(command: &'a Command<'a>) -> Option<&'a Outgoing<'a>> {
    match command {
        Command::Send(outgoing) => Some(outgoing),
        _ => None,
    }
}

/// Both send to the same recipients, and neither is malformed.
fn is_same_send(one: &Command<'_>, other: &Command<'_>) -> bool {
    let (Some(one), Some(other)) = (outgoing(one), outgoing(other)) else {
        return false;
    };
    let same = match (&one.to, &other.to) {
        (Recipients::One(one), Recipients::One(other)) => one == other,
        (Recipients::Many(one), Recipients::Many(other)) => one == other,
        (Recipients::All, Recipients::All) => true,
        (Recipients::AllBut(one), Recipients::AllBut(other)) => one == other,
        _ => false,
    };
    same && ends_fit(one.text, one.ends) && ends_fit(other.text, other.ends)
}

/// What is no connection at all is ours to complain about.
fn worker_of(crew: &Crew, from: Origin, connection: u64) -> usize {
    crew.worker_of(connection).unwrap_or(from.worker)
}

impl Relayed {
    pub(crate) fn new(from: Origin) -> Self {
        Self { from, commands: Vec::new(), bytes: 0 }
    }

    /// In memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn lend(&self) -> Vec<Command<'_>> {
        self.commands.iter().map(Owned::lend).collect()
    }

    /// What there is to say if none of the connections is there.
    pub(crate) fn failures(&self) -> Vec<Failed> {
        let unknown = |command| {
            move |connection: &u64| Failed {
                connection: *connection,
                command,
                why: Failure::UnknownConnection,
            }
        };
        let failures = |command: &Owned| match command {
            Owned::Send { to: To::One(connection), .. } => vec![unknown(CommandKind::Send)(connection)],
            Owned::Send { to: To::Many(connections), .. } => {
                connections.iter().map(unknown(CommandKind::Send)).collect()
            }
            Owned::Send { to: To::All | To::AllBut(_), .. } => Vec::new(),
            Owned::Close(connection) => vec![unknown(CommandKind::Close)(connection)],
            Owned::Reject { connection, .. } => vec![unknown(CommandKind::Reject)(connection)],
        };
        self.commands.iter().flat_map(failures).collect()
    }

    fn push(&mut self, command: Owned, bytes: usize) {
        self.bytes += COMMAND_BYTES + bytes;
        self.commands.push(command);
    }
}

impl Here<'_> {
    fn lend(&self) -> Command<'_> {
        match self {
            Self::Whole(command) => (*command).clone(),
            Self::Part(Outgoing { text, ends, .. }, to) => {
                Command::Send(Outgoing { to: Recipients::Many(to), text, ends })
            }
        }
    }
}

impl Owned {
    fn lend(&self) -> Command<'_> {
        match self {
            Self::Send { to, said } => {
                let to = match to {
                    To::One(connection) => Recipients::One(*connection),
                    To::Many(connections) => Recipients::Many(connections),
                    To::All => Recipients::All,
                    To::AllBut(connection) => Recipients::AllBut(*connection),
                };
                Command::Send(Outgoing { to, text: &said.text, ends: &said.ends })
            }
            Self::Close(connection) => Command::Close(*connection),
            Self::Reject { connection, status, reason } => {
                Command::Reject(Refusal { connection: *connection, status: *status, reason })
            }
        }
    }
}

impl To {
    fn bytes(&self) -> usize {
        match self {
            Self::Many(connections) => size_of_val(connections.as_slice()),
            _ => 0,
        }
    }
}

impl Said {
    /// All of them as one.
    fn of(sends: &[Command<'_>]) -> Arc<Self> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for outgoing in sends.iter().filter_map(outgoing) {
            // A batch of 4 GB does not come about: a call of the application gives less.
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(outgoing.text);
            ends.extend(outgoing.ends.iter().map(|end| start.saturating_add(*end)));
        }
        Arc::new(Self { text: text.into(), ends: ends.into() })
    }

    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Origin = Origin { worker: 0, generation: 0, instance: 0 };

    fn send<'a>(to: Recipients<'a>, ends: &'a [u32]) -> Command<'a> {
        Command::Send(Outgoing { to, text: "text", ends })
    }

    /// What stays, and what goes to worker 1, as text.
    fn split(commands: &[Command<'_>]) -> Option<[String; 2]> {
        let (crew, _inboxes) = Crew::new(2, 0);
        let split = Split::of(&crew, FROM, commands)?;
        assert!(split.elsewhere[0].commands.is_empty());
        Some([format!("{:?}", split.here()), format!("{:?}", split.elsewhere[1].lend())])
    }

    #[test]
    fn what_is_for_here_stays_as_it_is() {
        let commands = [
            send(Recipients::One(1), &[4]),
            send(Recipients::Many(&[1, 3]), &[4]),
            Command::Close(5),
            Command::Close(0),
            Command::Tick(1),
        ];
        assert_eq!(split(&commands), None);
    }

    #[test]
    fn each_recipient_gets_it_from_where_it_is_and_in_order() {
        let commands = [
            send(Recipients::All, &[4]),
            send(Recipients::Many(&[1, 2, 3, 4]), &[1, 4]),
            send(Recipients::AllBut(2), &[4]),
            send(Recipients::One(2), &[4]),
            Command::Reject(Refusal { connection: 2, status: 403, reason: "no" }),
            Command::Close(1),
        ];
        let expected = [
            vec![
                send(Recipients::All, &[4]),
                send(Recipients::Many(&[1, 3]), &[1, 4]),
                send(Recipients::AllBut(2), &[4]),
                Command::Close(1),
            ],
            vec![
                send(Recipients::All, &[4]),
                send(Recipients::Many(&[2, 4]), &[1, 4]),
                send(Recipients::AllBut(2), &[4]),
                send(Recipients::One(2), &[4]),
                Command::Reject(Refusal { connection: 2, status: 403, reason: "no" }),
            ],
        ];
        assert_eq!(split(&commands), Some(expected.map(|commands| format!("{commands:?}"))));
    }

    #[test]
    fn sends_to_the_same_recipients_are_one_to_the_others() {
        let commands = [
            send(Recipients::All, &[4]),
            send(Recipients::All, &[1, 4]),
            send(Recipients::AllBut(1), &[4]),
            send(Recipients::All, &[4]),
        ];
        let [here, there] = split(&commands).unwrap();
        assert_eq!(here, format!("{commands:?}"));
        let together = Outgoing { to: Recipients::All, text: "texttext", ends: &[4, 5, 8] };
        assert_eq!(there, format!("{:?}", [&Command::Send(together), &commands[2], &commands[3]]));
    }

    #[test]
    fn what_is_malformed_fails_once() {
        let commands = [send(Recipients::All, &[3]), Command::Close(2)];
        let [here, there] = split(&commands).unwrap();
        assert_eq!(here, format!("{:?}", &commands[..1]));
        assert_eq!(there, format!("{:?}", &commands[1..]));
    }
}
