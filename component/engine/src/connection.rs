//! One connection: what it waits for, and how it reacts to each input.
//!
//! ```text
//!                    ┌─ authorise ─→ Deciding ─┐ accept
//!  Head ─ handshake ─┴─────────────────────────┴─→ (76) Key3 ─→ Open ─→ Ended
//!    │                                           (others) ───────↗
//!    ├─ plain HTTP ─→ Body ─→ Responding ─ respond ─→ Head, or Ended
//!    ├─ not for us ─→ Passing ─→ Ended
//!    └─ "<policy" ──→ Policy ─→ Ended
//! ```
//!
//! If messages came in the same turn as the peer's end, `Ending` comes between `Open` and `Ended`, so that they can be
//! answered. From every phase a refusal, a limit, a deadline, the peer's end of TCP and the application's `close` lead
//! to `Ended`. The whole table is in `tests/snapshots/transitions.snap`.

mod commands;
mod defer;
mod messages;
mod transitions;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use crate::ahead::Ahead;
use crate::body::{BodyError, BodyReader};
use crate::challenge::{KEY3_BYTES, answer};
use crate::deferred::Deferred;
use crate::error::{MalformedHead, Refusal};
use crate::event::{CloseCause, ConnectionId, Disposition, Event, Peer, State};
use crate::forwarded::Forwarded;
use crate::frame::{TextLimits, hold};
use crate::framing::Framing;
use crate::handshake::{Handshake, asked_at, examine, is_foreign};
use crate::head::{Head, HeadReader};
use crate::http;
use crate::hybi::close::CloseCode;
use crate::options::Millis;
use crate::protocol::Protocol;
use crate::shared::{Shared, Timer};

/// What Flash sends before it lets a script open a socket; the answer ends in NUL as well.
const POLICY_REQUEST: &[u8] = b"<policy-file-request/>\0";

/// An open connection of a [`Server`](crate::Server), to look at.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    peer: Arc<Peer>,
    head: Option<Arc<Head>>,
    protocol: Option<Protocol>,
    /// The place of the one that our answer named among those asked for: the head has it already, and it may be long.
    subprotocol: Option<usize>,
    state: State,
    phase: Phase,
    timer: Timer,
    /// The peer ended its side while we owe a response.
    half_closed: bool,
    /// The last turn in which the application got a message.
    last_message: Option<u64>,
    /// Our share of the server's buffered bytes, counted as memory.
    held: usize,
    /// When the buffered data, or the incomplete frame, began.
    begun: Option<Millis>,
    /// When something was last received or sent, once connected.
    active: Millis,
    /// When something was last received, once connected.
    heard: Millis,
    /// What became of a ping since then.
    ping: Ping,
    /// What the peer's close frame said.
    close: Option<Box<(Option<CloseCode>, String)>>,
    /// Input deferred to a later turn.
    deferred: Option<Box<Deferred>>,
}

/// What the connection waits for, with its data.
#[derive(Debug)]
enum Phase {
    /// A request's head.
    Head(HeadReader),
    /// The rest of Flash's policy request; holds the number of bytes received.
    Policy(usize),
    /// The rest of a plain request's body.
    Body(Box<BodyReader>),
    /// The application's response; holds the input that arrived ahead of it.
    Responding { ahead: Ahead },
    /// The end of this call, which gives the connection back; holds everything received on it.
    Passing(Vec<u8>),
    /// The application's decision; holds the input that arrived ahead of it.
    Deciding { handshake: Handshake, ahead: Ahead },
    /// The rest of key3; the 101 has been written.
    Key3 { parts: (u32, u32), key3: [u8; KEY3_BYTES], have: usize },
    /// Frames.
    Open { framing: Framing, closing: Closing },
    /// The application's answers to messages that arrived in the same turn as the connection's end; what is written
    /// after them.
    Ending { cause: CloseCause, last: Vec<u8> },
    /// Nothing: the connection has ended.
    Ended,
}

/// Progress of our own closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    NotYet,
    /// Our close frame has been sent.
    Sent,
    /// FIN has been sent as well.
    HalfClosed,
}

/// A ping for a client from which nothing has come for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    None,
    Sent(Millis),
    /// The time for the answer was over at this time. It may have come all the same, in the input of the same turn.
    Overdue(Millis),
}

/// Getters.
impl Connection {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The peer at the other end.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Which protocol it speaks; known once the head has been accepted.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// The subprotocol named in our answer.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        let (head, protocol) = (self.head.as_ref()?, self.protocol?);
        asked_at(head, protocol, self.subprotocol?)
    }

    /// The head of the request that opened it, for as long as it lives; for plain HTTP that of the last
    /// request.
    #[must_use]
    pub fn head(&self) -> Option<&Arc<Head>> {
        self.head.as_ref()
    }

    /// Connected and not closing: messages can be sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(self.phase, Phase::Open { closing: Closing::NotYet, .. } | Phase::Ending { .. })
    }

    /// Whether it has ended. It is removed from the table at the server's next call.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether it is to be given back.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.phase, Phase::Passing(_))
    }

    /// How much of the input we may have to buffer: for frames, only the bytes after the end of the last message.
    pub(crate) fn may_hold(&self, input: &[u8]) -> usize {
        match &self.phase {
            Phase::Open { framing, .. } => framing.may_hold(input),
            _ => input.len(),
        }
    }

    /// Bytes buffered for incomplete data.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// When the incomplete data began.
    pub(crate) fn begun(&self) -> Option<Millis> {
        self.begun
    }
}

