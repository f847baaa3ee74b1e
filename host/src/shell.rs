//! The shell of one engine: it passes bytes to the engine, events to the application, commands back to the engine, and
//! transmissions to the connections. It never blocks.

mod backpressure;
mod external;
mod idle_http;
mod keep_alive;
mod memory;
mod output;
mod recovery;
mod snapshot;
mod telemetry;
mod turn;
pub(crate) mod versions;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use legacy_websocket::step::{
    Command, Event, Failed, Input, Loss, Lost as LostConnection, Opened, Read, Step,
};
use legacy_websocket_shell::{EventBudget, FailureCycle, PeerNames, Pump};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::yield_now;

use self::backpressure::Backpressure;
use self::keep_alive::KeepAlive;
use crate::accept::incoming::Peer;
use crate::application::{ApplicationLost, Handler};
use crate::connection::connection_io::ConnectionIo;
use crate::connection::queue_budget::QueueAccount;
use crate::connection::read_batch::ReadBatch;
use crate::connection::socket::Socket;
use crate::engine::{Engine, EngineError, EngineLost};
use crate::gateway::PassThrough;
use crate::observe::metrics::{Metrics, Totals};
use crate::options::ShellOptions;
use crate::workers::context::ServerContext;
use crate::workers::forwarded::Origin;
use crate::workers::pool::Congestion;

