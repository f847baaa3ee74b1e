//! The engine in steps: a shell passes in everything that happened in one turn, and gets back owned events and
//! transmissions. This is the interface `legacy-websocket` of the WIT package, which documents it in full, in Rust
//! types: the component lifts and lowers them, and shells in Rust use them directly. A connection's id is the number
//! that the shell chose.
//!
//! ```
//! use legacy_websocket::step::{Command, Event, Input, Opened, Outgoing, Received, Recipients, Server};
//!
//! let mut server = Server::new(Default::default())?;
//! let request = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\nOrigin: http://a\r\n\r\n\
//!     \0hello\xff";
//! let step = server.turn(0, &[
//!     Input::Opened(Opened { connection: 1, peer: "192.0.2.1:1024".into(), secure: false }),
//!     Input::Received(Received { connection: 1, bytes: request.to_vec() }),
//! ]);
//! let Some(Event::Messages(messages)) = step.events.last() else { panic!("{step:?}") };
//! assert_eq!(messages.text, "hello");
//! let (text, ends) = (&*messages.text, &*messages.ends);
//! let step = server.command(&[Command::Send(Outgoing { to: Recipients::All, text, ends })]);
//! assert_eq!(step.transmissions[0].bytes, b"\0hello\xff");
//! # Ok::<(), legacy_websocket::InvalidOptions>(())
//! ```
#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "mirrors the WIT package, which cannot grow without a new version either"
)]

mod builder;
mod command;
mod event;
mod io;

use alloc::string::String;
use alloc::vec::Vec;

use self::builder::StepBuilder;
pub use self::command::{
    Acceptance, Closing, Command, Outgoing, OutgoingBinary, Recipients, Refusal, Response, ResponseField,
};
pub use self::event::{
    Binary, CloseCause, Closed, CommandKind, Connected, Event, Failed, Failure, Field, Handshake, Messages,
    Passed, Rejection, Request, RequestHead, StateChange,
};
pub use self::io::{Destination, Input, Lost, Opened, Read, Received, Status, Step, Transmission};
use crate::connection::Connection;
use crate::error::{InvalidOptions, Misuse};
use crate::event as engine;
use crate::event::{ConnectionId, Peer, Undelivered};
pub use crate::event::{Disposition, Loss, State};
use crate::hybi::CloseCode;
use crate::options::{Millis, Options};
pub use crate::protocol::Protocol;
use crate::shared::Counts;

/// Every connection may return this many of a turn's events, whatever the number of connections: smaller shares cost
/// more than they gain.
const SMALLEST_SHARE: usize = 16;

/// A [`crate::Server`] with an interface of steps.
#[derive(Debug)]
pub struct Server {
    server: crate::Server,
    /// The maximum number of events per call.
    budget: usize,
}

impl Server {
    /// A server without connections.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the invalid option.
    pub fn new(options: Options) -> Result<Self, InvalidOptions> {
        Ok(Self { server: crate::Server::new(options)?, budget: usize::MAX })
    }

    /// Roughly how many events one call may return, over all connections and in about equal shares; the rest waits for
    /// the next turn. 0, the default: no limit. [`Event::Failed`] and [`Event::Passed`] are not limited.
    pub fn set_budget(&mut self, events: u32) {
        self.budget = if events == 0 { usize::MAX } else { usize::try_from(events).unwrap_or(usize::MAX) };
        self.server.set_bounded(events != 0);
    }

    /// Sets the clock, and takes inputs in order.
    pub fn turn(&mut self, now: Millis, inputs: &[Input]) -> Step {
        let (mut step, share) = self.begin(now, inputs.len());
        for input in inputs {
            match input {
                Input::Opened(Opened { connection, peer, secure }) => {
                    let peer = Peer { address: peer.clone(), secure: *secure };
                    if self.server.open(ConnectionId(*connection), peer).is_err() {
                        step.abort(*connection);
                    }
                }
                Input::Received(Received { connection, bytes }) => {
                    self.take_bytes(ConnectionId(*connection), bytes, share, &mut step);
                }
                Input::Ended(connection) => self.server.receive_eof(ConnectionId(*connection)),
                Input::Lost(Lost { connection, why }) => self.server.lost(ConnectionId(*connection), *why),
                Input::Shutdown => self.server.shutdown(),
                Input::ApplicationLost => self.server.shutdown_with(CloseCode::INTERNAL_ERROR),
            }
            step.drain_events(&mut self.server);
        }
        self.take_deferred(share, 0, &mut step);
        step.finish(&mut self.server)
    }