/// Input.
impl Connection {
    pub(crate) fn open(shared: &mut Shared, id: ConnectionId, peer: Peer) -> Self {
        let mut connection = Self {
            id,
            peer: Arc::new(peer),
            head: None,
            protocol: None,
            subprotocol: None,
            state: State::Unknown,
            phase: Phase::Head(HeadReader::default()),
            timer: Timer::default(),
            half_closed: false,
            last_message: None,
            held: 0,
            begun: None,
            active: 0,
            heard: 0,
            ping: Ping::None,
            close: None,
            deferred: None,
        };
        connection.set_state(shared, State::Opening);
        connection.start_handshake_timer(shared);
        connection
    }

    /// Takes the next event off the input; `None` when the input is used up.
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

    /// Takes the complete messages at the start of the input, if frames are due. Returns false if there is no point in
    /// trying again with this input.
    pub(crate) fn take_messages(
        &mut self,
        shared: &mut Shared,
        input: &mut &[u8],
        limit: usize,
        text: &mut String,
        ends: &mut Vec<u32>,
    ) -> bool {
        let options = &shared.policy.options;
        let Phase::Open { framing, .. } = &mut self.phase else {
            return true;
        };
        if options.echo || !shared.events.is_empty() {
            return true;
        }
        let before = ends.len();
        let limits = TextLimits { count: limit, bytes: options.limits.max_message_bytes };
        let again = framing.take_texts(input, limits, &mut shared.short_texts, text, ends);
        let count = ends.len().saturating_sub(before);
        if count != 0 {
            self.last_message = Some(shared.turn);
            shared.count_messages(u64::try_from(count).unwrap_or(u64::MAX), 0);
        }
        again
    }

    /// Restarts the idle timeout and the ping interval: something was received.
    pub(crate) fn hear(&mut self, shared: &mut Shared) {
        self.heard = shared.now;
        self.ping = Ping::None;
        self.touch(shared);
    }

    /// Restarts the idle timeout: something was received or sent.
    pub(crate) fn touch(&mut self, shared: &mut Shared) {
        if matches!(self.phase, Phase::Open { closing: Closing::NotYet, .. }) {
            self.active = shared.now;
            self.start_open_timer(shared);
        }
    }

    pub(crate) fn receive_eof(&mut self, shared: &mut Shared) {
        if let Some(deferred) = &mut self.deferred {
            deferred.ended = true;
            return;
        }
        match self.phase {
            // A client may end its side after its request and still want the response.
            Phase::Responding { .. } => self.half_closed = true,
            Phase::Open { closing: Closing::NotYet, .. } => {
                self.end_behind_answers(shared, CloseCause::EndOfStream);
            }
            // WebKit's draft 76 does not answer a closing frame, but ends TCP.
            Phase::Open { .. } => self.end_behind_answers(shared, CloseCause::ByUs),
            // Due at once.
            Phase::Ending { .. } => {}
            // The shell sees it on the socket.
            Phase::Passing(_) => {}
            // Some clients omit the NUL.
            Phase::Policy(have) if have.saturating_add(1) == POLICY_REQUEST.len() => self.send_policy(shared),
            _ => self.end(shared, CloseCause::EndOfStream, Disposition::Finish),
        }
    }

    /// The armed deadline has passed.
    pub(crate) fn handle_timeout(&mut self, shared: &mut Shared) {
        if !self.timer.has_expired(shared, self.id) {
            return;
        }
        let late = CloseCause::HandshakeTimeout;
        match &self.phase {
            // A kept-alive connection without further requests has done nothing wrong.
            Phase::Head(reader) if reader.held() == 0 => {
                let cause = if self.head.is_some() { CloseCause::Responded } else { late };
                self.end(shared, cause, Disposition::Finish);
            }
            Phase::Head(_) | Phase::Policy(_) => self.refuse_unread(shared, Refusal::Timeout, late),
            Phase::Body(_) => self.refuse(shared, Refusal::Timeout, late),
            Phase::Responding { .. } | Phase::Deciding { .. } => self.refuse(shared, Refusal::NoAnswer, late),
            Phase::Key3 { .. } => self.end(shared, late, Disposition::Finish),
            Phase::Open { closing: Closing::Sent, framing: Framing::Hixie(_) } => self.half_close(shared),
            Phase::Open { closing: Closing::Sent | Closing::HalfClosed, .. } => {
                self.end(shared, CloseCause::CloseTimeout, Disposition::Finish);
            }
            Phase::Open { closing: Closing::NotYet, .. } => self.handle_open_timeout(shared),
            Phase::Ending { .. } => self.finish(shared),
            Phase::Passing(_) | Phase::Ended => {}
        }
    }

