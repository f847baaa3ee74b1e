//! The engine behind the types of the WIT package.
//!
//! This file is compiled more than once: here against the bindings of a component, and in the host (the native
//! engine) against the host's bindings of the same package. Whoever includes it provides a module `wit` with
//! the types' names; parameters may be owned there or borrowed.
#![allow(
    elided_lifetimes_in_paths,
    clippy::borrow_deref_ref,
    clippy::explicit_auto_deref,
    clippy::needless_borrow,
    clippy::needless_option_as_deref,
    reason = "what is owned in one of the bindings is borrowed in the other"
)]
#![allow(dead_code, reason = "not every includer calls everything")]

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket::{
    CloseCause, Connection, ConnectionId, Destination, Disposition, Draft, Event, Events, FrameError, Head,
    InvalidUtf8, Limits, Loss, Misuse, Options, Peer, Recipients, Server, State, Transmission, Undelivered,
    Version,
};

use super::wit;

/// A macro, for the bindings have no common name for the type of a field that comes in.
macro_rules! lift_fields {
    ($fields:expr) => {
        $fields
            .iter()
            .map(|field| (String::from(&*field.name), field.value.to_vec()))
            .collect::<Vec<(String, Vec<u8>)>>()
    };
}

/// What a connection may give of a turn's events however many others there are: to split less costs more than it is worth.
const SMALLEST_SHARE: usize = 16;

/// A server that speaks in steps.
#[derive(Debug)]
pub(crate) struct Adapter {
    server: Server,
    /// How many events a call may give.
    budget: usize,
}

impl Adapter {
    pub(crate) fn create(options: &wit::Options) -> Result<Self, String> {
        let server = Server::new(lift_options(options)).map_err(|error| format!("{error}"))?;
        Ok(Self { server, budget: usize::MAX })
    }

    pub(crate) fn set_budget(&mut self, events: u32) {
        self.budget = if events == 0 { usize::MAX } else { usize::try_from(events).unwrap_or(usize::MAX) };
        self.server.set_bounded(events != 0);
    }

    pub(crate) fn turn(&mut self, now: u64, inputs: &[wit::Input]) -> wit::Step {
        let (mut step, share) = self.begin(now, inputs.len());
        for input in inputs {
            match input {
                wit::Input::Opened(opened) => {
                    let peer = Peer { address: String::from(&*opened.peer), secure: opened.secure };
                    // A shell that uses an id twice loses the second connection, not the first.
                    if self.server.open(ConnectionId(opened.connection), peer).is_err() {
                        step.abort(opened.connection);
                    }
                }
                wit::Input::Received(received) => {
                    self.take_bytes(received.connection, &received.bytes, share, &mut step);
                }
                wit::Input::Ended(connection) => self.server.receive_eof(ConnectionId(*connection)),
                wit::Input::Lost(lost) => {
                    let why = match lost.why {
                        wit::Loss::Reset => Loss::Reset,
                        wit::Loss::SlowReader => Loss::SlowReader,
                    };
                    self.server.lost(ConnectionId(lost.connection), why);
                }
                wit::Input::Shutdown => self.server.shutdown(),
            }
            step.drain_events(&mut self.server);
        }
        self.take_deferred(share, 0, &mut step);
        step.finish(&mut self.server)
    }

    pub(crate) fn receive(&mut self, now: u64, reads: &[wit::Read], bytes: &[u8]) -> wit::Step {
        let (mut step, share) = self.begin(now, reads.len());
        let mut start = 0;
        for read in reads {
            let end = usize::try_from(read.end).unwrap_or(usize::MAX);
            self.take_bytes(read.connection, bytes.get(start..end).unwrap_or_default(), share, &mut step);
            start = end;
        }
        self.take_deferred(share, 0, &mut step);
        step.finish(&mut self.server)
    }

    pub(crate) fn command(&mut self, commands: &[wit::Command]) -> wit::Step {
        let mut step = StepBuilder::within(self.budget);
        let told_more = self.carry_out(commands, &mut step);
        // What waited for these commands is due: the end of connections whose last messages they answer.
        if !told_more {
            self.server.advance(0);
        }
        step.finish(&mut self.server)
    }

    pub(crate) fn command_partly(&mut self, commands: &[wit::Command]) -> wit::Step {
        let mut step = StepBuilder::within(self.budget);
        self.carry_out(commands, &mut step);
        step.finish(&mut self.server)
    }