    /// The same as [`turn`](Self::turn) with several reads, whose bytes are concatenated.
    pub fn receive(&mut self, now: Millis, reads: &[Read], bytes: &[u8]) -> Step {
        let (mut step, share) = self.begin(now, reads.len());
        let mut start = 0;
        for read in reads {
            let end = usize::try_from(read.end).unwrap_or(usize::MAX);
            let bytes = bytes.get(start..end).unwrap_or_default();
            self.take_bytes(ConnectionId(read.connection), bytes, share, &mut step);
            start = end;
        }
        self.take_deferred(share, 0, &mut step);
        step.finish(&mut self.server)
    }

    /// Carries out, in order, all commands that answer the events of the last step. Commands without effect are
    /// reported as [`Event::Failed`].
    pub fn command(&mut self, commands: &[Command<'_>]) -> Step {
        let mut step = StepBuilder::within(self.budget);
        let told_more = self.carry_out(commands, &mut step);
        // Connections that were ending may end now: their last messages have been answered.
        if !told_more {
            self.server.advance(0);
        }
        step.finish(&mut self.server)
    }

    /// The same, for commands that are not the last to answer the same events, or that answer none: a connection that
    /// waits for the application's answers before it ends keeps waiting.
    pub fn command_partly(&mut self, commands: &[Command<'_>]) -> Step {
        let mut step = StepBuilder::within(self.budget);
        self.carry_out(commands, &mut step);
        step.finish(&mut self.server)
    }

    /// The head of the request that opened a connection, for as long as it lives; for plain HTTP that of the current
    /// request. Also the head of a request that the last call rejected, if it was complete and is one of that call's
    /// first few.
    #[must_use]
    pub fn head(&self, connection: u64) -> Option<RequestHead> {
        let id = ConnectionId(connection);
        let head = self.server.connection(id).and_then(Connection::head);
        head.or_else(|| self.server.rejected_head(id)).map(|head| (&**head).into())
    }

    /// The cookies of a connection's head, in order.
    #[must_use]
    pub fn cookies(&self, connection: u64) -> Vec<(String, String)> {
        let head = self.server.connection(ConnectionId(connection)).and_then(Connection::head);
        head.map(|head| head.cookies().collect()).unwrap_or_default()
    }

    /// Every open connection, in ascending order of id.
    #[must_use]
    pub fn connections(&self) -> Vec<Status> {
        let status = |connection: &Connection| Status {
            connection: connection.id().0,
            state: connection.state(),
            protocol: connection.protocol(),
            peer: connection.peer().address.clone(),
        };
        self.server.connections().map(status).collect()
    }

    /// The server's counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.server.counts()
    }
}

impl Server {
    /// Handles deadlines, and uses up to half of the budget for deferred input. Also returns each connection's share
    /// of events.
    fn begin(&mut self, now: Millis, inputs: usize) -> (StepBuilder, usize) {
        let mut step = StepBuilder::within(self.budget);
        self.server.advance(now);
        step.drain_events(&mut self.server);
        if self.budget == usize::MAX {
            return (step, usize::MAX);
        }
        let parties = self.server.deferred().count().saturating_add(inputs);
        let share = self.budget.checked_div(parties).unwrap_or(self.budget).max(SMALLEST_SHARE);
        self.take_deferred(share, self.budget / 2, &mut step);
        (step, share)
    }

    /// Whatever exceeds the budget, or the connection's share of it, waits for a later turn.
    fn take_bytes(&mut self, id: ConnectionId, bytes: &[u8], share: usize, step: &mut StepBuilder) {
        let taken = self.take_some(id, bytes, share, false, step);
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.server.defer(id, rest);
        }
    }

    /// Continues with deferred input, one connection at a time, until only this much of the budget is left.
    fn take_deferred(&mut self, share: usize, leave: usize, step: &mut StepBuilder) {
        while step.left > leave
            && let Some(mut deferred) = self.server.take_deferred()
        {
            let share = share.min(step.left.saturating_sub(leave));
            let taken = self.take_some(deferred.connection(), deferred.bytes(), share, true, step);
            deferred.consume(taken);
            self.server.put_back(deferred);
            step.drain_events(&mut self.server);
        }
    }

