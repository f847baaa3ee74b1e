//! The application's commands for a connection.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::transitions::ANSWER_TIME;
use super::{Closing, Connection, Phase};
use crate::ahead::Ahead;
use crate::error::{Misuse, Refusal};
use crate::event::{CloseCause, Disposition, Event, State};
use crate::framing::Framing;
use crate::head::HeadReader;
use crate::http;
use crate::hybi::close::CloseCode;
use crate::protocol::Protocol;
use crate::shared::Shared;

impl Connection {
    pub(crate) fn accept(
        &mut self,
        shared: &mut Shared,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
    ) -> Result<(), Misuse> {
        let (Phase::Deciding { handshake, .. }, Some(head)) = (&self.phase, &self.head) else {
            return Err(Misuse::WrongState);
        };
        let mut answer = Vec::new();
        handshake.write_answer(head, subprotocol, fields, &mut answer)?;
        if let Phase::Deciding { handshake, ahead } = mem::replace(&mut self.phase, Phase::Ended) {
            self.answer(shared, handshake, subprotocol, answer);
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
        let Some(head) = self.head.clone() else {
            return Err(Misuse::WrongState);
        };
        let is_request = match self.phase {
            Phase::Responding { .. } => true,
            Phase::Deciding { .. } => false,
            _ => return Err(Misuse::WrongState),
        };
        let keep = is_request && http::keeps_alive(&head);
        let mut out = Vec::new();
        http::write_response(&mut out, &head, keep, status, fields, body)?;
        shared.transmit(self.id, |bytes| bytes.append(&mut out));
        if !is_request {
            let reason = alloc::format!("answered with {status}");
            self.rejected(shared, status, reason.into(), CloseCause::Refused);
            return Ok(());
        }
        if !keep {
            self.end(shared, CloseCause::Responded, Disposition::Finish);
            return Ok(());
        }
        let next = Phase::Head(HeadReader::default());
        let ahead = match mem::replace(&mut self.phase, next) {
            Phase::Responding { ahead } => ahead,
            _ => Ahead::default(),
        };
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
            Phase::Open { .. } | Phase::Ending { .. } => {
                self.close(shared, CloseCode::POLICY_VIOLATION, reason);
            }
            _ => self.refuse_with(shared, status, Cow::Owned(reason.into()), CloseCause::Refused),
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, shared: &mut Shared, code: CloseCode, reason: &str) {
        match (&mut self.phase, self.protocol) {
            (Phase::Open { closing: Closing::Sent | Closing::HalfClosed, .. }, _) => {}
            (Phase::Open { framing, closing }, Some(protocol)) if protocol != Protocol::Draft75 => {
                *closing = Closing::Sent;
                // A browser of hybi or RFC 6455 answers, and then waits for our FIN.
                let answers = matches!(framing, Framing::Hybi(_));
                self.send_close(shared, code, reason);
                shared.transmit_then(self.id, Disposition::Leave);
                shared.count_member(protocol, false);
                let after = shared.policy.options.limits.close_timeout;
                let after = if answers { after } else { after.min(ANSWER_TIME) };
                self.timer.set(shared, self.id, Some(after));
            }
            (Phase::Ending { .. }, _) => self.finish(shared),
            // Draft 75 has no closing handshake.
            (Phase::Open { .. }, _) => self.end(shared, CloseCause::ByUs, Disposition::Finish),
            _ => self.end(shared, CloseCause::ByUsAbruptly, Disposition::Finish),
        }
    }

    pub(crate) fn shutdown(&mut self, shared: &mut Shared, code: CloseCode) {
        match &self.phase {
            Phase::Head(reader) if reader.held() == 0 => self.close(shared, code, ""),
            Phase::Head(_) => self.refuse_unread(shared, Refusal::ShuttingDown, CloseCause::Refused),
            Phase::Body(_) | Phase::Responding { .. } | Phase::Deciding { .. } | Phase::Passing(_) => {
                self.refuse(shared, Refusal::ShuttingDown, CloseCause::Refused);
            }
            _ => self.close(shared, code, ""),
        }
    }

    pub(crate) fn end(&mut self, shared: &mut Shared, cause: CloseCause, then: Disposition) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if let (State::Connected, Some(protocol)) = (self.state, self.protocol) {
            shared.count_connected(protocol, false);
            if self.can_send() {
                shared.count_member(protocol, false);
            }
        }
        self.phase = Phase::Ended;
        self.deferred = None;
        self.account(shared);
        self.timer.set(shared, self.id, None);
        shared.transmit_then(self.id, then);
        self.set_state(shared, State::Closed);
        let (code, reason) = self.close.take().map(|close| *close).unwrap_or_default();
        shared.events.push_back(Event::Closed { connection: self.id, cause, code, reason });
        shared.ended.push(self.id);
    }
}
