//! The shell of one engine: it carries bytes to the engine, events to the application, commands back, and
//! transmissions to the outboxes. It never waits.

mod losses;
mod observe;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::Add;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::application::{ApplicationLost, Handler};
use crate::arrival::Peer;
use crate::batch::Batch;
use crate::engine::{Engine, EngineError, EngineFactory, EngineLost};
use crate::metrics::Metrics;
use crate::options::{EngineOptions, ShellOptions};
use crate::outbox::Outbox;
use crate::socket::Socket;
use crate::wit::{
    CloseCause, Closed, Command, Destination, Disposition, Event, Input, Loss, Lost as LostConnection,
    Opened, State, Step, Transmission,
};

/// Rounds of events and commands in one turn: pipelined requests come one by one, and an application may answer
/// every failure with another failing command.
const MAX_ROUNDS: usize = 64;

/// An instance is gone.
#[derive(Debug, Error)]
pub(crate) enum Lost {
    #[error(transparent)]
    Engine(#[from] EngineLost),
    #[error(transparent)]
    Application(#[from] ApplicationLost),
}

/// What a shell has seen, for the operator.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Opening handshakes done.
    pub connected: u64,
    /// Opening handshakes and requests refused.
    pub rejected: u64,
    /// Peers closed because they did not read.
    pub slow_readers: u64,
    /// Instances of the engine lost.
    pub traps: u64,
    /// Instances of the application lost.
    pub application_traps: u64,
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            connected: self.connected + other.connected,
            rejected: self.rejected + other.rejected,
            slow_readers: self.slow_readers + other.slow_readers,
            traps: self.traps + other.traps,
            application_traps: self.application_traps + other.application_traps,
        }
    }
}

/// One engine with its connections, on one thread.
#[derive(Debug)]
pub(crate) struct Shell {
    options: ShellOptions,
    started: Instant,
    inner: RefCell<Inner>,
    batch: RefCell<Batch>,
    /// Bytes written to all peers.
    sent: Rc<Cell<u64>>,
    stopping: Cell<bool>,
    next_timeout: Cell<Option<u64>>,
    earlier_timeout: Notify,
    retired: Cell<bool>,
    /// Retired, or a connection of a retired one has gone.
    emptied: Notify,
}

#[derive(Debug)]
struct Inner {
    factory: EngineFactory,
    engine_options: EngineOptions,
    engine: Box<dyn Engine>,
    application: Handler,
    connections: HashMap<u64, Link>,
    next_id: u64,
    /// Connections below it are those of an application that was lost; nobody is told of them.
    orphans_below: u64,
    totals: Totals,
    metrics: Metrics,
    /// Outboxes that got something in this turn.
    touched: Vec<Rc<Outbox>>,
    /// Peers found to be slow while transmissions were handed out; the engine is told afterwards.
    slow: Vec<u64>,
    /// Events that a turn had no time for.
    carried: Vec<Event>,
}

/// What the shell keeps of a connection.
#[derive(Debug)]
struct Link {
    peer: SocketAddr,
    /// What a trusted proxy calls the peer.
    forwarded: Option<Box<str>>,
    /// The engine is done with it and the application was told; what waits is still written.
    closed: bool,
    /// When it was accepted, in milliseconds since the start.
    since: u64,
    outbox: Rc<Outbox>,
}

impl Link {
    fn name(&self) -> String {
        self.forwarded.as_deref().map_or_else(|| self.peer.to_string(), Into::into)
    }
}