    /// Takes up to `share` events off the input, stopping at the first that needs an answer. Returns the number of
    /// bytes consumed.
    fn take_some(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        share: usize,
        until_asked: bool,
        step: &mut StepBuilder,
    ) -> usize {
        let floor = step.left.saturating_sub(share);
        if step.left == 0 {
            return 0;
        }
        let mut events = self.server.receive(id, bytes);
        loop {
            step.messages(id, step.left.saturating_sub(floor), &mut events);
            let stops = step.left <= floor || (until_asked && step.ends_with_question(id));
            if stops && !events.rest().is_empty() {
                return bytes.len().saturating_sub(events.stop().len());
            }
            match events.next() {
                Some(event) => step.event(event),
                None => return bytes.len(),
            }
        }
    }

    /// Whether input arrived ahead of an acceptance: its events belong to this step and are answered by the next
    /// commands.
    fn carry_out(&mut self, commands: &[Command<'_>], step: &mut StepBuilder) -> bool {
        let mut told_more = false;
        for command in commands {
            let (connection, kind, result) = match command {
                Command::Send(outgoing) => {
                    self.send(outgoing, step);
                    continue;
                }
                Command::SendBinary(outgoing) => {
                    self.send_binary(outgoing, step);
                    continue;
                }
                Command::Close(Closing { connection, code, reason }) => {
                    let id = ConnectionId(*connection);
                    let code = code.map_or(Some(CloseCode::NORMAL), CloseCode::new);
                    let result = match code {
                        Some(code) => self.server.close_with(id, code, reason),
                        None => Err(Misuse::Invalid),
                    };
                    (*connection, CommandKind::Close, result)
                }
                Command::Accept(Acceptance { connection, subprotocol, fields }) => {
                    let id = ConnectionId(*connection);
                    let result = self.server.accept(id, *subprotocol, &owned_fields(fields));
                    told_more |= result.is_ok() && self.budget == usize::MAX;
                    (*connection, CommandKind::Accept, result)
                }
                Command::Reject(Refusal { connection, status, reason }) => {
                    let result = self.server.reject(ConnectionId(*connection), *status, reason);
                    (*connection, CommandKind::Reject, result)
                }
                Command::Respond(Response { connection, status, fields, body }) => {
                    let id = ConnectionId(*connection);
                    let result = self.server.respond(id, *status, &owned_fields(fields), body);
                    (*connection, CommandKind::Respond, result)
                }
                Command::Tick(after) => {
                    self.server.tick_after(*after);
                    continue;
                }
                Command::SingleInstance => continue,
            };
            if let Err(why) = result {
                step.failed(connection, kind, why);
            }
            step.drain_events(&mut self.server);
        }
        told_more
    }

    fn send(&mut self, outgoing: &Outgoing<'_>, step: &mut StepBuilder) {
        if !outgoing.is_well_formed() {
            let named = match outgoing.to {
                Recipients::One(id) | Recipients::AllBut(id) => id,
                Recipients::Many(ids) => ids.first().copied().unwrap_or_default(),
                Recipients::All => 0,
            };
            step.failed(named, CommandKind::Send, Misuse::Invalid);
            return;
        }
        self.server.send_all(&(&outgoing.to).into(), outgoing.texts(), |Undelivered { connection, why }| {
            step.failed(connection.0, CommandKind::Send, why);
        });
    }

    fn send_binary(&mut self, outgoing: &OutgoingBinary<'_>, step: &mut StepBuilder) {
        let OutgoingBinary { to, bytes } = outgoing;
        self.server.send_binary_to(&to.into(), bytes, |Undelivered { connection, why }| {
            step.failed(connection.0, CommandKind::SendBinary, why);
        });
    }
}

impl From<&Recipients<'_>> for engine::Recipients {
    fn from(to: &Recipients<'_>) -> Self {
        match *to {
            Recipients::One(id) => Self::One(ConnectionId(id)),
            Recipients::Many(ids) => Self::Many(ids.iter().copied().map(ConnectionId).collect()),
            Recipients::All => Self::All,
            Recipients::AllBut(id) => Self::AllBut(ConnectionId(id)),
        }
    }
}

fn owned_fields(fields: &[ResponseField<'_>]) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|field| (field.name.into(), field.value.into())).collect()
}
