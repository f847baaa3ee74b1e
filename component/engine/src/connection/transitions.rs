//! Transitions from one phase to another, whatever causes them.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::{Closing, Connection, Phase};
use crate::ahead::Ahead;
use crate::challenge::KEY3_BYTES;
use crate::error::Refusal;
use crate::event::{CloseCause, Disposition, Draft, Event, State};
use crate::frame::{CLOSING, Decoder};
use crate::handshake::{Handshake, asked_subprotocol};
use crate::http;
use crate::options::Millis;
use crate::shared::Shared;

/// How long the peer has to answer our FF 00 before our FIN follows, in milliseconds.
pub(super) const ANSWER_TIME: Millis = 250;

impl Connection {
    /// Writes the 101. In draft 76 it does not wait for key3: proxies hold key3 back until they see the 101.
    pub(super) fn answer(
        &mut self,
        shared: &mut Shared,
        handshake: Handshake,
        name_subprotocol: bool,
        fields: &[(String, Vec<u8>)],
    ) {
        let Some(head) = self.head.clone() else {
            return;
        };
        let draft = handshake.draft();
        let mut answer = Vec::new();
        let subprotocol = asked_subprotocol(&head, draft).filter(|_| name_subprotocol);
        handshake.write_answer(&mut answer, &head, subprotocol, fields);
        shared.transmit(self.id, |out| out.append(&mut answer));
        self.names_subprotocol = subprotocol.is_some();
        match handshake.parts {
            Some(parts) => {
                self.set_state(shared, State::Waiting);
                self.phase = Phase::Key3 { parts, key3: [0; KEY3_BYTES], have: 0 };
            }
            None => self.connected(shared, draft),
        }
    }

    pub(super) fn connected(&mut self, shared: &mut Shared, draft: Draft) {
        self.set_state(shared, State::Handshaking);
        self.set_state(shared, State::Connected);
        self.phase = Phase::Open { decoder: Decoder::default(), closing: Closing::NotYet };
        shared.count_connected(draft, true);
        shared.members = shared.members.saturating_add(1);
        shared.transmit_then(self.id, Disposition::Join);
        self.active = shared.now;
        self.start_open_timer(shared);
        if let Some(head) = &self.head {
            shared.events.push_back(Event::Connected {
                connection: self.id,
                draft,
                peer: Arc::clone(&self.peer),
                subprotocol: self.subprotocol(),
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
            if let Some(Event::Message { connection, text }) = self.step(shared, &mut rest) {
                shared.events.push_back(Event::Message { connection, text: Cow::Owned(text.into_owned()) });
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
            let more: &[_] = if status == 426 { &[("Upgrade", "WebSocket")] } else { &[] };
            shared.transmit(self.id, |out| http::write_refusal(out, status, &reason, more));
        }
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

    /// The peer's last bytes end the connection. If messages came in the same turn the application may answer those
    /// first, so that its answers do not depend on how the bytes were split.
    pub(super) fn end_behind_answers(&mut self, shared: &mut Shared, cause: CloseCause) {
        if self.last_message == Some(shared.turn) && self.can_send() {
            self.phase = Phase::Ending { cause };
            self.timer.set(shared, self.id, Some(0));
        } else {
            self.finish(shared, cause);
        }
    }

    /// Ends the connection, with the closing handshake if the peer has started one.
    pub(super) fn finish(&mut self, shared: &mut Shared, cause: CloseCause) {
        if cause == CloseCause::ByPeer {
            self.send_closing(shared);
        }
        self.end(shared, cause, Disposition::Finish);
    }

    pub(super) fn send_closing(&self, shared: &mut Shared) {
        if self.draft == Some(Draft::Draft76) {
            shared.transmit(self.id, |out| out.extend_from_slice(&CLOSING));
        }
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

    /// The earlier of the idle timeout and the message timeout.
    pub(super) fn start_open_timer(&mut self, shared: &mut Shared) {
        let idle = shared.policy.options.limits.idle_timeout;
        let idle = (idle != 0).then(|| self.active.saturating_add(idle));
        let due = idle.into_iter().chain(self.message_deadline(shared)).min();
        self.timer.set_at(shared, self.id, due);
    }

    /// When the current message must be complete.
    pub(super) fn message_deadline(&self, shared: &Shared) -> Option<Millis> {
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
            Phase::Body(reader) => reader.held(),
            Phase::Responding { ahead } | Phase::Deciding { ahead, .. } => ahead.held(),
            Phase::Open { decoder, .. } => decoder.held(),
            Phase::Policy(_) | Phase::Key3 { .. } | Phase::Ending { .. } | Phase::Ended => 0,
        };
        let amid_frame = match &self.phase {
            Phase::Open { decoder, closing: Closing::NotYet } => *decoder != Decoder::Type,
            _ => false,
        };
        let begun = (held != 0 || amid_frame).then(|| self.begun.unwrap_or(shared.now));
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