impl Shell {
    /// Takes clock and numbers over from the one `before`.
    pub(crate) fn new(
        factory: EngineFactory,
        engine_options: EngineOptions,
        options: ShellOptions,
        application: Handler,
        before: Option<&Self>,
    ) -> Result<Rc<Self>, EngineError> {
        let engine = factory.make(&engine_options)?;
        Ok(Rc::new(Self {
            options,
            started: before.map_or_else(Instant::now, |shell| shell.started),
            inner: RefCell::new(Inner {
                factory,
                engine_options,
                engine,
                application,
                connections: HashMap::new(),
                next_id: before.map_or(1, |shell| shell.inner.borrow().next_id),
                orphans_below: 0,
                totals: Totals::default(),
                metrics: Metrics::default(),
                touched: Vec::new(),
                slow: Vec::new(),
                carried: Vec::new(),
            }),
            batch: RefCell::new(Batch::new()),
            sent: Rc::default(),
            stopping: Cell::new(false),
            next_timeout: Cell::new(None),
            earlier_timeout: Notify::new(),
            retired: Cell::new(false),
            emptied: Notify::new(),
        }))
    }

    pub(crate) fn options(&self) -> &ShellOptions {
        &self.options
    }

    pub(crate) fn outbox(&self, socket: Socket) -> Outbox {
        Outbox::new(socket, self.options.max_queue_bytes, Rc::clone(&self.sent))
    }

    /// The application's first call. Its deadline is the next turn's.
    pub(crate) fn start(&self) -> Result<(), Lost> {
        self.inner.borrow_mut().start_application()?;
        self.turn(&[]);
        Ok(())
    }