    /// Applies the current phase to non-empty input: an event that borrows from it, queued events, or none.
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
                    Err(refusal) => self.refuse_unread(shared, refusal, CloseCause::Refused),
                }
            }
            Phase::Policy(have) => match match_policy_request(have, input) {
                Ok(false) => {}
                Ok(true) => self.send_policy(shared),
                Err(error) => self.refuse_unread(shared, error.into(), CloseCause::Refused),
            },
            Phase::Body(reader) => match reader.read(input, &limits, room) {
                Ok(None) => {}
                Ok(Some(body)) => self.request(shared, body),
                Err(BodyError::Refused(refusal)) => self.refuse(shared, refusal, CloseCause::Refused),
                Err(BodyError::NoRoom(error)) => {
                    self.end(shared, CloseCause::Frame(error), Disposition::Finish);
                }
            },
            Phase::Responding { ahead } | Phase::Deciding { ahead, .. } => {
                // A pipelined request, or messages after a handshake.
                let ahead_limit = limits.max_head_bytes.saturating_add(limits.max_message_bytes);
                if let Err(error) = ahead.hold(input, ahead_limit, room) {
                    self.end(shared, CloseCause::Frame(error), Disposition::Finish);
                }
            }
            Phase::Passing(bytes) => match hold(mem::take(bytes), input, room) {
                Ok(held) => *bytes = held,
                Err(error) => self.end(shared, CloseCause::Frame(error), Disposition::Finish),
            },
            Phase::Key3 { parts, key3, have } => {
                while let (Some(slot), Some((&byte, rest))) = (key3.get_mut(*have), input.split_first()) {
                    *slot = byte;
                    *have = have.saturating_add(1);
                    *input = rest;
                }
                if *have == KEY3_BYTES {
                    let answer = answer(parts.0, parts.1, *key3);
                    shared.transmit(self.id, |out| out.extend_from_slice(&answer));
                    self.connected(shared, Protocol::Draft76);
                }
            }
            Phase::Open { .. } => return self.take_message(shared, input, room),
            Phase::Ending { .. } | Phase::Ended => *input = &[],
        }
        None
    }

    fn take_head(&mut self, shared: &mut Shared, head: Head) {
        let head = Arc::new(head);
        self.head = Some(Arc::clone(&head));
        if shared.policy.options.pass_through && is_foreign(&head, &shared.policy) {
            return self.pass(shared, head.received());
        }
        let trusted = shared.policy.options.trust_forwarded;
        let forwarded = match trusted.then(|| Forwarded::of_head(&head)).transpose() {
            Ok(forwarded) => forwarded.unwrap_or_default(),
            Err(refusal) => return self.refuse(shared, refusal, CloseCause::Refused),
        };
        if let Some(address) = &forwarded.address {
            let address = String::from_utf8_lossy(address).into_owned();
            self.peer = Arc::new(Peer { address, secure: self.peer.secure });
        }
        match examine(&head, &self.peer, &forwarded, &shared.policy) {
            Err(refusal) => self.refuse(shared, refusal, CloseCause::Refused),
            Ok(None) => self.take_request(shared, &head, &forwarded),
            Ok(Some(handshake)) => {
                self.protocol = Some(handshake.protocol());
                let subprotocol = handshake.subprotocol(&head, &shared.policy);
                if shared.policy.options.authorise {
                    shared.events.push_back(Event::Handshake {
                        connection: self.id,
                        protocol: handshake.protocol(),
                        peer: Arc::clone(&self.peer),
                        subprotocol,
                        head,
                    });
                    self.phase = Phase::Deciding { handshake, ahead: Ahead::default() };
                } else {
                    let mut answer = Vec::new();
                    // The subprotocol was asked for.
                    let _ = handshake.write_answer(&head, subprotocol.as_deref(), &[], &mut answer);
                    self.answer(shared, handshake, subprotocol.as_deref(), answer);
                }
            }
        }
    }

    fn take_request(&mut self, shared: &mut Shared, head: &Head, forwarded: &Forwarded) {
        let reader = http::check(head, &self.peer, forwarded, &shared.policy)
            .and_then(|()| BodyReader::new(head, &shared.policy.options.limits));
        match reader {
            Err(refusal) => self.refuse(shared, refusal, CloseCause::Refused),
            Ok(reader) if reader.is_whole() => self.request(shared, Vec::new()),
            Ok(reader) => {
                if http::expects_continue(head) {
                    shared.transmit(self.id, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                self.phase = Phase::Body(Box::new(reader));
            }
        }
    }

    fn request(&mut self, shared: &mut Shared, body: Vec<u8>) {
        self.phase = Phase::Responding { ahead: Ahead::default() };
        let Some(head) = &self.head else {
            return;
        };
        if http::is_health_check(head, &shared.policy.options) {
            self.answer_health_check(shared);
        } else {
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

/// Takes matching bytes off the input; true once the request is complete.
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
