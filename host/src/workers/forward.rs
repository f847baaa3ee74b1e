//! Splits off the commands for connections of other workers.

use legacy_websocket::step::{Closing, Command, Outgoing, OutgoingBinary, Recipients, Refusal};

use crate::workers::forwarded::{
    Destination, ForwardedCommands, Origin, Outbound, OwnedCommand, SharedMessages,
};
use crate::workers::pool::WorkerPool;

/// An application's commands, split into those for this worker and those for others.
#[derive(Debug)]
pub(crate) struct SplitCommands<'a> {
    here: Vec<Here<'a>>,
    /// Commands for each other worker.
    elsewhere: Vec<ForwardedCommands>,
}

#[derive(Debug)]
enum Here<'a> {
    Whole(&'a Command<'a>),
    /// A message to some of its recipients.
    Part(&'a Command<'a>, Vec<u64>),
}

impl<'a> SplitCommands<'a> {
    /// `None` if all are for this worker. Handshakes and requests are answered on the worker where they arrived; an
    /// answer for another worker's connection fails there as an unknown connection.
    pub(crate) fn of(pool: &WorkerPool, from: Origin, commands: &'a [Command<'a>]) -> Option<Self> {
        let is_elsewhere = |connection: u64| worker_of(pool, from, connection) != from.worker;
        let leaves = |command: &Command<'_>| match command {
            Command::Send(Outgoing { to, .. }) | Command::SendBinary(OutgoingBinary { to, .. }) => match to {
                Recipients::One(connection) => is_elsewhere(*connection),
                Recipients::Many(connections) => connections.iter().copied().any(is_elsewhere),
                Recipients::All | Recipients::AllBut(_) => true,
            },
            Command::Close(closing) => is_elsewhere(closing.connection),
            Command::Reject(refusal) => is_elsewhere(refusal.connection),
            _ => false,
        };
        if pool.size() == 1 || !commands.iter().any(leaves) {
            return None;
        }
        let elsewhere = (0..pool.size()).map(|_| ForwardedCommands::new(from)).collect();
        let mut split = Self { here: Vec::with_capacity(commands.len()), elsewhere };
        for together in commands.chunk_by(is_same_send) {
            split.take(pool, from, together);
        }
        Some(split)
    }

    pub(crate) fn here(&self) -> Vec<Command<'_>> {
        self.here.iter().map(Here::lend).collect()
    }

    /// Sends each worker its commands.
    pub(crate) fn send(self, pool: &WorkerPool) {
        for (worker, forwarded) in self.elsewhere.into_iter().enumerate() {
            if !forwarded.is_empty() {
                pool.forward(worker, forwarded);
            }
        }
    }

    /// Takes one command, or consecutive sends to the same recipients, which are forwarded as one.
    fn take(&mut self, pool: &WorkerPool, from: Origin, together: &'a [Command<'a>]) {
        let [command, ..] = together else {
            return;
        };
        let (connection, owned, bytes) = match command {
            // A malformed command fails here, once.
            Command::Send(outgoing) if outgoing.is_well_formed() => {
                let outbound = || {
                    let texts = SharedMessages::of(together.iter().filter_map(outgoing_text));
                    (texts.bytes(), Outbound::Texts(texts))
                };
                return self.take_sends(pool, from, together, &outgoing.to, outbound);
            }
            Command::SendBinary(OutgoingBinary { to, bytes }) => {
                let outbound = || (bytes.len(), Outbound::Binary((*bytes).into()));
                return self.take_sends(pool, from, together, to, outbound);
            }
            Command::Close(Closing { connection, code, reason }) => {
                let (connection, code) = (*connection, *code);
                (connection, OwnedCommand::Close { connection, code, reason: (*reason).into() }, reason.len())
            }
            Command::Reject(Refusal { connection, status, reason }) => {
                let (connection, status) = (*connection, *status);
                (
                    connection,
                    OwnedCommand::Reject { connection, status, reason: (*reason).into() },
                    reason.len(),
                )
            }
            _ => return self.here.push(Here::Whole(command)),
        };
        match worker_of(pool, from, connection) {
            here if here == from.worker => self.here.push(Here::Whole(command)),
            worker => self.elsewhere[worker].push(owned, bytes),
        }
    }

    /// Takes sends to the same recipients; `say` makes the messages that other workers share, and tells their bytes.
    fn take_sends(
        &mut self,
        pool: &WorkerPool,
        from: Origin,
        sends: &'a [Command<'a>],
        to: &'a Recipients<'a>,
        make: impl Fn() -> (usize, Outbound),
    ) {
        let mut outbound = None;
        let mut send = |worker: usize, to: Destination| {
            let (bytes, outbound) = outbound.get_or_insert_with(&make);
            let bytes = *bytes + to.bytes();
            self.elsewhere[worker].push(OwnedCommand::Send { to, outbound: outbound.clone() }, bytes);
        };
        let others = (0..pool.size()).filter(|worker| *worker != from.worker);
        let whole = sends.iter().map(Here::Whole);
        match *to {
            Recipients::One(connection) => match worker_of(pool, from, connection) {
                here if here == from.worker => self.here.extend(whole),
                worker => send(worker, Destination::One(connection)),
            },
            Recipients::Many(connections) => {
                let mut to = vec![Vec::new(); pool.size()];
                for connection in connections {
                    to[worker_of(pool, from, *connection)].push(*connection);
                }
                let here = std::mem::take(&mut to[from.worker]);
                for (worker, to) in to.into_iter().enumerate().filter(|(_, to)| !to.is_empty()) {
                    send(worker, Destination::Many(to));
                }
                if !here.is_empty() {
                    self.here.extend(sends.iter().map(|command| Here::Part(command, here.clone())));
                }
            }
            Recipients::All => {
                others.for_each(|worker| send(worker, Destination::All));
                self.here.extend(whole);
            }
            Recipients::AllBut(connection) => {
                others.for_each(|worker| send(worker, Destination::AllBut(connection)));
                self.here.extend(whole);
            }
        }
    }
}

