//! The connection table, and its input and output.

mod events;
mod send;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use self::events::Events;
use crate::connection::Connection;
use crate::deferred::Deferred;
use crate::error::{InvalidOptions, Misuse};
use crate::event::{ConnectionId, Disposition, Event, Loss, Peer, Recipients, Transmission, Undelivered};
use crate::head::Head;
use crate::hybi::close::CloseCode;
use crate::options::{Millis, Options};
use crate::policy::Policy;
use crate::shared::{Counts, Shared};

/// The protocols and the server logic, for any number of connections.
///
/// There are five kinds of methods:
///
/// - **Getters** take `&self`.
/// - **Input** is what the shell observes: [`advance`](Self::advance) (time), [`open`](Self::open),
///   [`receive`](Self::receive), [`receive_eof`](Self::receive_eof), [`lost`](Self::lost).
/// - **Commands** come from the application: [`send`](Self::send), [`broadcast`](Self::broadcast),
///   [`send_binary`](Self::send_binary), [`close`](Self::close), [`accept`](Self::accept), [`reject`](Self::reject), [`respond`](Self::respond),
///   [`tick_after`](Self::tick_after), [`shutdown`](Self::shutdown).
/// - **Deferring** is for shells that limit how many events the application gets per turn: [`defer`](Self::defer),
///   [`take_deferred`](Self::take_deferred), [`put_back`](Self::put_back).
/// - **Output** is polled: [`poll_event`](Self::poll_event), [`poll_transmit`](Self::poll_transmit),
///   [`poll_timeout`](Self::poll_timeout), in that order, after every input and command, until each
///   gives `None`. [`receive`](Self::receive) gives its events itself, because messages borrow from its
///   input.
///
/// The crate documentation describes the run loop.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    connections: BTreeMap<ConnectionId, Box<Connection>>,
}

/// Getters.
impl Server {
    /// A server without connections.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the invalid option.
    pub fn new(options: Options) -> Result<Self, InvalidOptions> {
        Ok(Self { shared: Shared::new(Policy::new(options)?), connections: BTreeMap::new() })
    }

    /// The server's options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.policy.options
    }

    /// An open connection.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id).map(AsRef::as_ref).filter(|connection| !connection.has_ended())
    }

    /// The head of a request refused in this turn, if it was complete and is one of the turn's first few. For logs,
    /// which learn from [`Event::Rejected`] that the connection is over.
    #[must_use]
    pub fn rejected_head(&self, id: ConnectionId) -> Option<&Arc<Head>> {
        self.shared.rejected.get(id)
    }

    /// Every open connection, in ascending order of id.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().map(AsRef::as_ref).filter(|connection| !connection.has_ended())
    }

    /// How many connections there are, and what they hold.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { open: self.connections().count(), ..self.shared.counts }
    }
}

/// Input.
impl Server {
    /// Begins a turn: moves the clock to `now` and expires deadlines. Everything that follows happens at that time.
    /// The clock never moves backwards: an earlier time counts as the current one.
    pub fn advance(&mut self, now: Millis) {
        self.shared.now = self.shared.now.max(now);
        self.shared.turn = self.shared.turn.wrapping_add(1);
        while let Some(id) = self.shared.pop_expired() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.handle_timeout(&mut self.shared);
            }
        }
        self.shared.expire_tick();
        self.remove_ended();
    }

    /// The shell accepted a connection. The handshake timeout runs.
    ///
    /// # Errors
    /// [`Misuse::DuplicateConnection`] if the id is in use.
    pub fn open(&mut self, id: ConnectionId, peer: Peer) -> Result<(), Misuse> {
        if self.connections.contains_key(&id) {
            return Err(Misuse::DuplicateConnection);
        }
        let connection = Connection::open(&mut self.shared, id, peer);
        self.connections.insert(id, Box::new(connection));
        Ok(())
    }

    /// Passes in the result of one read. Any chunking gives the same events and the same bytes. Input for unknown
    /// connections is ignored: they have just ended.
    ///
    /// The events are computed lazily; dropping the iterator drops the remaining ones, but not their effects.
    pub fn receive<'s, 'i>(&'s mut self, id: ConnectionId, input: &'i [u8]) -> Events<'s, 'i> {
        self.remove_ended();
        self.make_room(id, input);
        self.shared.echo_one_by_one = false;
        let mut connection = self.connections.get_mut(&id).map(AsMut::as_mut);
        let mut input = input;
        if let Some(connection) = &mut connection {
            connection.hear(&mut self.shared);
            if connection.has_deferred() {
                connection.defer(&mut self.shared, input);
                input = &[];
            }
        }
        Events { connection, shared: &mut self.shared, input, one_by_one: false }
    }

    /// The peer ended its side of TCP. We end ours.
    pub fn receive_eof(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.receive_eof(&mut self.shared);
            self.remove_ended();
        }
    }

    /// The connection is gone; nothing can be sent any more.
    pub fn lost(&mut self, id: ConnectionId, why: Loss) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.end(&mut self.shared, why.into(), Disposition::Abort);
            self.remove_ended();
        }
    }
}