/// An instance is gone.
#[derive(Debug, Error)]
pub(crate) enum Lost {
    #[error(transparent)]
    Engine(#[from] EngineLost),
    #[error(transparent)]
    Application(#[from] ApplicationLost),
}

/// The engine was lost while processing another worker's commands, and its connections with it.
#[derive(Debug)]
pub(crate) struct EngineGone;

/// One engine with its connections, on one thread.
#[derive(Debug)]
pub(crate) struct Shell {
    context: Arc<ServerContext>,
    worker: usize,
    inner: RefCell<Inner>,
    batch: RefCell<ReadBatch>,
    /// The time that the engine was last told.
    engine_time: Cell<u64>,
    next_timeout: Cell<Option<u64>>,
    earlier_timeout: Notify,
    /// Connections paused until other workers have room for commands.
    backpressure: Backpressure,
    /// Notified when they have room.
    resumed: Notify,
    /// Notified when the shell is retired, or a connection of a retired shell has closed.
    emptied: Notify,
    /// Serves the connections that the engine does not want.
    gateway: Option<Rc<PassThrough>>,
}

#[derive(Debug)]
struct Inner {
    context: Arc<ServerContext>,
    engine: Box<dyn Engine>,
    /// False while a lost engine cannot be replaced.
    engine_lives: bool,
    application: Handler,
    /// The source of the application's commands.
    origin: Origin,
    /// Whether the application requested a single instance at its first call.
    alone: bool,
    /// Whether it takes no new connections.
    retired: bool,
    connections: HashMap<u64, Link>,
    peers: PeerNames,
    /// The members of a broadcast to all, in any order.
    members: Vec<(u64, Rc<ConnectionIo>)>,
    /// Connections whose input waits in the engine.
    paused: HashSet<u64>,
    /// Connections that may be read again.
    unpaused: Vec<u64>,
    /// How many events the application gets per call.
    event_budget: EventBudget,
    failure_cycle: FailureCycle,
    keep_alive: KeepAlive,
    /// Connections accepted so far, including those of the previous shell.
    accepted: u64,
    /// Connections below this id belong to a lost application; no other application hears of them.
    orphans_below: u64,
    queue_account: Rc<QueueAccount>,
    totals: Totals,
    metrics: Metrics,
    /// Connections with new output in this turn.
    touched: Vec<Rc<ConnectionIo>>,
    /// This turn's output for its connections.
    delivered_bytes: usize,
    /// Peers found to be slow while transmissions were distributed; the engine is told afterwards.
    lost: Vec<LostConnection>,
    pump: Pump,
    /// When the current turn must yield to other work.
    turn_until: Instant,
    /// Connections lost with an engine; the application has yet to be told.
    untold: Vec<Event>,
}

/// The shell's state for a connection.
#[derive(Debug)]
struct Link {
    peer: Peer,
    /// The engine is done with it and the application has been told; pending output is still written.
    closed: bool,
    /// When it was accepted, in milliseconds since the start.
    since: u64,
    io: Rc<ConnectionIo>,
    /// Its index among the members.
    member: Option<usize>,
}

impl Shell {
    /// Continues the connection numbers of the shell `before`.
    pub(crate) fn new(
        context: &Arc<ServerContext>,
        worker: usize,
        version: u64,
        application: Handler,
        before: Option<&Self>,
    ) -> Result<Rc<Self>, EngineError> {
        let engine = context.factory.make(&context.engine_options)?;
        Ok(Rc::new(Self {
            context: Arc::clone(context),
            worker,
            inner: RefCell::new(Inner {
                context: Arc::clone(context),
                engine,
                engine_lives: true,
                application,
                origin: Origin { worker, version, instance: 0 },
                alone: false,
                retired: false,
                connections: HashMap::new(),
                peers: PeerNames::default(),
                members: Vec::new(),
                paused: HashSet::new(),
                unpaused: Vec::new(),
                event_budget: EventBudget::new(),
                failure_cycle: FailureCycle::default(),
                keep_alive: KeepAlive::new(),
                accepted: before.map_or(0, |shell| shell.inner.borrow().accepted),
                orphans_below: 0,
                queue_account: QueueAccount::new(&context.queue_budget, worker),
                totals: Totals::default(),
                metrics: Metrics::default(),
                touched: Vec::new(),
                delivered_bytes: 0,
                lost: Vec::new(),
                pump: Pump::default(),
                turn_until: Instant::now(),
                untold: Vec::new(),
            }),
            batch: RefCell::new(ReadBatch::new()),
            engine_time: Cell::new(0),
            next_timeout: Cell::new(None),
            earlier_timeout: Notify::new(),
            backpressure: Backpressure::default(),
            resumed: Notify::new(),
            emptied: Notify::new(),
            gateway: context.gateway.as_ref().map(PassThrough::new),
        }))
    }

    pub(crate) fn options(&self) -> &ShellOptions {
        &self.context.options
    }

    pub(crate) fn version(&self) -> u64 {
        self.inner.borrow().origin.version
    }

    pub(crate) fn tell_health(&self) {
        self.inner.borrow().tell_health();
    }

    /// Whether its application requested a single instance.
    pub(crate) fn wants_to_be_alone(&self) -> bool {
        self.inner.borrow().alone
    }

    pub(crate) fn io(&self, socket: Socket) -> ConnectionIo {
        ConnectionIo::new(socket, Rc::clone(&self.inner.borrow().queue_account))
    }

    /// Makes the application's first call. Its deadline is the next turn's.
    pub(crate) fn start(&self) -> Result<(), Lost> {
        self.inner.borrow_mut().start_application()?;
        self.turn(&[]);
        Ok(())
    }

    pub(crate) fn gateway(&self) -> Option<&Rc<PassThrough>> {
        self.gateway.as_ref()
    }

    /// The number of its connections.
    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().connections.len()
    }

    /// Takes no new connections from now on.
    pub(crate) fn retire(&self) {
        self.inner.borrow_mut().retired = true;
        self.emptied.notify_one();
    }

    /// Whether it takes no new connections.
    pub(crate) fn is_retired(&self) -> bool {
        self.inner.borrow().retired
    }

    /// Runs turns and deadlines until it is retired and its last connection has closed.
    pub(crate) async fn run(&self) {
        let ended = async {
            while !self.is_retired() || self.len() != 0 {
                self.emptied.notified().await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.run_timer() => {}
            () = self.run_turns() => {}
        }
    }

    /// Adds an accepted connection.
    pub(crate) fn opened(&self, peer: Peer, io: Rc<ConnectionIo>) -> u64 {
        // If earlier input kills the application, this connection belongs to the next one.
        self.take_reads();
        let id = {
            let since = self.now();
            let mut inner = self.inner.borrow_mut();
            inner.accepted += 1;
            let id = self.context.pool.id(self.worker, inner.accepted);
            inner.totals.connections += 1;
            let link = Link { peer, closed: false, since, io, member: None };
            inner.connections.insert(id, link);
            id
        };
        self.turn(&[Input::Opened(Opened {
            connection: id,
            peer: peer.address.to_string(),
            secure: peer.secure,
        })]);
        id
    }

    /// Reads from a connection, and keeps the bytes for the engine if `keep` names its id there. The reads of all
    /// connections that are ready now become one turn.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        from: &ConnectionIo,
        keep: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        if let Some(connection) = keep
            && (self.backpressure.holds(connection, self.context.pool.congestion(self.worker))
                || self.inner.borrow().paused.contains(&connection))
        {
            self.backpressure.wait(connection, cx);
            return Poll::Pending;
        }
        if self.batch.borrow().is_full() {
            self.take_reads();
        }
        let read = self.batch.borrow_mut().poll_read(cx, from, keep);
        if let (Poll::Ready(Ok(bytes)), Some(_)) = (&read, keep) {
            self.inner.borrow_mut().metrics.bytes_received += *bytes as u64;
        }
        read
    }

    /// Takes bytes that were read elsewhere.
    pub(crate) fn receive(&self, connection: u64, bytes: &[u8]) {
        // Earlier input goes first.
        self.take_reads();
        self.inner.borrow_mut().metrics.bytes_received += bytes.len() as u64;
        // Far below 4 GB.
        let reads = [Read { connection, end: bytes.len() as u32 }];
        let before = self.context.pool.forwarded_so_far(self.worker);
        self.call(|engine, now| engine.receive(now, &reads, bytes));
        self.charge(&reads, before);
    }

    /// Passes reads to the engine, forever: whenever all ready connections have been read.
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

    /// Other workers have carried out enough of the commands sent to them.
    pub(crate) fn resume(&self) {
        self.backpressure.release();
        self.resumed.notify_one();
    }

    /// Carries out commands of another worker's application. Returns the commands without effect.
    pub(crate) fn carry_out(&self, commands: &[Command<'_>]) -> Result<Vec<Failed>, EngineGone> {
        let mut result = Err(EngineGone);
        self.take_reads();
        self.call(|engine, now| {
            // Commands alone do not tell the engine the time.
            let is_late = self.engine_time.get() != now;
            let mut step = if is_late { engine.turn(now, &[])? } else { Step::default() };
            // These commands do not answer our application's events.
            let carried_out = engine.command_partly(commands)?;
            let mut failed = Vec::new();
            for event in carried_out.events {
                match event {
                    Event::Failed(failure) => failed.push(failure),
                    event => step.events.push(event),
                }
            }
            result = Ok(failed);
            step.transmissions.extend(carried_out.transmissions);
            Ok(Step { next_timeout: carried_out.next_timeout, paused: carried_out.paused, ..step })
        });
        result
    }

    /// Tells the application the failures that another worker returned, if it is still the instance that sent the
    /// commands.
    pub(crate) fn take_failures(&self, from: Origin, failed: Vec<Failed>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.origin != from {
                return;
            }
            inner.pump.carried().extend(failed.into_iter().map(Event::Failed));
        }
        self.turn(&[]);
    }

    /// The connection's task has ended: nothing more can be written.
    pub(crate) fn forget(&self, connection: u64) {
        {
            let mut inner = self.inner.borrow_mut();
            inner.leave(connection);
            match inner.connections.remove(&connection) {
                Some(link) if !link.closed => inner.peers.keep(connection, link.peer.address.to_string()),
                _ => inner.peers.forget(connection),
            }
            inner.forget_kept(connection);
        }
        self.backpressure.forget(connection);
        if self.is_retired() {
            self.emptied.notify_one();
        } else {
            self.renew_engine();
        }
    }

    /// Closes every connection at once.
    pub(crate) fn abort(&self) {
        for link in self.inner.borrow().connections.values() {
            link.io.abort();
            link.io.flush();
        }
    }

    /// Starts closing every connection.
    pub(crate) fn shutdown(&self) {
        self.turn(&[Input::Shutdown]);
    }

    /// Runs the engine's deadlines, forever.
    async fn run_timer(&self) {
        loop {
            let sleep = match self.next_timeout.get() {
                Some(at) => Duration::from_millis(at.saturating_sub(self.now())),
                None => Duration::from_secs(3600),
            };
            if sleep.is_zero() {
                // Timers have a resolution of one millisecond.
                yield_now().await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    () = self.earlier_timeout.notified() => continue,
                }
            }
            // A tick may send more commands.
            while self.context.pool.congestion(self.worker) == Congestion::Full {
                self.resumed.notified().await;
            }
            self.turn(&[]);
        }
    }

