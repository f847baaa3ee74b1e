//! The application's commands for a connection.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::transitions::ANSWER_TIME;
use super::{Closing, Connection, Phase};
use crate::error::{Misuse, Refusal};
use crate::event::{CloseCause, Disposition, Draft, Event, State};
use crate::handshake::asked_text;
use crate::head::HeadReader;
use crate::http;
use crate::shared::Shared;

impl Connection {
    pub(crate) fn accept(
        &mut self,
        shared: &mut Shared,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
    ) -> Result<(), Misuse> {
        let Phase::Deciding { handshake, .. } = &self.phase else {
            return Err(Misuse::WrongState);
        };
        let asked = self.head.as_ref().and_then(|head| asked_text(head, handshake.draft()));
        if subprotocol.is_some() && subprotocol != asked.as_deref() {
            return Err(Misuse::Invalid);
        }
        http::check_fields(fields)?;
        if let Phase::Deciding { handshake, ahead } = mem::replace(&mut self.phase, Phase::Ended) {
            self.answer(shared, handshake, subprotocol.is_some(), fields);
            self.resume(shared, ahead);
        }
        Ok(())
    }

    pub(crate) fn respond(
        &mut self,
        shared: &mut Shared,
        status: u16,
        fields: &[(String, Vec<u8>)],
        body: &[u8],
    ) -> Result<(), Misuse> {
        let (Phase::Responding { ahead }, Some(head)) = (&mut self.phase, self.head.clone()) else {
            return Err(Misuse::WrongState);
        };
        let mut out = Vec::new();
        http::write_response(&mut out, &head, status, fields, body)?;
        let ahead = mem::take(ahead);
        shared.transmit(self.id, |bytes| bytes.append(&mut out));
        if !http::keeps_alive(&head) {
            self.end(shared, CloseCause::Responded, Disposition::Finish);
            return Ok(());
        }
        self.phase = Phase::Head(HeadReader::default());
        self.start_handshake_timer(shared);
        self.resume(shared, ahead);
        if self.half_closed && !matches!(self.phase, Phase::Responding { .. }) {
            self.receive_eof(shared);
        }
        Ok(())
    }

    /// Answers on behalf of the application.
    pub(super) fn answer_health_check(&mut self, shared: &mut Shared) {
        let fields = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")];
        let fields = fields.map(|(name, value)| (String::from(name), Vec::from(value)));
        // Cannot fail: a request is pending, and the fields are valid.
        let _ = self.respond(shared, 200, &fields, b"ok\n");
    }

    pub(crate) fn reject(&mut self, shared: &mut Shared, status: u16, reason: &str) -> Result<(), Misuse> {
        if !(400..=599).contains(&status) || reason.contains(['\r', '\n']) {
            return Err(Misuse::Invalid);
        }
        match self.phase {
            Phase::Open { .. } | Phase::Ending { .. } => self.close(shared),
            _ => self.refuse_with(shared, status, Cow::Owned(reason.into()), CloseCause::Refused),
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Open { closing: Closing::Sent | Closing::HalfClosed, .. } => {}
            Phase::Open { closing, .. } if self.draft == Some(Draft::Draft76) => {
                *closing = Closing::Sent;
                self.send_closing(shared);
                shared.transmit_then(self.id, Disposition::Leave);
                shared.members = shared.members.saturating_sub(1);
                let after = shared.policy.options.limits.close_timeout.min(ANSWER_TIME);
                self.timer.set(shared, self.id, Some(after));
            }
            Phase::Ending { cause } => {
                let cause = *cause;
                self.finish(shared, cause);
            }
            // Draft 75 has no closing handshake.
            Phase::Open { .. } => self.end(shared, CloseCause::ByUs, Disposition::Finish),
            _ => self.end(shared, CloseCause::ByUsAbruptly, Disposition::Finish),
        }
    }

    pub(crate) fn shutdown(&mut self, shared: &mut Shared) {
        match &self.phase {
            Phase::Head(reader) if reader.held() == 0 => self.close(shared),
            Phase::Head(_) => self.refuse_unread(shared, Refusal::ShuttingDown, CloseCause::Refused),
            Phase::Body(_) | Phase::Responding { .. } | Phase::Deciding { .. } => {
                self.refuse(shared, Refusal::ShuttingDown, CloseCause::Refused);
            }
            _ => self.close(shared),
        }
    }

    pub(crate) fn end(&mut self, shared: &mut Shared, cause: CloseCause, then: Disposition) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if let (State::Connected, Some(draft)) = (self.state, self.draft) {
            shared.count_connected(draft, false);
        }
        if self.can_send() {
            shared.members = shared.members.saturating_sub(1);
        }
        self.phase = Phase::Ended;
        self.deferred = None;
        self.account(shared);
        self.timer.set(shared, self.id, None);
        shared.transmit_then(self.id, then);
        self.set_state(shared, State::Closed);
        shared.events.push_back(Event::Closed { connection: self.id, cause });
        shared.ended.push(self.id);
    }
}