/// Deferring: for shells that limit how many events the application gets per turn.
impl Server {
    /// Tells the server whether such a shell is in use. If so, input that arrives ahead of an answer
    /// ([`accept`](Self::accept), [`respond`](Self::respond)) is deferred instead of reported at once.
    pub fn set_bounded(&mut self, bounded: bool) {
        self.shared.bounded = bounded;
    }

    /// Keeps input unread for a later turn: a whole read, or the rest that [`Events::stop`] returned. Later input from
    /// that connection, including its end, waits after it. It counts towards
    /// [`Limits::max_buffered_bytes`](crate::Limits::max_buffered_bytes); stop reading from that peer.
    pub fn defer(&mut self, id: ConnectionId, input: &[u8]) {
        self.make_room(id, input);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.defer(&mut self.shared, input);
        }
    }

    /// Takes the input that has waited longest, for [`receive`](Self::receive). Return the rest, even if empty, with
    /// [`put_back`](Self::put_back).
    #[must_use]
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        loop {
            let id = self.shared.deferred.pop_front()?;
            let deferred = self.connections.get_mut(&id).and_then(|connection| connection.take_deferred());
            if deferred.is_some() {
                return deferred;
            }
        }
    }

    /// Defers the rest of deferred input again, after that of the other connections; if nothing is left and the peer
    /// has ended its side, that takes effect now.
    pub fn put_back(&mut self, deferred: Deferred) {
        let id = deferred.connection();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.put_back(&mut self.shared, deferred);
            self.remove_ended();
        }
    }

    /// Connections whose input is deferred, longest wait first.
    pub fn deferred(&self) -> impl Iterator<Item = ConnectionId> {
        let waits = |id: &ConnectionId| self.connections.get(id).is_some_and(|it| it.has_deferred());
        self.shared.deferred.iter().copied().filter(waits)
    }
}

/// Commands.
impl Server {
    /// Sends one message to one client.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`]; [`Misuse::WrongState`] before `Connected` and after `close`.
    pub fn send(&mut self, id: ConnectionId, text: &str) -> Result<(), Misuse> {
        self.send_to_one(id, core::iter::once(text))
    }

    /// Sends one message to every connected client except `except`. It is encoded once. Returns the number of
    /// recipients.
    pub fn broadcast(&mut self, text: &str, except: Option<ConnectionId>) -> usize {
        let to = except.map_or(Recipients::All, Recipients::AllBut);
        self.send_all(&to, core::iter::once(text), |_| ())
    }

