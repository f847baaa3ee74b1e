//! Transitions from one phase to another, whatever causes them.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::{Closing, Connection, Phase, Ping};
use crate::ahead::Ahead;
use crate::challenge::KEY3_BYTES;
use crate::error::{FrameError, Refusal};
use crate::event::{CloseCause, Disposition, Event, State};
use crate::frame::CLOSING;
use crate::framing::Framing;
use crate::handshake::{Handshake, place_asked};
use crate::http;
use crate::hybi::close::CloseCode;
use crate::hybi::handshake::{upgrade_fields, version_numbers};
use crate::options::Millis;
use crate::protocol::Protocol;
use crate::shared::Shared;

/// How long the peer has to answer our FF 00 before our FIN follows, in milliseconds.
pub(super) const ANSWER_TIME: Millis = 250;

impl Connection {
    /// Writes the 101. In draft 76 it does not wait for key3: proxies hold key3 back until they see the 101.
    pub(super) fn answer(
        &mut self,
        shared: &mut Shared,
        handshake: Handshake,
        subprotocol: Option<&str>,
        mut answer: Vec<u8>,
    ) {
        shared.transmit(self.id, |out| out.append(&mut answer));
        if let (Some(head), Some(subprotocol)) = (&self.head, subprotocol) {
            self.subprotocol = place_asked(head, handshake.protocol(), subprotocol);
        }
        match handshake {
            Handshake::Hixie { parts: Some(parts), .. } => {
                self.set_state(shared, State::Waiting);
                self.phase = Phase::Key3 { parts, key3: [0; KEY3_BYTES], have: 0 };
            }
            handshake => self.connected(shared, handshake.protocol()),
        }
    }

    pub(super) fn connected(&mut self, shared: &mut Shared, protocol: Protocol) {
        self.set_state(shared, State::Handshaking);
        self.set_state(shared, State::Connected);
        let max_message_bytes = shared.policy.options.limits.max_message_bytes;
        let framing = Framing::new(protocol, max_message_bytes);
        self.phase = Phase::Open { framing, closing: Closing::NotYet };
        shared.count_connected(protocol, true);
        shared.count_member(protocol, true);
        shared.transmit_then(self.id, Disposition::Join);
        self.active = shared.now;
        self.heard = shared.now;
        self.start_open_timer(shared);
        let subprotocol = self.subprotocol();
        if let Some(head) = &self.head {
            shared.events.push_back(Event::Connected {
                connection: self.id,
                protocol,
                peer: Arc::clone(&self.peer),
                subprotocol,
                head: Arc::clone(head),
            });
        }
    }

    /// Continues with the input that arrived ahead of an answer.
    pub(super) fn resume(&mut self, shared: &mut Shared, mut ahead: Ahead) {
        if shared.bounded {
            return self.defer_ahead(shared, ahead);
        }
        let mut rest = ahead.rest();
        while !rest.is_empty() && !matches!(self.phase, Phase::Responding { .. } | Phase::Deciding { .. }) {
            match self.step(shared, &mut rest) {
                Some(Event::Message { connection, text }) => {
                    let text = Cow::Owned(text.into_owned());
                    shared.events.push_back(Event::Message { connection, text });
                }
                Some(Event::Binary { connection, bytes }) => {
                    shared.events.push_back(Event::Binary { connection, bytes });
                }
                _ => {}
            }
        }
        let left = rest.len();
        match &mut self.phase {
            Phase::Responding { ahead: next } | Phase::Deciding { ahead: next, .. } => {
                ahead.take_all_but(left);
                *next = ahead;
            }
            _ => {}
        }
        self.account(shared);
    }

    pub(super) fn refuse(&mut self, shared: &mut Shared, refusal: Refusal, cause: CloseCause) {
        self.refuse_with(shared, refusal.status(), Cow::Owned(alloc::format!("{refusal}")), cause);
    }

    /// Refuses a request without a complete head; the previous request's head is unrelated.
    pub(super) fn refuse_unread(&mut self, shared: &mut Shared, refusal: Refusal, cause: CloseCause) {
        self.head = None;
        self.refuse(shared, refusal, cause);
    }

    pub(super) fn refuse_with(
        &mut self,
        shared: &mut Shared,
        status: u16,
        reason: Cow<'static, str>,
        cause: CloseCause,
    ) {
        // After a 101, nothing more can be said in HTTP.
        let status = if self.state == State::Opening { status } else { 0 };
        if status != 0 {
            let versions = version_numbers(&shared.policy.versions);
            let more = if status == 426 { upgrade_fields(&versions) } else { Vec::new() };
            shared.transmit(self.id, |out| http::write_refusal(out, status, &reason, &more));
        }
        self.rejected(shared, status, reason, cause);
    }