    /// Whether more came with an acceptance: it is told with this step, and answered with the next commands.
    fn carry_out(&mut self, commands: &[wit::Command], step: &mut StepBuilder) -> bool {
        let mut told_more = false;
        for command in commands {
            let (connection, kind, result) = match command {
                wit::Command::Send(outgoing) => {
                    self.send(outgoing, step);
                    continue;
                }
                wit::Command::Close(connection) => {
                    (*connection, wit::CommandKind::Close, self.server.close(ConnectionId(*connection)))
                }
                wit::Command::Accept(accept) => {
                    let fields = lift_fields!(accept.fields);
                    let id = ConnectionId(accept.connection);
                    let result = self.server.accept(id, accept.subprotocol.as_deref(), &fields);
                    told_more |= result.is_ok() && self.budget == usize::MAX;
                    (accept.connection, wit::CommandKind::Accept, result)
                }
                wit::Command::Reject(refusal) => {
                    let id = ConnectionId(refusal.connection);
                    let result = self.server.reject(id, refusal.status, &refusal.reason);
                    (refusal.connection, wit::CommandKind::Reject, result)
                }
                wit::Command::Respond(response) => {
                    let fields = lift_fields!(response.fields);
                    let id = ConnectionId(response.connection);
                    let result = self.server.respond(id, response.status, &fields, &response.body);
                    (response.connection, wit::CommandKind::Respond, result)
                }
                wit::Command::Tick(after) => {
                    self.server.tick_after(*after);
                    continue;
                }
                // The shell's.
                wit::Command::SingleInstance => continue,
            };
            if let Err(why) = result {
                step.failed(connection, kind, why);
            }
            step.drain_events(&mut self.server);
        }
        told_more
    }

    pub(crate) fn head(&self, connection: u64) -> Option<wit::RequestHead> {
        let id = ConnectionId(connection);
        let head = self.server.connection(id).and_then(Connection::head);
        head.or_else(|| self.server.rejected_head(id)).map(|head| lower_head(head))
    }

    pub(crate) fn cookies(&self, connection: u64) -> Vec<(String, String)> {
        let head = self.server.connection(ConnectionId(connection)).and_then(Connection::head);
        head.map(|head| head.cookies().collect()).unwrap_or_default()
    }

    pub(crate) fn connections(&self) -> Vec<wit::Status> {
        let status = |connection: &Connection| wit::Status {
            connection: connection.id().0,
            state: lower_state(connection.state()),
            draft: connection.draft().map(lower_draft),
            peer: connection.peer().address.clone(),
        };
        self.server.connections().map(status).collect()
    }

    pub(crate) fn counts(&self) -> wit::Counts {
        let counts = self.server.counts();
        wit::Counts {
            open: narrow(counts.open),
            connected75: narrow(counts.connected75),
            connected76: narrow(counts.connected76),
            buffered_bytes: u64::try_from(counts.buffered_bytes).unwrap_or(u64::MAX),
            messages_received: counts.messages_received,
            messages_sent: counts.messages_sent,
        }
    }

    /// Deadlines, and up to half of the budget for input that has waited. Returns also how many events are each
    /// connection's share.
    fn begin(&mut self, now: u64, inputs: usize) -> (StepBuilder, usize) {
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

    /// What of a read goes beyond the budget, or the connection's share of it, waits for a later turn.
    fn take_bytes(&mut self, connection: u64, bytes: &[u8], share: usize, step: &mut StepBuilder) {
        let taken = self.take_some(connection, bytes, share, false, step);
        if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            self.server.defer(ConnectionId(connection), rest);
        }
    }

    /// Goes on with input that waits, each connection in turn, until so much of the budget is left.
    fn take_deferred(&mut self, share: usize, leave: usize, step: &mut StepBuilder) {
        while step.left > leave
            && let Some(mut deferred) = self.server.take_deferred()
        {
            let share = share.min(step.left.saturating_sub(leave));
            let taken = self.take_some(deferred.connection().0, deferred.bytes(), share, true, step);
            deferred.consume(taken);
            self.server.put_back(deferred);
            step.drain_events(&mut self.server);
        }
    }