    /// Sends several messages to the same recipients, encoded once. Returns the number of recipients; individually
    /// named ones that cannot be sent to are reported to `undelivered`.
    pub fn send_all<'t>(
        &mut self,
        to: &Recipients,
        texts: impl Iterator<Item = &'t str>,
        mut undelivered: impl FnMut(Undelivered),
    ) -> usize {
        let but = match to {
            Recipients::One(id) => {
                return match self.send_to_one(*id, texts) {
                    Ok(()) => 1,
                    Err(why) => {
                        undelivered(Undelivered { connection: *id, why });
                        0
                    }
                };
            }
            Recipients::Many(ids) => return self.send_to_many(ids, texts, undelivered),
            Recipients::All => None,
            Recipients::AllBut(id) => Some(*id),
        };
        self.send_to_all(but, texts)
    }

    /// Sends one binary message to one client.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Misuse::Unsupported`] if the client speaks a hixie draft.
    pub fn send_binary(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), Misuse> {
        let mut result = Ok(());
        self.send_binary_to_many(&[id], bytes, |undelivered| result = Err(undelivered.why));
        result
    }

    /// Sends one binary message, encoded once. Clients of the hixie drafts, which have only text, are not among all.
    /// Returns the number of recipients; individually named ones that cannot be sent to are reported to `undelivered`,
    /// a client of a hixie draft with [`Misuse::Unsupported`].
    pub fn send_binary_to(
        &mut self,
        to: &Recipients,
        bytes: &[u8],
        undelivered: impl FnMut(Undelivered),
    ) -> usize {
        match to {
            Recipients::One(id) => self.send_binary_to_many(&[*id], bytes, undelivered),
            Recipients::Many(ids) => self.send_binary_to_many(ids, bytes, undelivered),
            Recipients::All => self.send_binary_to_all(None, bytes),
            Recipients::AllBut(id) => self.send_binary_to_all(Some(*id), bytes),
        }
    }

    /// Ends a connection: by the closing handshake, during which messages may still arrive; in draft 75, which has
    /// none, and before the opening handshake is done, by ending TCP. Does nothing if closing has begun.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`].
    pub fn close(&mut self, id: ConnectionId) -> Result<(), Misuse> {
        self.close_with(id, CloseCode::NORMAL, "")
    }

    /// The same, with a close code and a reason, which protocols before hybi-07 do not have. Of the reason, the whole
    /// characters of the first 123 bytes are sent.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`].
    pub fn close_with(&mut self, id: ConnectionId, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        self.command(id, |connection, shared| {
            connection.close(shared, code, reason);
            Ok(())
        })
    }

    /// Answers [`Event::Handshake`] by writing the 101. `subprotocol` is one that was requested, or none; a browser that
    /// requested some and gets none fails the connection. `fields` adds fields, such as Set-Cookie.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`]; [`Misuse::WrongState`] if no decision is pending; [`Misuse::Invalid`] for a
    /// subprotocol that was not asked for, a field that breaks the head, or one of the handshake's own field names.
    pub fn accept(
        &mut self,
        id: ConnectionId,
        subprotocol: Option<&str>,
        fields: &[(String, Vec<u8>)],
    ) -> Result<(), Misuse> {
        self.command(id, |connection, shared| connection.accept(shared, subprotocol, fields))
    }

    /// Refuses an opening handshake or a request, with an HTTP status from 400 to 599 and one line, which is also sent
    /// to the peer. After a 101 no status can be sent; a connected client is closed.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`]; [`Misuse::Invalid`] for another status, or more than a line.
    pub fn reject(&mut self, id: ConnectionId, status: u16, reason: &str) -> Result<(), Misuse> {
        self.command(id, |connection, shared| connection.reject(shared, status, reason))
    }

    /// Answers [`Event::Request`]; or [`Event::Handshake`], with a whole response instead of the 101, after which the
    /// connection ends: [`Event::Rejected`] and [`Event::Closed`] follow as after [`reject`](Self::reject). The engine
    /// writes Content-Length and Connection; the body is omitted in answer to HEAD and with 204 and 304.
    ///
    /// # Errors
    /// [`Misuse::UnknownConnection`]; [`Misuse::WrongState`] if neither waits; [`Misuse::Invalid`] for a status outside
    /// 200 to 599 or a field that cannot be written.
    pub fn respond(
        &mut self,
        id: ConnectionId,
        status: u16,
        fields: &[(String, Vec<u8>)],
        body: &[u8],
    ) -> Result<(), Misuse> {
        self.command(id, |connection, shared| connection.respond(shared, status, fields, body))
    }

    /// Requests one [`Event::Tick`] after this many milliseconds (0 counts as 1). If several are pending, only the
    /// earliest takes effect.
    pub fn tick_after(&mut self, after: Millis) {
        self.shared.set_tick(after);
    }

    /// Starts closing every connection: closing handshakes, 503 to requests in progress, FIN elsewhere.
    pub fn shutdown(&mut self) {
        self.shutdown_with(CloseCode::GOING_AWAY);
    }

    /// The same, with another close code than 1001 for clients whose protocol has one.
    pub fn shutdown_with(&mut self, code: CloseCode) {
        for connection in self.connections.values_mut() {
            connection.shutdown(&mut self.shared, code);
        }
        self.remove_ended();
    }
}

