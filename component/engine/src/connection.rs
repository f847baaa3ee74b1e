//! One connection: what it waits for, and what each input does to it.
//!
//! ```text
//!                    ┌─ authorise ─→ Deciding ─┐ accept
//!  Head ─ handshake ─┴─────────────────────────┴─→ (76) Key3 ─→ Open ─→ Ended
//!    │                                             (75) ─────────↗
//!    ├─ plain HTTP ─→ Body ─→ Responding ─ respond ─→ Head, or Ended
//!    └─ "<policy" ──→ Policy ─→ Ended
//! ```
//!
//! From every phase a refusal, a limit, a deadline, the peer's end of TCP and the application's `close` lead to
//! `Ended`. The whole table is in `tests/snapshots/transitions.snap`.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use crate::challenge::{KEY3_BYTES, answer};
use crate::error::{FrameError, MalformedHead, Misuse, Refusal};
use crate::event::{CloseCause, ConnectionId, Disposition, Draft, Event, Peer, State};
use crate::frame::{CLOSING, Decoder, Frame, Rules, encode, hold};
use crate::handshake::{Handshake, examine, write_answer};
use crate::head::{Head, HeadReader};
use crate::location::last_of_list;
use crate::shared::{Shared, Timer};
use crate::{http, text};

/// What Flash sends before it lets a script open a socket; the answer ends in NUL as well.
const POLICY_REQUEST: &[u8] = b"<policy-file-request/>\0";

/// An open connection of a [`Server`](crate::Server), to look at.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    peer: Arc<Peer>,
    head: Option<Arc<Head>>,
    draft: Option<Draft>,
    subprotocol: Option<String>,
    state: State,
    phase: Phase,
    timer: Timer,
    /// The peer has ended its side while a response is owed.
    half_closed: bool,
    /// The last turn in which the application was told a message.
    last_message: Option<u64>,
    /// What of the server's buffered bytes is ours.
    held: usize,
}

/// What we wait for, with the data that this needs.
#[derive(Debug)]
enum Phase {
    /// A request's head.
    Head(HeadReader),
    /// The rest of Flash's policy request: how many bytes of it have come.
    Policy(usize),
    /// The rest of a plain request's body.
    Body { body: Vec<u8>, length: usize },
    /// The application's response; what came ahead of it.
    Responding { ahead: Vec<u8> },
    /// The application's decision; what came ahead of it.
    Deciding { handshake: Handshake, ahead: Vec<u8> },
    /// The rest of key3; the 101 is written.
    Key3 { parts: (u32, u32), key3: [u8; KEY3_BYTES], have: usize },
    /// Frames. `closing`: we have sent FF 00.
    Open { decoder: Decoder, closing: bool },
    /// The application's answers to messages that came in the same turn as what ends the connection.
    Ending { cause: CloseCause },
    /// Nothing.
    Ended,
}

/// Getters.
impl Connection {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Which protocol it speaks; known from the accepted head on.
    #[must_use]
    pub fn draft(&self) -> Option<Draft> {
        self.draft
    }

    /// The subprotocol that our answer named.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The head of the request that opened it, for as long as it lives; for plain HTTP that of the last
    /// request.
    #[must_use]
    pub fn head(&self) -> Option<&Arc<Head>> {
        self.head.as_ref()
    }

    /// Connected, and not closing: messages can be sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(self.phase, Phase::Open { closing: false, .. } | Phase::Ending { .. })
    }

    /// Off the table at the server's next call.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Bytes held for what is incomplete.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

/// Input.
impl Connection {
    pub(crate) fn open(shared: &mut Shared, id: ConnectionId, peer: Peer) -> Self {
        let mut connection = Self {
            id,
            peer: Arc::new(peer),
            head: None,
            draft: None,
            subprotocol: None,
            state: State::Unknown,
            phase: Phase::Head(HeadReader::default()),
            timer: Timer::default(),
            half_closed: false,
            last_message: None,
            held: 0,
        };
        connection.set_state(shared, State::Opening);
        connection.start_handshake_timer(shared);
        connection
    }