    fn take_reads(&self) {
        self.batch.borrow_mut().take(|reads, bytes| {
            self.inner.borrow_mut().observe_reads(reads);
            let before = self.context.pool.forwarded_so_far(self.worker);
            self.call(|engine, now| engine.receive(now, reads, bytes));
            self.charge(reads, before);
        });
    }

    fn turn(&self, inputs: &[Input]) {
        // Earlier input goes first.
        self.take_reads();
        let before = self.context.pool.forwarded_so_far(self.worker);
        self.call(|engine, now| engine.turn(now, inputs));
        self.charge(&[], before);
    }

    /// If other workers already have too many commands, charges what a turn has sent them since `before` to the
    /// connections that were read, or to those whose messages had waited for the turn.
    fn charge(&self, reads: &[Read], before: usize) {
        let caused = self.context.pool.forwarded_so_far(self.worker) - before;
        if caused == 0 || self.context.pool.congestion(self.worker) == Congestion::None {
            return;
        }
        match reads {
            [] => self.backpressure.charge_each(&self.inner.borrow().paused, caused),
            reads => self.backpressure.charge(reads, caused),
        }
    }

    fn call(&self, call: impl FnOnce(&mut dyn Engine, u64) -> Result<Step, EngineLost>) {
        let began = self.options().measure_turns.then(Instant::now);
        let now = self.now();
        let mut inner = self.inner.borrow_mut();
        inner.begin(now);
        let step = call(inner.engine.as_mut(), now);
        self.engine_time.set(now);
        let next = inner.finish(step, now).into_iter().chain(inner.retry_at()).min();
        inner.tell_health();
        if let Some(began) = began {
            inner.metrics.turns.observe(began.elapsed());
        }
        for connection in inner.unpaused.drain(..) {
            self.backpressure.wake(connection);
        }
        self.set_timeout(next);
        self.context.pool.activity(self.worker).get_on();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.context.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn set_timeout(&self, next: Option<u64>) {
        let before = self.next_timeout.replace(next);
        if next.is_some_and(|next| before.is_none_or(|before| next < before)) {
            self.earlier_timeout.notify_one();
        }
    }
}