/// Output.
impl Server {
    /// The next event caused by a command or the clock, or the next connection that is given back: after that its
    /// further input is the shell's.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.poll_queued().or_else(|| self.poll_passed())
    }

    /// Whether [`poll_event`](Self::poll_event) would return an event.
    #[must_use]
    pub fn has_events(&self) -> bool {
        let passes = |id| self.connections.get(id).is_some_and(|connection| connection.is_passing());
        !self.shared.events.is_empty() || self.shared.passing.iter().any(passes)
    }

    /// The next bytes to write.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmission> {
        self.shared.poll_transmit()
    }

    /// When to call [`advance`](Self::advance) next, even if nothing arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.shared.next_deadline()
    }
}

impl Server {
    /// The next event of a connection that is not given back.
    pub(crate) fn poll_queued(&mut self) -> Option<Event<'static>> {
        self.shared.events.pop_front()
    }

    /// The next connection that is given back.
    pub(crate) fn poll_passed(&mut self) -> Option<Event<'static>> {
        loop {
            let id = self.shared.passing.pop_front()?;
            let connection = self.connections.get_mut(&id);
            let passed = connection.and_then(|connection| connection.passed(&mut self.shared));
            if passed.is_some() {
                self.remove_ended();
                return passed;
            }
        }
    }

    fn command<T>(
        &mut self,
        id: ConnectionId,
        run: impl FnOnce(&mut Connection, &mut Shared) -> Result<T, Misuse>,
    ) -> Result<T, Misuse> {
        self.remove_ended();
        let connection = self.connections.get_mut(&id).ok_or(Misuse::UnknownConnection)?;
        let result = run(connection, &mut self.shared);
        self.remove_ended();
        result
    }

    /// Closes the slowest senders among the largest holders until `more` bytes fit, so that peers that fill memory
    /// with unfinished messages harm only themselves.
    fn make_room(&mut self, id: ConnectionId, input: &[u8]) {
        if self.shared.room() >= input.len() {
            return;
        }
        let more = self.connections.get(&id).map_or(0, |connection| connection.may_hold(input));
        while self.shared.room() < more {
            let Some(slowest) = self.slowest_holder().filter(|slowest| *slowest != id) else {
                return;
            };
            if let Some(connection) = self.connections.get_mut(&slowest) {
                connection.push_out(&mut self.shared);
            }
            self.remove_ended();
        }
    }

    /// Among the connections that hold at least half the average, returns the one that has received most slowly; in
    /// the first second, the one holding the most.
    fn slowest_holder(&self) -> Option<ConnectionId> {
        let holders = || self.connections.values().filter(|connection| connection.held() != 0);
        let count = holders().count();
        let much = self.shared.counts.buffered_bytes.checked_div(count.saturating_mul(2))?;
        let millis_a_byte = |connection: &Connection| {
            let age = self.shared.now.saturating_sub(connection.begun().unwrap_or(self.shared.now));
            let held = u64::try_from(connection.held()).unwrap_or(u64::MAX);
            (age / 1000).saturating_mul(1_000_000).checked_div(held).unwrap_or(0)
        };
        let candidates = holders().filter(|connection| connection.held() >= much);
        let slowest = candidates.max_by_key(|connection| (millis_a_byte(connection), connection.held()));
        slowest.map(|connection| connection.id())
    }

    fn remove_ended(&mut self) {
        for id in self.shared.ended.drain(..) {
            self.connections.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\
        Origin: http://a\r\n\r\n";

    #[test]
    fn received_messages_count_once_and_sent_ones_per_recipient() {
        for (echo, counted) in [(false, (3, 6)), (true, (3, 9))] {
            let options = Options { echo, ..Options::default() };
            let mut server = Server::new(options).unwrap();
            for id in [1, 2, 3].map(ConnectionId) {
                server.open(id, Peer { address: "peer".into(), secure: false }).unwrap();
                drop(server.receive(id, REQUEST));
            }
            // An incomplete message does not count yet.
            drop(server.receive(ConnectionId(1), b"\0one\xff\0two\xff\0three\xff\0fo"));
            server.broadcast("to all", None);
            server.broadcast("to the others", Some(ConnectionId(1)));
            server.send(ConnectionId(2), "to one").unwrap();
            let unknown = server.send(ConnectionId(9), "to nobody");
            assert_eq!(unknown, Err(Misuse::UnknownConnection));
            let counts = server.counts();
            assert_eq!((counts.messages_received, counts.messages_sent), counted);
        }
    }
}
