//! Builds a step within its budget of events.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{
    Binary, CloseCause, Closed, CommandKind, Connected, Event, Failed, Failure, Field, Handshake, Messages,
    Passed, Rejection, Request, RequestHead, StateChange,
};
use super::io::{Destination, Step, Transmission};
use crate::error::{FrameError, Misuse};
use crate::event::{self as engine, ConnectionId, Disposition};
use crate::head::Head;
use crate::hybi::CloseCode;
use crate::server::{Events, Server};

pub(super) struct StepBuilder {
    events: Vec<Event>,
    transmissions: Vec<Transmission>,
    /// The remaining budget.
    pub(super) left: usize,
}

impl StepBuilder {
    pub(super) fn within(budget: usize) -> Self {
        Self { events: Vec::new(), transmissions: Vec::new(), left: budget }
    }

    pub(super) fn event(&mut self, event: engine::Event<'_>) {
        // A state change never comes alone, so it costs nothing.
        let cost = usize::from(!matches!(event, engine::Event::StateChanged { .. }));
        self.left = self.left.saturating_sub(cost);
        match event {
            engine::Event::Message { connection, text } => self.message(connection, text),
            other => self.events.extend(owned(other)),
        }
    }

    /// Adds to the batch of the same connection, if that came last.
    fn message(&mut self, connection: ConnectionId, text: Cow<'_, str>) {
        if let Some(batch) = self.last_batch(connection)
            && let Ok(end) = u32::try_from(batch.text.len().saturating_add(text.len()))
        {
            batch.text.push_str(&text);
            batch.ends.push(end);
            return;
        }
        let ends = Vec::from([narrow(text.len())]);
        self.start_batch(Messages { connection: connection.0, text: text.into_owned(), ends });
    }

    /// Takes up to `limit` of the next messages.
    pub(super) fn messages(&mut self, connection: ConnectionId, limit: usize, events: &mut Events<'_, '_>) {
        let count = if let Some(batch) = self.last_batch(connection) {
            let before = batch.ends.len();
            events.take_messages(limit, &mut batch.text, &mut batch.ends);
            batch.ends.len().saturating_sub(before)
        } else {
            let mut batch = Messages { connection: connection.0, text: String::new(), ends: Vec::new() };
            events.take_messages(limit, &mut batch.text, &mut batch.ends);
            let count = batch.ends.len();
            if count != 0 {
                self.start_batch(batch);
            }
            count
        };
        self.left = self.left.saturating_sub(count);
    }

    /// Whether the last event belongs to this connection and must be answered before the connection continues.
    pub(super) fn ends_with_question(&self, connection: ConnectionId) -> bool {
        match self.events.last() {
            Some(Event::Handshake(handshake)) => handshake.connection == connection.0,
            Some(Event::Request(request)) => request.connection == connection.0,
            _ => false,
        }
    }

    fn last_batch(&mut self, connection: ConnectionId) -> Option<&mut Messages> {
        match self.events.last_mut() {
            Some(Event::Messages(batch)) if batch.connection == connection.0 => Some(batch),
            _ => None,
        }
    }

    fn start_batch(&mut self, batch: Messages) {
        // Most steps have one event.
        if self.events.is_empty() {
            self.events.reserve_exact(1);
        }
        self.events.push(Event::Messages(batch));
    }

    pub(super) fn failed(&mut self, connection: u64, command: CommandKind, why: Misuse) {
        let why = match why {
            Misuse::UnknownConnection => Failure::UnknownConnection,
            Misuse::WrongState => Failure::WrongState,
            Misuse::DuplicateConnection | Misuse::Invalid => Failure::Invalid,
            Misuse::Unsupported => Failure::NotText,
        };
        self.events.push(Event::Failed(Failed { connection, command, why }));
    }

    pub(super) fn abort(&mut self, connection: u64) {
        let to = Destination::One(connection);
        self.transmissions.push(Transmission { to, bytes: Vec::new(), then: Disposition::Abort });
    }

    pub(super) fn drain_events(&mut self, server: &mut Server) {
        while self.left != 0
            && let Some(event) = server.poll_queued()
        {
            self.event(event);
        }
    }

    pub(super) fn finish(mut self, server: &mut Server) -> Step {
        self.drain_events(server);
        // Now their input of this call is complete. They are the shell's, whatever the application's budget.
        while let Some(event) = server.poll_passed() {
            self.event(event);
        }
        // Due at once: events that exceeded the budget.
        let more = server.has_events();
        while let Some(transmission) = server.poll_transmit() {
            self.transmissions.push(transmission.into());
        }
        Step {
            events: self.events,
            transmissions: self.transmissions,
            next_timeout: if more { Some(0) } else { server.poll_timeout() },
            paused: server.deferred().map(|id| id.0).collect(),
        }
    }
}