fn outgoing_text<'a>(command: &'a Command<'a>) -> Option<&'a Outgoing<'a>> {
    match command {
        Command::Send(outgoing) => Some(outgoing),
        _ => None,
    }
}

/// Whether both send text to the same recipients, and neither is malformed.
fn is_same_send(one: &Command<'_>, other: &Command<'_>) -> bool {
    let (Some(one), Some(other)) = (outgoing_text(one), outgoing_text(other)) else {
        return false;
    };
    let same = match (&one.to, &other.to) {
        (Recipients::One(one), Recipients::One(other)) => one == other,
        (Recipients::Many(one), Recipients::Many(other)) => one == other,
        (Recipients::All, Recipients::All) => true,
        (Recipients::AllBut(one), Recipients::AllBut(other)) => one == other,
        _ => false,
    };
    same && one.is_well_formed() && other.is_well_formed()
}

/// Unknown connections are reported here.
fn worker_of(pool: &WorkerPool, from: Origin, connection: u64) -> usize {
    pool.worker_of(connection).unwrap_or(from.worker)
}

impl Here<'_> {
    fn lend(&self) -> Command<'_> {
        match self {
            Self::Whole(command) => (*command).clone(),
            Self::Part(command, to) => {
                let mut part = (*command).clone();
                if let Command::Send(Outgoing { to: all, .. })
                | Command::SendBinary(OutgoingBinary { to: all, .. }) = &mut part
                {
                    *all = Recipients::Many(to);
                }
                part
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Origin = Origin { worker: 0, version: 0, instance: 0 };

    fn send<'a>(to: Recipients<'a>, ends: &'a [u32]) -> Command<'a> {
        Command::Send(Outgoing { to, text: "text", ends })
    }

    /// The commands kept here, and those for worker 1, as text.
    fn split(commands: &[Command<'_>]) -> Option<[String; 2]> {
        let (pool, _inboxes) = WorkerPool::new(2, 0);
        let split = SplitCommands::of(&pool, FROM, commands)?;
        assert!(split.elsewhere[0].is_empty());
        Some([format!("{:?}", split.here()), format!("{:?}", split.elsewhere[1].lend())])
    }

    #[test]
    fn local_commands_are_not_forwarded() {
        let commands = [
            send(Recipients::One(1), &[4]),
            send(Recipients::Many(&[1, 3]), &[4]),
            Command::close(5),
            Command::close(0),
            Command::Tick(1),
        ];
        assert_eq!(split(&commands), None);
    }

    #[test]
    fn each_recipient_is_served_by_its_own_worker_in_order() {
        let commands = [
            send(Recipients::All, &[4]),
            send(Recipients::Many(&[1, 2, 3, 4]), &[1, 4]),
            send(Recipients::AllBut(2), &[4]),
            send(Recipients::One(2), &[4]),
            Command::Reject(Refusal { connection: 2, status: 403, reason: "no" }),
            Command::close(1),
        ];
        let expected = [
            vec![
                send(Recipients::All, &[4]),
                send(Recipients::Many(&[1, 3]), &[1, 4]),
                send(Recipients::AllBut(2), &[4]),
                Command::close(1),
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
    fn sends_to_the_same_recipients_are_forwarded_as_one() {
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
    fn a_binary_message_and_a_close_reason_reach_other_workers() {
        let binary = |to| Command::SendBinary(OutgoingBinary { to, bytes: b"\xff" });
        let close = |connection| Command::Close(Closing { connection, code: Some(4000), reason: "bye" });
        let commands = [binary(Recipients::All), binary(Recipients::Many(&[1, 2])), close(2), close(1)];
        let expected = [
            [binary(Recipients::All), binary(Recipients::Many(&[1])), close(1)],
            [binary(Recipients::All), binary(Recipients::Many(&[2])), close(2)],
        ];
        assert_eq!(split(&commands), Some(expected.map(|commands| format!("{commands:?}"))));
        assert_eq!(split(&[binary(Recipients::One(1)), close(1)]), None);
    }

    #[test]
    fn a_malformed_command_fails_once() {
        let commands = [send(Recipients::All, &[3]), Command::close(2)];
        let [here, there] = split(&commands).unwrap();
        assert_eq!(here, format!("{:?}", &commands[..1]));
        assert_eq!(there, format!("{:?}", &commands[1..]));
    }
}