    /// Takes up to `share` events off the input, or up to the first that waits for an answer. Returns how many bytes that
    /// were.
    fn take_some(
        &mut self,
        connection: u64,
        bytes: &[u8],
        share: usize,
        until_asked: bool,
        step: &mut StepBuilder,
    ) -> usize {
        let floor = step.left.saturating_sub(share);
        if step.left == 0 {
            return 0;
        }
        let mut events = self.server.receive(ConnectionId(connection), bytes);
        loop {
            step.messages(connection, step.left.saturating_sub(floor), &mut events);
            let stops = step.left <= floor || (until_asked && step.ends_with_question(connection));
            if stops && !events.rest().is_empty() {
                return bytes.len().saturating_sub(events.stop().len());
            }
            match events.next() {
                Some(event) => step.event(event),
                None => return bytes.len(),
            }
        }
    }

    fn send(&mut self, outgoing: &wit::Outgoing, step: &mut StepBuilder) {
        let to = match &outgoing.to {
            wit::Recipients::One(id) => Recipients::One(ConnectionId(*id)),
            wit::Recipients::Many(ids) => Recipients::Many(ids.iter().copied().map(ConnectionId).collect()),
            wit::Recipients::All => Recipients::All,
            wit::Recipients::AllBut(id) => Recipients::AllBut(ConnectionId(*id)),
        };
        if !ends_fit(&outgoing.text, &outgoing.ends) {
            let named = match &to {
                Recipients::One(id) | Recipients::AllBut(id) => id.0,
                Recipients::Many(ids) => ids.first().map_or(0, |id| id.0),
                Recipients::All => 0,
            };
            step.failed(named, wit::CommandKind::Send, Misuse::Invalid);
            return;
        }
        let texts = Texts { text: &outgoing.text, ends: outgoing.ends.iter(), start: 0 };
        self.server.send_all(&to, texts, |Undelivered { connection, why }| {
            step.failed(connection.0, wit::CommandKind::Send, why);
        });
    }
}

/// What a server does if it is told nothing.
pub(crate) fn default_limits() -> wit::Limits {
    let limits = Limits::default();
    wit::Limits {
        max_head_bytes: narrow(limits.max_head_bytes),
        max_fields: narrow(limits.max_fields),
        max_message_bytes: narrow(limits.max_message_bytes),
        max_buffered_bytes: u64::try_from(limits.max_buffered_bytes).unwrap_or(u64::MAX),
        handshake_timeout: limits.handshake_timeout,
        idle_timeout: limits.idle_timeout,
        message_timeout: limits.message_timeout,
        close_timeout: limits.close_timeout,
    }
}

struct StepBuilder {
    events: Vec<wit::Event>,
    transmissions: Vec<wit::Transmission>,
    /// Of the budget.
    left: usize,
}

impl StepBuilder {
    fn within(budget: usize) -> Self {
        Self { events: Vec::new(), transmissions: Vec::new(), left: budget }
    }

    fn event(&mut self, event: Event<'_>) {
        // A change of state comes with something else.
        let cost = usize::from(!matches!(event, Event::StateChanged { .. }));
        self.left = self.left.saturating_sub(cost);
        match event {
            Event::Message { connection, text } => self.message(connection, text),
            other => self.events.extend(lower_event(other)),
        }
    }

    /// Adds to the batch of the same connection, if that came last.
    fn message(&mut self, connection: ConnectionId, text: Cow<'_, str>) {
        if let Some(batch) = self.last_batch(connection.0)
            && let Ok(end) = u32::try_from(batch.text.len().saturating_add(text.len()))
        {
            batch.text.push_str(&text);
            batch.ends.push(end);
            return;
        }
        let ends = Vec::from([narrow(text.len())]);
        self.start_batch(wit::Messages { connection: connection.0, text: text.into_owned(), ends });
    }

    /// The same for as many as come next.
    fn messages(&mut self, connection: u64, limit: usize, events: &mut Events<'_, '_>) {
        let count = if let Some(batch) = self.last_batch(connection) {
            let before = batch.ends.len();
            events.take_messages(limit, &mut batch.text, &mut batch.ends);
            batch.ends.len().saturating_sub(before)
        } else {
            let mut batch = wit::Messages { connection, text: String::new(), ends: Vec::new() };
            events.take_messages(limit, &mut batch.text, &mut batch.ends);
            let count = batch.ends.len();
            if count != 0 {
                self.start_batch(batch);
            }
            count
        };
        self.left = self.left.saturating_sub(count);
    }

    /// The last event is one of this connection that is to be answered before it goes on.
    fn ends_with_question(&self, connection: u64) -> bool {
        match self.events.last() {
            Some(wit::Event::Handshake(handshake)) => handshake.connection == connection,
            Some(wit::Event::Request(request)) => request.connection == connection,
            _ => false,
        }
    }