/// None for messages, which are batched.
fn owned(event: engine::Event<'_>) -> Option<Event> {
    Some(match event {
        engine::Event::StateChanged { connection, old, new } => {
            Event::StateChanged(StateChange { connection: connection.0, old, new })
        }
        engine::Event::Handshake { connection, protocol, peer, subprotocol, head } => {
            Event::Handshake(Handshake {
                connection: connection.0,
                protocol,
                peer: peer.address.clone(),
                subprotocol,
                head: (&*head).into(),
            })
        }
        engine::Event::Connected { connection, protocol, peer, subprotocol, head } => {
            Event::Connected(Connected {
                connection: connection.0,
                protocol,
                peer: peer.address.clone(),
                subprotocol,
                head: (&*head).into(),
            })
        }
        engine::Event::Message { .. } => return None,
        engine::Event::Binary { connection, bytes } => {
            Event::Binary(Binary { connection: connection.0, bytes })
        }
        engine::Event::Closed { connection, cause, code, reason } => Event::Closed(Closed {
            connection: connection.0,
            cause: cause.into(),
            code: code.map(CloseCode::number),
            reason,
        }),
        engine::Event::Rejected { connection, peer, status, reason } => Event::Rejected(Rejection {
            connection: connection.0,
            peer: peer.address.clone(),
            status,
            reason: reason.into_owned(),
        }),
        engine::Event::Request { connection, peer, head, body } => Event::Request(Request {
            connection: connection.0,
            peer: peer.address.clone(),
            head: (&*head).into(),
            body,
        }),
        engine::Event::Passed { connection, bytes } => {
            Event::Passed(Passed { connection: connection.0, bytes })
        }
        engine::Event::Tick { now } => Event::Tick(now),
    })
}

impl From<&Head> for RequestHead {
    fn from(head: &Head) -> Self {
        let authority = head.authority();
        let field = |(name, value): (&str, &[u8])| {
            let is_replaced = authority.is_some() && name.eq_ignore_ascii_case("Host");
            let value = authority.filter(|_| is_replaced).unwrap_or(value);
            Field { name: name.into(), value: value.into() }
        };
        let missing = authority.filter(|_| head.value("Host").is_none()).map(|authority| ("Host", authority));
        let fields = head.fields().chain(missing).map(field).collect();
        Self { method: head.method().into(), target: head.target().into(), fields }
    }
}

impl From<engine::CloseCause> for CloseCause {
    fn from(cause: engine::CloseCause) -> Self {
        match cause {
            engine::CloseCause::ByPeer => Self::ByPeer,
            engine::CloseCause::ByUs => Self::ByUs,
            engine::CloseCause::ByUsAbruptly => Self::ByUsAbruptly,
            engine::CloseCause::EndOfStream => Self::EndOfStream,
            engine::CloseCause::Reset => Self::Reset,
            engine::CloseCause::SlowReader => Self::SlowReader,
            engine::CloseCause::HandshakeTimeout => Self::HandshakeTimeout,
            engine::CloseCause::IdleTimeout => Self::IdleTimeout,
            engine::CloseCause::PingTimeout => Self::PingTimeout,
            engine::CloseCause::MessageTimeout => Self::MessageTimeout,
            engine::CloseCause::CloseTimeout => Self::CloseTimeout,
            engine::CloseCause::Refused => Self::Refused,
            engine::CloseCause::Responded => Self::Responded,
            engine::CloseCause::Frame(FrameError::TooLong) => Self::MessageLimit,
            engine::CloseCause::Frame(FrameError::NoRoom) => Self::BufferLimit,
            engine::CloseCause::Frame(FrameError::NotUtf8) => Self::BadText,
            engine::CloseCause::Frame(error) => Self::BadFrame(format!("{error}")),
        }
    }
}

impl From<engine::Transmission> for Transmission {
    fn from(engine::Transmission { to, bytes, then }: engine::Transmission) -> Self {
        let to = match to {
            engine::Destination::One(id) => Destination::One(id.0),
            engine::Destination::Many(ids) => Destination::Many(ids.into_iter().map(|id| id.0).collect()),
            engine::Destination::All => Destination::All,
            engine::Destination::AllBut(id) => Destination::AllBut(id.0),
        };
        Self { to, bytes, then }
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