    /// How many connections it has.
    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().connections.len()
    }

    /// No more connections come.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.emptied.notify_one();
    }

    /// Runs turns and deadlines until it is retired and its last connection has gone.
    pub(crate) async fn run(&self) {
        let ended = async {
            while !self.retired.get() || self.len() != 0 {
                self.emptied.notified().await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.run_timer() => {}
            () = self.run_turns() => {}
        }
    }

    /// A connection was accepted.
    pub(crate) fn opened(&self, peer: Peer, outbox: Rc<Outbox>) -> u64 {
        let id = {
            let since = self.now();
            let mut inner = self.inner.borrow_mut();
            let id = inner.next_id;
            inner.next_id += 1;
            inner.totals.connections += 1;
            inner
                .connections
                .insert(id, Link { peer: peer.address, forwarded: None, closed: false, since, outbox });
            id
        };
        let address = peer.address.to_string();
        self.turn(&[Input::Opened(Opened { connection: id, peer: &address, secure: peer.secure })]);
        id
    }

    /// Reads from a connection, and keeps what came for the engine, if there is an id to keep it for. The
    /// reads of all connections that are ready now become one turn.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        from: &Outbox,
        keep: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        if self.batch.borrow().is_full() {
            self.take_reads();
        }
        let read = self.batch.borrow_mut().poll_read(cx, from, keep);
        if let (Poll::Ready(Ok(bytes)), Some(_)) = (&read, keep) {
            self.inner.borrow_mut().metrics.bytes_received += *bytes as u64;
        }
        read
    }

    /// Takes reads to the engine, for ever: whenever the connections that were ready have read.
    async fn run_turns(&self) {
        poll_fn(|cx| {
            self.take_reads();
            self.batch.borrow_mut().park(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The peer ended its side.
    pub(crate) fn ended(&self, connection: u64) {
        self.turn(&[Input::Ended(connection)]);
    }

    /// Reading or writing failed, or the peer did not read.
    pub(crate) fn lost(&self, connection: u64, why: Loss) {
        self.inner.borrow_mut().observe_lost(connection, why);
        self.turn(&[Input::Lost(LostConnection { connection, why })]);
    }

    /// The connection's task is done: nothing can be written any more.
    pub(crate) fn forget(&self, connection: u64) {
        self.inner.borrow_mut().connections.remove(&connection);
        if self.retired.get() {
            self.emptied.notify_one();
        }
    }

    /// Closes every connection at once.
    pub(crate) fn abort(&self) {
        for link in self.inner.borrow().connections.values() {
            link.outbox.abort();
            link.outbox.flush();
        }
    }

    /// Begins to close every connection.
    pub(crate) fn shutdown(&self) {
        self.stopping.set(true);
        self.turn(&[Input::Shutdown]);
    }

    /// Runs the engine's deadlines, for ever.
    async fn run_timer(&self) {
        loop {
            let sleep = match self.next_timeout.get() {
                Some(at) => Duration::from_millis(at.saturating_sub(self.now())),
                None => Duration::from_secs(3600),
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => self.turn(&[]),
                () = self.earlier_timeout.notified() => {}
            }
        }
    }

    fn take_reads(&self) {
        self.batch.borrow_mut().take(|reads, bytes| {
            self.call(|engine, now| engine.receive(now, reads, bytes));
        });
    }

    fn turn(&self, inputs: &[Input<'_>]) {
        // What was read before comes before.
        self.take_reads();
        self.call(|engine, now| engine.turn(now, inputs));
    }

    fn call(&self, call: impl FnOnce(&mut dyn Engine, u64) -> Result<Step, EngineLost>) {
        let began = self.options.measure_turns.then(Instant::now);
        let now = self.now();
        let mut inner = self.inner.borrow_mut();
        inner.retry_application(now);
        let step = call(inner.engine.as_mut(), now);
        let next = inner.finish(step, now);
        if let Some(began) = began {
            inner.metrics.turns.observe(began.elapsed());
        }
        self.set_timeout(next);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn set_timeout(&self, next: Option<u64>) {
        let before = self.next_timeout.replace(next);
        if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
            self.earlier_timeout.notify_one();
        }
    }
}

impl Inner {
    /// Carries a step to where it belongs, and what comes of it, until nothing does. Returns the engine's next
    /// deadline.
    fn finish(&mut self, step: Result<Step, EngineLost>, now: u64) -> Option<u64> {
        let mut next = step.map_err(Lost::from).and_then(|step| self.run(step, now));
        if let Err(Lost::Application(lost)) = next {
            next = self.replace_application(&lost, now);
        }
        let next = next.unwrap_or_else(|lost| self.replace_engine(&lost, now));
        for outbox in self.touched.drain(..) {
            outbox.flush();
        }
        next
    }

    fn run(&mut self, mut step: Step, now: u64) -> Result<Option<u64>, Lost> {
        if !self.carried.is_empty() {
            let later = std::mem::replace(&mut step.events, std::mem::take(&mut self.carried));
            step.events.extend(later);
        }
        for _ in 0..MAX_ROUNDS {
            self.deliver(std::mem::take(&mut step.transmissions));
            self.observe(&step.events);
            self.leave_out_orphans(&mut step.events);
            let commanded = match step.events.as_slice() {
                [] => None,
                events => self.tell(events)?,
            };
            step = if let Some(following) = commanded {
                following
            } else if !self.slow.is_empty() || step.next_timeout.is_some_and(|at| at <= now) {
                let slow = std::mem::take(&mut self.slow).into_iter();
                let lost = |connection| Input::Lost(LostConnection { connection, why: Loss::SlowReader });
                self.engine.turn(now, &slow.map(lost).collect::<Vec<_>>())?
            } else {
                return Ok(step.next_timeout);
            };
        }
        // It is the others' turn; this goes on in the next one, which is due.
        self.deliver(step.transmissions);
        self.carried = step.events;
        Ok(Some(now))
    }

    /// Tells the application, and carries out what it wants.
    fn tell(&mut self, events: &[Event]) -> Result<Option<Step>, Lost> {
        let engine = self.engine.as_mut();
        let carry = |commands: &[Command<'_>]| match commands {
            [] => Ok(None),
            commands => engine.command(commands).map(Some),
        };
        Ok(self.application.handle(events, carry)??)
    }

    fn deliver(&mut self, transmissions: Vec<Transmission>) {
        for Transmission { to, mut bytes, then } in transmissions {
            // What waits is counted by its length.
            if bytes.capacity() / 2 > bytes.len() {
                bytes.shrink_to_fit();
            }
            let bytes = Bytes::from(bytes);
            match to {
                Destination::One(connection) => self.deliver_one(connection, bytes, then),
                Destination::Many(connections) => {
                    for connection in connections {
                        self.deliver_one(connection, bytes.clone(), then);
                    }
                }
            }
        }
    }

    fn deliver_one(&mut self, connection: u64, bytes: Bytes, then: Disposition) {
        let Some(link) = self.connections.get(&connection) else {
            return;
        };
        if link.outbox.touch() {
            self.touched.push(Rc::clone(&link.outbox));
        }
        if then == Disposition::Abort {
            link.outbox.abort();
        } else if link.outbox.push(bytes.clone(), then).is_err() {
            // The kernel may take what waits only for the end of the turn.
            link.outbox.flush();
            if link.outbox.push(bytes, then).is_err() {
                link.outbox.abort();
                self.slow.push(connection);
            }
            if link.outbox.touch() {
                self.touched.push(Rc::clone(&link.outbox));
            }
        }
    }

    /// Counts, and tells the operator what he should know.
    fn observe(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Connected(connected) => {
                    self.totals.connected += 1;
                    self.metrics.count_connected(connected.draft);
                    self.rename(connected.connection, &connected.peer);
                    debug!(connection = connected.connection, peer = %connected.peer, draft = ?connected.draft, "connected");
                }
                Event::Rejected(rejection) => {
                    self.totals.rejected += 1;
                    *self.metrics.rejected.entry(rejection.status).or_default() += 1;
                    self.rename(rejection.connection, &rejection.peer);
                    let peer = &rejection.peer;
                    warn!(connection = rejection.connection, %peer, status = rejection.status, reason = %rejection.reason, "rejected");
                }
                Event::Closed(closed) => self.observe_closed(closed),
                Event::Failed(failed) => {
                    debug!(connection = failed.connection, peer = %self.peer(failed.connection), command = ?failed.command, why = ?failed.why, "command failed");
                }
                Event::StateChanged(change) if change.new != State::Closed => {
                    debug!(connection = change.connection, peer = %self.peer(change.connection), old = ?change.old, new = ?change.new, "state");
                }
                _ => {}
            }
        }
    }

    fn observe_closed(&mut self, closed: &Closed) {
        let connection = closed.connection;
        self.metrics.count_closed(&closed.cause);
        if let Some(link) = self.connections.get_mut(&connection) {
            link.closed = true;
        }
        let peer = self.peer(connection);
        match &closed.cause {
            CloseCause::SlowReader => self.count_slow_reader(connection),
            CloseCause::BadFrame(reason) | CloseCause::Other(reason) => {
                warn!(connection, %peer, %reason, "closed");
            }
            CloseCause::BadText
            | CloseCause::MessageLimit
            | CloseCause::BufferLimit
            | CloseCause::HandshakeTimeout => warn!(connection, %peer, reason = ?closed.cause, "closed"),
            cause => debug!(connection, %peer, reason = ?cause, "closed"),
        }
    }

    /// A peer that stops reading when the engine is done with it counts as well, though no event tells.
    fn observe_lost(&mut self, connection: u64, why: Loss) {
        let closed = self.connections.get(&connection).is_some_and(|link| link.closed);
        if closed && why == Loss::SlowReader {
            self.count_slow_reader(connection);
        }
    }

    fn count_slow_reader(&mut self, connection: u64) {
        self.totals.slow_readers += 1;
        let peer = self.peer(connection);
        warn!(connection, %peer, reason = "slow-reader", total = self.totals.slow_readers, "closed");
    }

    fn peer(&self, connection: u64) -> String {
        self.connections.get(&connection).map_or_else(|| "gone".into(), Link::name)
    }

    /// A trusted proxy may know the peer by another name than the socket does.
    fn rename(&mut self, connection: u64, name: &str) {
        if let Some(link) = self.connections.get_mut(&connection)
            && link.name() != name
        {
            link.forwarded = Some(name.into());
        }
    }
}