    /// Takes the next event off the input; None when it is used up.
    pub(crate) fn receive<'i>(&mut self, shared: &mut Shared, input: &mut &'i [u8]) -> Option<Event<'i>> {
        loop {
            if let Some(event) = shared.events.pop_front() {
                return Some(event);
            }
            if input.is_empty() {
                self.account(shared);
                return None;
            }
            if let Some(event) = self.step(shared, input) {
                return Some(event);
            }
        }
    }

    /// Something was received or sent.
    pub(crate) fn touch(&mut self, shared: &mut Shared) {
        if matches!(self.phase, Phase::Open { closing: false, .. }) {
            self.start_idle_timer(shared);
        }
    }

    pub(crate) fn receive_eof(&mut self, shared: &mut Shared) {
        match self.phase {
            // A client may end its side behind its request and still want the response.
            Phase::Responding { .. } => self.half_closed = true,
            Phase::Ending { cause } => self.finish(shared, cause),
            _ => self.end(shared, CloseCause::EndOfStream, Disposition::Finish),
        }
    }

    /// Its armed deadline has passed.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared) {
        if !self.timer.has_expired(shared, self.id) {
            return;
        }
        let late = CloseCause::HandshakeTimeout;
        match &self.phase {
            Phase::Head(reader) if reader.held() == 0 => self.end(shared, late, Disposition::Finish),
            Phase::Head(_) | Phase::Policy(_) | Phase::Body { .. } => {
                self.refuse(shared, Refusal::Timeout, late)
            }
            Phase::Responding { .. } | Phase::Deciding { .. } => self.refuse(shared, Refusal::NoAnswer, late),
            Phase::Key3 { .. } => self.end(shared, late, Disposition::Finish),
            Phase::Open { closing: true, .. } => {
                self.end(shared, CloseCause::CloseTimeout, Disposition::Finish);
            }
            Phase::Open { closing: false, .. } => {
                self.send_closing(shared);
                self.end(shared, CloseCause::IdleTimeout, Disposition::Finish);
            }
            Phase::Ending { cause } => self.finish(shared, *cause),
            Phase::Ended => {}
        }
    }

    /// One phase's action on a non-empty input: an event that borrows from it, or events in the queue, or none.
    fn step<'i>(&mut self, shared: &mut Shared, input: &mut &'i [u8]) -> Option<Event<'i>> {
        let limits = shared.policy.options.limits;
        let room = shared.room().saturating_add(self.held);
        match &mut self.phase {
            Phase::Head(reader) => {
                let flash = shared.policy.options.flash_policy.is_some();
                if flash && reader.held() == 0 && input.starts_with(b"<") {
                    self.phase = Phase::Policy(0);
                    return None;
                }
                match reader.read(input, &limits, room) {
                    Ok(None) => {}
                    Ok(Some(head)) => self.take_head(shared, head),
                    Err(refusal) => self.refuse(shared, refusal, CloseCause::Refused),
                }
            }
            Phase::Policy(have) => match match_policy_request(have, input) {
                Ok(false) => {}
                Ok(true) => self.send_policy(shared),
                Err(error) => self.refuse(shared, error.into(), CloseCause::Refused),
            },
            Phase::Body { body, length } => {
                let more = length.saturating_sub(body.len()).min(input.len());
                let (mut part, rest) = input.split_at_checked(more).unwrap_or_default();
                *input = rest;
                match hold(mem::take(body), &mut part, room) {
                    Ok(whole) if whole.len() >= *length => self.request(shared, whole),
                    Ok(some) => *body = some,
                    Err(error) => self.end(shared, CloseCause::Frame(error), Disposition::Finish),
                }
            }
            Phase::Responding { ahead } | Phase::Deciding { ahead, .. } => {
                // A pipelined request, or messages behind a handshake.
                let ahead_limit = limits.max_head_bytes.saturating_add(limits.max_message_bytes);
                match hold(mem::take(ahead), input, room.min(ahead_limit)) {
                    Ok(held) => *ahead = held,
                    Err(error) => self.end(shared, CloseCause::Frame(error), Disposition::Finish),
                }
            }
            Phase::Key3 { parts, key3, have } => {
                while let (Some(slot), Some((&byte, rest))) = (key3.get_mut(*have), input.split_first()) {
                    *slot = byte;
                    *have = have.saturating_add(1);
                    *input = rest;
                }
                if *have == KEY3_BYTES {
                    let answer = answer(parts.0, parts.1, *key3);
                    shared.transmit(self.id, |out| out.extend_from_slice(&answer));
                    self.connected(shared, Draft::Draft76);
                }
            }
            Phase::Open { .. } => return self.take_frame(shared, input, room),
            Phase::Ending { .. } | Phase::Ended => *input = &[],
        }
        None
    }

    fn take_frame<'i>(
        &mut self,
        shared: &mut Shared,
        input: &mut &'i [u8],
        room: usize,
    ) -> Option<Event<'i>> {
        let Phase::Open { decoder, closing } = &mut self.phase else {
            return None;
        };
        let options = &shared.policy.options;
        let rules = Rules {
            draft: self.draft.unwrap_or(Draft::Draft75),
            skip_reserved: options.skip_reserved_frames,
            max_message_bytes: options.limits.max_message_bytes,
        };
        let frame = decoder.decode(input, rules, room).and_then(|frame| match frame {
            Some(Frame::Text(bytes)) => {
                text::decode(bytes, options.invalid_utf8).map(|text| Some(Some(text)))
            }
            Some(Frame::Closing) => Ok(Some(None)),
            None => Ok(None),
        });
        match frame {
            Ok(None) => None,
            Ok(Some(Some(text))) if options.echo => {
                if !*closing {
                    shared.transmit(self.id, |out| {
                        // What is left of the input will most likely be echoed as well.
                        out.reserve(text.len().saturating_add(input.len()).saturating_add(2));
                        encode(&text, out);
                    });
                }
                None
            }
            Ok(Some(Some(text))) => {
                self.last_message = Some(shared.turn);
                Some(Event::Message { connection: self.id, text })
            }
            Ok(Some(None)) => {
                let cause = if *closing { CloseCause::ByUs } else { CloseCause::ByPeer };
                self.end_behind_answers(shared, cause);
                None
            }
            Err(error) => {
                self.end_behind_answers(shared, CloseCause::Frame(error));
                None
            }
        }
    }

    fn take_head(&mut self, shared: &mut Shared, head: Head) {
        if shared.policy.options.trust_forwarded
            && let Some(address) = last_of_list(&head, "X-Forwarded-For")
        {
            let address = String::from_utf8_lossy(address).into_owned();
            self.peer = Arc::new(Peer { address, secure: self.peer.secure });
        }
        let head = Arc::new(head);
        self.head = Some(Arc::clone(&head));
        match examine(&head, &shared.policy) {
            Err(refusal) => self.refuse(shared, refusal, CloseCause::Refused),
            Ok(None) => self.take_request(shared, &head),
            Ok(Some(handshake)) => {
                self.draft = Some(handshake.draft());
                if shared.policy.options.authorise {
                    shared.events.push_back(Event::Handshake {
                        connection: self.id,
                        draft: handshake.draft(),
                        peer: Arc::clone(&self.peer),
                        subprotocol: handshake.subprotocol_text(),
                        head,
                    });
                    self.phase = Phase::Deciding { handshake, ahead: Vec::new() };
                } else {
                    self.answer(shared, handshake, true, &[]);
                }
            }
        }
    }

    fn take_request(&mut self, shared: &mut Shared, head: &Head) {
        match http::body_length(head, shared.policy.options.limits.max_message_bytes) {
            Err(refusal) => self.refuse(shared, refusal, CloseCause::Refused),
            Ok(0) => self.request(shared, Vec::new()),
            Ok(length) => {
                if http::expects_continue(head) {
                    shared.transmit(self.id, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                self.phase = Phase::Body { body: Vec::new(), length };
            }
        }
    }

    fn request(&mut self, shared: &mut Shared, body: Vec<u8>) {
        self.phase = Phase::Responding { ahead: Vec::new() };
        if let Some(head) = &self.head {
            shared.events.push_back(Event::Request {
                connection: self.id,
                peer: Arc::clone(&self.peer),
                head: Arc::clone(head),
                body,
            });
        }
    }

    fn send_policy(&mut self, shared: &mut Shared) {
        let policy = shared.policy.options.flash_policy.clone().unwrap_or_default();
        shared.transmit(self.id, |out| {
            out.extend_from_slice(policy.as_bytes());
            out.push(0);
        });
        self.end(shared, CloseCause::Responded, Disposition::Finish);
    }
}

/// Commands.
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
        if subprotocol.is_some() && subprotocol != handshake.subprotocol_text().as_deref() {
            return Err(Misuse::Invalid);
        }
        http::check_fields(fields)?;
        if let Phase::Deciding { handshake, ahead } = mem::replace(&mut self.phase, Phase::Ended) {
            self.answer(shared, handshake, subprotocol.is_some(), fields);
            self.resume(shared, &ahead);
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
        self.resume(shared, &ahead);
        if self.half_closed && !matches!(self.phase, Phase::Responding { .. }) {
            self.end(shared, CloseCause::EndOfStream, Disposition::Finish);
        }
        Ok(())
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
            Phase::Open { closing: true, .. } => {}
            Phase::Open { closing: closing @ false, .. } if self.draft == Some(Draft::Draft76) => {
                *closing = true;
                self.send_closing(shared);
                let after = shared.policy.options.limits.close_timeout;
                self.timer.set(shared, self.id, Some(after));
            }
            Phase::Ending { cause } => {
                let cause = *cause;
                self.finish(shared, cause);
            }
            _ => self.end(shared, CloseCause::ByUsAbruptly, Disposition::Finish),
        }
    }

    pub(crate) fn shutdown(&mut self, shared: &mut Shared) {
        match &self.phase {
            Phase::Head(reader) if reader.held() == 0 => self.close(shared),
            Phase::Head(_) | Phase::Body { .. } | Phase::Responding { .. } | Phase::Deciding { .. } => {
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
        self.phase = Phase::Ended;
        self.account(shared);
        self.timer.set(shared, self.id, None);
        shared.transmit_end(self.id, then);
        self.set_state(shared, State::Closed);
        shared.events.push_back(Event::Closed { connection: self.id, cause });
        shared.ended.push(self.id);
    }
}

/// Transitions.
impl Connection {
    /// Writes the 101. In draft 76 it does not wait for key3: proxies hold that back until they see it.
    fn answer(
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
        let subprotocol = handshake.subprotocol.as_deref().filter(|_| name_subprotocol);
        write_answer(&mut answer, &head, &self.peer, &shared.policy, draft, subprotocol, fields);
        shared.transmit(self.id, |out| out.append(&mut answer));
        self.subprotocol = handshake.subprotocol_text().filter(|_| name_subprotocol);
        match handshake.parts {
            Some(parts) => {
                self.set_state(shared, State::Waiting);
                self.phase = Phase::Key3 { parts, key3: [0; KEY3_BYTES], have: 0 };
            }
            None => self.connected(shared, draft),
        }
    }

    fn connected(&mut self, shared: &mut Shared, draft: Draft) {
        self.set_state(shared, State::Handshaking);
        self.set_state(shared, State::Connected);
        self.phase = Phase::Open { decoder: Decoder::default(), closing: false };
        shared.count_connected(draft, true);
        self.start_idle_timer(shared);
        if let Some(head) = &self.head {
            shared.events.push_back(Event::Connected {
                connection: self.id,
                draft,
                peer: Arc::clone(&self.peer),
                subprotocol: self.subprotocol.clone(),
                head: Arc::clone(head),
            });
        }
    }

    /// Goes on with what came ahead of an answer.
    fn resume(&mut self, shared: &mut Shared, mut ahead: &[u8]) {
        while !ahead.is_empty() {
            if let Some(Event::Message { connection, text }) = self.step(shared, &mut ahead) {
                shared.events.push_back(Event::Message { connection, text: Cow::Owned(text.into_owned()) });
            }
        }
        self.account(shared);
    }

    fn refuse(&mut self, shared: &mut Shared, refusal: Refusal, cause: CloseCause) {
        self.refuse_with(shared, refusal.status(), Cow::Owned(alloc::format!("{refusal}")), cause);
    }

    fn refuse_with(
        &mut self,
        shared: &mut Shared,
        status: u16,
        reason: Cow<'static, str>,
        cause: CloseCause,
    ) {
        // Behind a 101 there is nothing left to say in HTTP.
        let status = if self.state == State::Opening { status } else { 0 };
        if status != 0 {
            shared.transmit(self.id, |out| http::write_refusal(out, status, &reason));
        }
        shared.events.push_back(Event::Rejected {
            connection: self.id,
            peer: Arc::clone(&self.peer),
            status,
            reason,
        });
        self.end(shared, cause, Disposition::Finish);
    }

    /// The peer's last bytes end the connection. If messages came in the same turn the application may answer
    /// those first, so that its answers do not depend on how the bytes were cut up.
    fn end_behind_answers(&mut self, shared: &mut Shared, cause: CloseCause) {
        if self.last_message == Some(shared.turn) && self.can_send() {
            self.phase = Phase::Ending { cause };
            self.timer.set(shared, self.id, Some(0));
        } else {
            self.finish(shared, cause);
        }
    }

    /// Ends the connection, by the closing handshake if that is what the peer has begun.
    fn finish(&mut self, shared: &mut Shared, cause: CloseCause) {
        if cause == CloseCause::ByPeer {
            self.send_closing(shared);
        }
        self.end(shared, cause, Disposition::Finish);
    }

    fn send_closing(&self, shared: &mut Shared) {
        if self.draft == Some(Draft::Draft76) {
            shared.transmit(self.id, |out| out.extend_from_slice(&CLOSING));
        }
    }

    fn start_handshake_timer(&mut self, shared: &mut Shared) {
        let after = shared.policy.options.limits.handshake_timeout;
        self.timer.set(shared, self.id, Some(after));
    }

    fn start_idle_timer(&mut self, shared: &mut Shared) {
        let idle = shared.policy.options.limits.idle_timeout;
        self.timer.set(shared, self.id, (idle != 0).then_some(idle));
    }

    fn set_state(&mut self, shared: &mut Shared, new: State) {
        let old = mem::replace(&mut self.state, new);
        shared.events.push_back(Event::StateChanged { connection: self.id, old, new });
    }

    /// Tells the server how much we hold now.
    fn account(&mut self, shared: &mut Shared) {
        let held = match &self.phase {
            Phase::Head(reader) => reader.held(),
            Phase::Body { body, .. } => body.len(),
            Phase::Responding { ahead } | Phase::Deciding { ahead, .. } => ahead.len(),
            Phase::Open { decoder, .. } => decoder.held(),
            Phase::Policy(_) | Phase::Key3 { .. } | Phase::Ending { .. } | Phase::Ended => 0,
        };
        let others = shared.counts.buffered_bytes.saturating_sub(self.held);
        shared.counts.buffered_bytes = others.saturating_add(held);
        self.held = held;
    }
}

/// Takes what matches off the input; true when the request is whole.
fn match_policy_request(have: &mut usize, input: &mut &[u8]) -> Result<bool, MalformedHead> {
    while let (Some(expected), Some((byte, rest))) = (POLICY_REQUEST.get(*have), input.split_first()) {
        if byte != expected {
            return Err(MalformedHead::RequestLine);
        }
        *have = have.saturating_add(1);
        *input = rest;
    }
    Ok(*have == POLICY_REQUEST.len())
}

impl From<FrameError> for CloseCause {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}