    fn last_batch(&mut self, connection: u64) -> Option<&mut wit::Messages> {
        match self.events.last_mut() {
            Some(wit::Event::Messages(batch)) if batch.connection == connection => Some(batch),
            _ => None,
        }
    }

    fn start_batch(&mut self, batch: wit::Messages) {
        // Most steps have one event.
        if self.events.is_empty() {
            self.events.reserve_exact(1);
        }
        self.events.push(wit::Event::Messages(batch));
    }

    fn failed(&mut self, connection: u64, command: wit::CommandKind, why: Misuse) {
        let why = match why {
            Misuse::UnknownConnection => wit::Failure::UnknownConnection,
            Misuse::WrongState => wit::Failure::WrongState,
            _ => wit::Failure::Invalid,
        };
        self.events.push(wit::Event::Failed(wit::Failed { connection, command, why }));
    }

    fn abort(&mut self, connection: u64) {
        let to = wit::Destination::One(connection);
        self.transmissions.push(wit::Transmission { to, bytes: Vec::new(), then: wit::Disposition::Abort });
    }

    fn drain_events(&mut self, server: &mut Server) {
        while self.left != 0
            && let Some(event) = server.poll_event()
        {
            self.event(event);
        }
    }

    fn finish(mut self, server: &mut Server) -> wit::Step {
        self.drain_events(server);
        // What the budget had no room for: due at once.
        let more = server.has_events();
        while let Some(transmission) = server.poll_transmit() {
            self.transmissions.push(lower_transmission(transmission));
        }
        wit::Step {
            events: self.events,
            transmissions: self.transmissions,
            next_timeout: if more { Some(0) } else { server.poll_timeout() },
            paused: server.deferred().map(|id| id.0).collect(),
        }
    }
}

/// The messages of a batch.
struct Texts<'a, E> {
    text: &'a str,
    ends: E,
    start: usize,
}

impl<'a, 'e, E: Iterator<Item = &'e u32>> Iterator for Texts<'a, E> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = usize::try_from(*self.ends.next()?).ok()?;
        let text = self.text.get(self.start..end);
        self.start = end;
        text
    }
}

/// Rising, at character boundaries, and the last at the text's end.
pub(crate) fn ends_fit(text: &str, ends: &[u32]) -> bool {
    let mut start = 0;
    for end in ends {
        match usize::try_from(*end) {
            Ok(end) if end >= start && text.is_char_boundary(end) => start = end,
            _ => return false,
        }
    }
    !ends.is_empty() && start == text.len()
}

fn lift_options(options: &wit::Options) -> Options {
    let limits = &options.limits;
    let wide = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        version: match options.version {
            wit::Version::Auto => Version::Auto,
            wit::Version::Draft75 => Version::Draft75,
            wit::Version::Draft76 => Version::Draft76,
        },
        origins: options.origins.iter().map(|origin| String::from(&**origin)).collect(),
        subprotocols: options.subprotocols.iter().map(|name| String::from(&**name)).collect(),
        hosts: options.hosts.iter().map(|host| String::from(&**host)).collect(),
        public_url: options.public_url.as_deref().map(String::from),
        trust_forwarded: options.trust_forwarded,
        authorise: options.authorise,
        echo: options.echo,
        skip_reserved_frames: options.skip_reserved_frames,
        invalid_utf8: match options.invalid_utf8 {
            wit::InvalidUtf8::Replace => InvalidUtf8::Replace,
            wit::InvalidUtf8::Close => InvalidUtf8::Close,
        },
        flash_policy: options.flash_policy.as_deref().map(String::from),
        health_path: options.health_path.as_deref().map(String::from),
        limits: Limits {
            max_head_bytes: wide(limits.max_head_bytes),
            max_fields: wide(limits.max_fields),
            max_message_bytes: wide(limits.max_message_bytes),
            max_buffered_bytes: usize::try_from(limits.max_buffered_bytes).unwrap_or(usize::MAX),
            handshake_timeout: limits.handshake_timeout,
            idle_timeout: limits.idle_timeout,
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
    }
}