    /// Ends a connection whose request was answered with this status.
    pub(super) fn rejected(
        &mut self,
        shared: &mut Shared,
        status: u16,
        reason: Cow<'static, str>,
        cause: CloseCause,
    ) {
        if let Some(head) = &self.head {
            shared.rejected.push(shared.turn, self.id, head);
        }
        shared.events.push_back(Event::Rejected {
            connection: self.id,
            peer: Arc::clone(&self.peer),
            status,
            reason,
        });
        self.end(shared, cause, Disposition::Finish);
    }

    /// Collects what else arrives on the connection in this call, which ends by giving it back.
    pub(super) fn pass(&mut self, shared: &mut Shared, received: Vec<u8>) {
        if received.len() > shared.room().saturating_add(self.held) {
            return self.end(shared, CloseCause::Frame(FrameError::NoRoom), Disposition::Finish);
        }
        self.phase = Phase::Passing(received);
        self.timer.set(shared, self.id, None);
        shared.passing.push_back(self.id);
    }

    /// Gives it back, unless it has ended since.
    pub(crate) fn passed(&mut self, shared: &mut Shared) -> Option<Event<'static>> {
        let Phase::Passing(bytes) = &mut self.phase else {
            return None;
        };
        let mut bytes = mem::take(bytes);
        if let Some(deferred) = self.deferred.take() {
            bytes.extend_from_slice(deferred.bytes());
        }
        self.phase = Phase::Ended;
        self.account(shared);
        shared.ended.push(self.id);
        Some(Event::Passed { connection: self.id, bytes })
    }

    /// The peer's last bytes end the connection. If messages came in the same turn the application may answer those
    /// first, so that its answers do not depend on how the bytes were split.
    pub(super) fn end_behind_answers(&mut self, shared: &mut Shared, cause: CloseCause) {
        let waits = self.last_message == Some(shared.turn) && self.can_send();
        let mut last = Vec::new();
        match &mut self.phase {
            Phase::Open { framing: Framing::Hybi(session), .. } => session.finish(&mut last),
            _ if cause == CloseCause::ByPeer && self.protocol == Some(Protocol::Draft76) => {
                last.extend_from_slice(&CLOSING);
            }
            _ => {}
        }
        if waits {
            self.phase = Phase::Ending { cause, last };
            self.timer.set(shared, self.id, Some(0));
        } else {
            self.end_with(shared, cause, last);
        }
    }

    /// The application has had its chance to answer.
    pub(super) fn finish(&mut self, shared: &mut Shared) {
        if let Phase::Ending { cause, last } = &mut self.phase {
            let (cause, last) = (*cause, mem::take(last));
            self.end_with(shared, cause, last);
        }
    }

    /// `last` is our part of the closing handshake, if the peer has started one.
    fn end_with(&mut self, shared: &mut Shared, cause: CloseCause, mut last: Vec<u8>) {
        if !last.is_empty() {
            shared.transmit(self.id, |out| out.append(&mut last));
        }
        self.end(shared, cause, Disposition::Finish);
    }

    /// Writes our close frame, the first of the closing handshake.
    pub(super) fn send_close(&mut self, shared: &mut Shared, code: CloseCode, reason: &str) {
        let mut frame = Vec::new();
        match &mut self.phase {
            Phase::Open { framing: Framing::Hybi(session), .. } => session.close(code, reason, &mut frame),
            _ if self.protocol == Some(Protocol::Draft76) => frame.extend_from_slice(&CLOSING),
            _ => return,
        }
        shared.transmit(self.id, |out| out.append(&mut frame));
    }

    pub(super) fn start_handshake_timer(&mut self, shared: &mut Shared) {
        let after = shared.policy.options.limits.handshake_timeout;
        self.timer.set(shared, self.id, Some(after));
    }

    /// Sends our FIN after our FF 00: some peers react to nothing else.
    pub(super) fn half_close(&mut self, shared: &mut Shared) {
        let left = shared.policy.options.limits.close_timeout.saturating_sub(ANSWER_TIME);
        if let Phase::Open { closing, .. } = &mut self.phase
            && left > 0
        {
            *closing = Closing::HalfClosed;
            shared.transmit_then(self.id, Disposition::HalfClose);
            self.timer.set(shared, self.id, Some(left));
        } else {
            self.end(shared, CloseCause::CloseTimeout, Disposition::Finish);
        }
    }

    /// Of a connected client that is late, or is to be pinged.
    pub(super) fn handle_open_timeout(&mut self, shared: &mut Shared) {
        let is_due = |at: Option<Millis>| at.is_some_and(|at| at <= shared.now);
        let (cause, code) = if is_due(self.message_deadline(shared)) {
            (CloseCause::MessageTimeout, CloseCode::POLICY_VIOLATION)
        } else if is_due(self.idle_deadline(shared)) {
            (CloseCause::IdleTimeout, CloseCode::GOING_AWAY)
        } else {
            match self.ping {
                Ping::None => return self.ping(shared),
                Ping::Sent(_) => {
                    self.ping = Ping::Overdue(shared.now);
                    return self.start_open_timer(shared);
                }
                Ping::Overdue(_) => (CloseCause::PingTimeout, CloseCode::GOING_AWAY),
            }
        };
        self.send_close(shared, code, "");
        self.end(shared, cause, Disposition::Finish);
    }

    fn ping(&mut self, shared: &mut Shared) {
        if let Phase::Open { framing: Framing::Hybi(session), .. } = &mut self.phase {
            // It is open, and there is no payload.
            let _ = shared.transmit(self.id, |out| session.send_ping(b"", out));
            self.ping = Ping::Sent(shared.now);
        }
        self.start_open_timer(shared);
    }

    /// Ends it because the memory that all connections share is needed.
    pub(crate) fn push_out(&mut self, shared: &mut Shared) {
        if self.protocol.is_some_and(Protocol::is_hybi) {
            self.send_close(shared, CloseCode::MESSAGE_TOO_BIG, "");
        }
        self.end(shared, CloseCause::Frame(FrameError::NoRoom), Disposition::Finish);
    }

    /// The earliest of what is due while a client is connected.
    pub(super) fn start_open_timer(&mut self, shared: &mut Shared) {
        let due = earlier(self.idle_deadline(shared), self.ping_deadline(shared));
        let due = earlier(due, self.message_deadline(shared));
        self.timer.set_at(shared, self.id, due);
    }

    fn idle_deadline(&self, shared: &Shared) -> Option<Millis> {
        let timeout = shared.policy.options.limits.idle_timeout;
        (timeout != 0).then(|| self.active.saturating_add(timeout))
    }

    /// When a ping is to be sent, or its answer must have come.
    fn ping_deadline(&self, shared: &Shared) -> Option<Millis> {
        let interval = shared.policy.options.limits.ping_interval;
        let has_pings = self.protocol.is_some_and(Protocol::is_hybi);
        (has_pings && interval != 0).then(|| match self.ping {
            Ping::None => self.heard.saturating_add(interval),
            Ping::Sent(at) => at.saturating_add(interval),
            Ping::Overdue(at) => at.saturating_add(1),
        })
    }

    /// When the current message must be complete.
    fn message_deadline(&self, shared: &Shared) -> Option<Millis> {
        let timeout = shared.policy.options.limits.message_timeout;
        self.begun.filter(|_| timeout != 0).map(|begun| begun.saturating_add(timeout))
    }

    pub(super) fn set_state(&mut self, shared: &mut Shared, new: State) {
        let old = mem::replace(&mut self.state, new);
        shared.events.push_back(Event::StateChanged { connection: self.id, old, new });
    }

    /// Updates the server's count of the bytes we hold.
    pub(crate) fn account(&mut self, shared: &mut Shared) {
        let held = match &self.phase {
            Phase::Head(reader) => reader.held(),
            Phase::Passing(bytes) => bytes.capacity(),
            Phase::Body(reader) => reader.held(),
            Phase::Responding { ahead } | Phase::Deciding { ahead, .. } => ahead.held(),
            Phase::Open { framing, .. } => framing.held(),
            Phase::Policy(_) | Phase::Key3 { .. } | Phase::Ending { .. } | Phase::Ended => 0,
        };
        let amid_message = match &self.phase {
            Phase::Open { framing, closing: Closing::NotYet } => !framing.is_between_messages(),
            _ => false,
        };
        let begun = (held != 0 || amid_message).then(|| self.begun.unwrap_or(shared.now));
        if begun != self.begun {
            self.begun = begun;
            if matches!(self.phase, Phase::Open { closing: Closing::NotYet, .. }) {
                self.start_open_timer(shared);
            }
        }
        let held = held.saturating_add(self.deferred.as_ref().map_or(0, |deferred| deferred.held()));
        let others = shared.counts.buffered_bytes.saturating_sub(self.held);
        shared.counts.buffered_bytes = others.saturating_add(held);
        self.held = held;
    }
}

fn earlier(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