fn lower_event(event: Event<'_>) -> Option<wit::Event> {
    Some(match event {
        Event::StateChanged { connection, old, new } => wit::Event::StateChanged(wit::StateChange {
            connection: connection.0,
            old: lower_state(old),
            new: lower_state(new),
        }),
        Event::Handshake { connection, draft, peer, subprotocol, head } => {
            wit::Event::Handshake(wit::Handshake {
                connection: connection.0,
                draft: lower_draft(draft),
                peer: peer.address.clone(),
                subprotocol,
                head: lower_head(&head),
            })
        }
        Event::Connected { connection, draft, peer, subprotocol, head } => {
            wit::Event::Connected(wit::Connected {
                connection: connection.0,
                draft: lower_draft(draft),
                peer: peer.address.clone(),
                subprotocol,
                head: lower_head(&head),
            })
        }
        Event::Closed { connection, cause } => {
            wit::Event::Closed(wit::Closed { connection: connection.0, cause: lower_cause(cause) })
        }
        Event::Rejected { connection, peer, status, reason } => wit::Event::Rejected(wit::Rejection {
            connection: connection.0,
            peer: peer.address.clone(),
            status,
            reason: reason.into_owned(),
        }),
        Event::Request { connection, peer, head, body } => wit::Event::Request(wit::Request {
            connection: connection.0,
            peer: peer.address.clone(),
            head: lower_head(&head),
            body,
        }),
        Event::Tick { now } => wit::Event::Tick(now),
        // Messages are batched before.
        _ => return None,
    })
}

fn lower_head(head: &Head) -> wit::RequestHead {
    let field = |(name, value): (&str, &[u8])| wit::Field { name: name.into(), value: value.to_vec() };
    wit::RequestHead {
        method: head.method().into(),
        target: head.target().to_vec(),
        fields: head.fields().map(field).collect(),
    }
}

fn lower_cause(cause: CloseCause) -> wit::CloseCause {
    match cause {
        CloseCause::ByPeer => wit::CloseCause::ByPeer,
        CloseCause::ByUs => wit::CloseCause::ByUs,
        CloseCause::ByUsAbruptly => wit::CloseCause::ByUsAbruptly,
        CloseCause::EndOfStream => wit::CloseCause::EndOfStream,
        CloseCause::Reset => wit::CloseCause::Reset,
        CloseCause::SlowReader => wit::CloseCause::SlowReader,
        CloseCause::HandshakeTimeout => wit::CloseCause::HandshakeTimeout,
        CloseCause::IdleTimeout => wit::CloseCause::IdleTimeout,
        CloseCause::MessageTimeout => wit::CloseCause::MessageTimeout,
        CloseCause::CloseTimeout => wit::CloseCause::CloseTimeout,
        CloseCause::Refused => wit::CloseCause::Refused,
        CloseCause::Responded => wit::CloseCause::Responded,
        CloseCause::Frame(FrameError::TooLong) => wit::CloseCause::MessageLimit,
        CloseCause::Frame(FrameError::NoRoom) => wit::CloseCause::BufferLimit,
        CloseCause::Frame(FrameError::NotUtf8) => wit::CloseCause::BadText,
        CloseCause::Frame(error) => wit::CloseCause::BadFrame(format!("{error}")),
        // The engine's enum may grow, but not without this package.
        _ => wit::CloseCause::Other("unnamed".into()),
    }
}

fn lower_transmission(transmission: Transmission) -> wit::Transmission {
    wit::Transmission {
        to: match transmission.to {
            Destination::One(id) => wit::Destination::One(id.0),
            Destination::Many(ids) => wit::Destination::Many(ids.into_iter().map(|id| id.0).collect()),
            Destination::All => wit::Destination::All,
            Destination::AllBut(id) => wit::Destination::AllBut(id.0),
        },
        bytes: transmission.bytes,
        then: match transmission.then {
            Disposition::Keep => wit::Disposition::Keep,
            Disposition::Join => wit::Disposition::Join,
            Disposition::Leave => wit::Disposition::Leave,
            Disposition::HalfClose => wit::Disposition::HalfClose,
            Disposition::Finish => wit::Disposition::Finish,
            Disposition::Abort => wit::Disposition::Abort,
        },
    }
}

fn lower_draft(draft: Draft) -> wit::Draft {
    match draft {
        Draft::Draft75 => wit::Draft::Draft75,
        Draft::Draft76 => wit::Draft::Draft76,
    }
}

fn lower_state(state: State) -> wit::State {
    match state {
        State::Unknown => wit::State::Unknown,
        State::Opening => wit::State::Opening,
        State::Waiting => wit::State::Waiting,
        State::Handshaking => wit::State::Handshaking,
        State::Connected => wit::State::Connected,
        State::Closed => wit::State::Closed,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
