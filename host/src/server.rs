//! The server: its workers, and graceful shutdown.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use legacy_websocket::Options;
#[cfg(feature = "gateway")]
use legacy_websocket::Protocol;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::accept::listener::Listener;
use crate::accept::peer_limiter::PeerLimiter;
use crate::application::{Application, ApplicationFactory, Program};
use crate::connection::queue_budget::QueueBudget;
use crate::engine::EngineFactory;
use crate::gateway::{Gateway, GatewayStatus, Stage};
#[cfg(feature = "gateway")]
use crate::gateway::{GatewayOptions, OldClients};
use crate::handle::Handle;
use crate::observe::metrics::{Row, Snapshot, Totals, limit_rows};
use crate::options::ShellOptions;
use crate::site::Site;
use crate::start_error::StartError;
use crate::workers::context::ServerContext;
use crate::workers::message::WorkerMessage;
use crate::workers::pool::WorkerPool;
use crate::workers::threads::Threads;
use crate::workers::worker::Panic;

/// More than any number of descriptors, but few enough for a semaphore.
const MAX_CONNECTIONS: usize = 1 << 28;

/// How long the workers have to end after they were told to drop every connection. A worker that does not is stuck in
/// a call.
const GRACE: Duration = Duration::from_millis(500);

/// How long an observer waits for workers. A turn takes less.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// If every worker has been busy without progress for this long, clients are better sent elsewhere.
const UNREADY_AFTER: Duration = Duration::from_secs(2);

/// Serves on its own threads, [`ShellOptions::workers`] of them. Runs inside any tokio runtime with I/O and time, and
/// uses little of it.
#[derive(Debug)]
pub struct Server {
    context: Arc<ServerContext>,
    threads: Threads,
    panics: UnboundedReceiver<Panic>,
    replacements: UnboundedReceiver<Arc<ApplicationFactory>>,
    replace: UnboundedSender<Arc<ApplicationFactory>>,
}

impl Server {
    /// Serves an application in Rust; each worker has its own engine and its own instance, created by `application` on
    /// the worker's thread.
    ///
    /// # Errors
    /// [`StartError`]: the options are invalid, the component cannot be instantiated, or a thread cannot be started.
    pub fn new(
        factory: EngineFactory,
        engine_options: Options,
        options: ShellOptions,
        application: impl Fn() -> Box<dyn Application> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        Self::serving(factory, engine_options, options, Program::Native(Box::new(application)), None)
    }

    /// Serves a component: each worker has its own engine and instance, or only one worker does if the application's
    /// first call requests that. The application is asked about every opening handshake ([`Options::authorise`]);
    /// those it leaves undecided are accepted.
    ///
    /// # Errors
    /// [`StartError`]: as for [`new`](Self::new), or the application is lost at its first call.
    pub fn with_component(
        factory: EngineFactory,
        engine_options: Options,
        options: ShellOptions,
        application: Arc<ApplicationFactory>,
    ) -> Result<Self, StartError> {
        Self::serving(factory, engine_options, options, Program::Component(application), None)
    }

    /// Serves backends that speak RFC 6455 to clients of every protocol: connects old clients to them, and passes
    /// everything else through. Of [`Options::protocols`] RFC 6455 is not used: its clients speak with the backend
    /// itself.
    ///
    /// # Errors
    /// [`StartError`]: as for [`new`](Self::new), or the gateway's options are invalid.
    #[cfg(feature = "gateway")]
    pub fn gateway(
        factory: EngineFactory,
        mut engine_options: Options,
        options: ShellOptions,
        gateway: GatewayOptions,
    ) -> Result<Self, StartError> {
        engine_options.authorise = true;
        engine_options.echo = false;
        engine_options.pass_through = true;
        let is_old = |protocol: &Protocol| *protocol != Protocol::Rfc6455;
        engine_options.protocols = engine_options.protocols.iter().filter(is_old).collect();
        let gateway = Arc::new(Gateway::new(gateway, &engine_options, &options)?);
        let shared = Arc::clone(&gateway);
        let program = |handle: Handle| -> Program {
            let clients = move || OldClients::new(Arc::clone(&shared), handle.clone());
            Program::Native(Box::new(move || Box::new(clients())))
        };
        Self::serve(factory, engine_options, options, Some(gateway), program)
    }

    /// Serves an application, and a site in its place to requests that are no opening handshakes.
    pub(crate) fn serving(
        factory: EngineFactory,
        mut engine_options: Options,
        options: ShellOptions,
        application: Program,
        site: Option<Arc<Site>>,
    ) -> Result<Self, StartError> {
        if matches!(application, Program::Component(_)) {
            engine_options.authorise = true;
            engine_options.echo = false;
        }
        let site = site.map(|site| Arc::new(Gateway::of_site(site, &engine_options, &options)));
        Self::serve(factory, engine_options, options, site, |_| application)
    }

    fn serve(
        factory: EngineFactory,
        mut engine_options: Options,
        mut options: ShellOptions,
        gateway: Option<Arc<Gateway>>,
        application: impl FnOnce(Handle) -> Program,
    ) -> Result<Self, StartError> {
        options.max_connections = options.max_connections.min(MAX_CONNECTIONS);
        let permits = Arc::new(Semaphore::new(options.max_connections));
        let refusals = Semaphore::new(options.max_refusals.min(MAX_CONNECTIONS));
        let peers = PeerLimiter::new(options.max_connections_per_peer, options.max_handshakes_per_peer);
        let (pool, inboxes) = WorkerPool::new(options.workers, options.worker_fill);
        let queue_budget = QueueBudget::new(options.max_total_queue_bytes, options.max_queue_bytes);
        let started = Instant::now();
        let application = application(Handle::new(Arc::clone(&pool)));
        // Nobody else could serve such connections.
        engine_options.pass_through = gateway.is_some();
        let context = Arc::new(ServerContext {
            factory,
            engine_options,
            options,
            application,
            permits,
            refusals,
            peers,
            pool: Arc::clone(&pool),
            gateway,
            queue_budget,
            started,
        });
        let (mut threads, panics) = Threads::new(Arc::clone(&context));
        let mut inboxes = inboxes.into_iter();
        if let Some(inbox) = inboxes.next()
            && threads.start(inbox)?
            && pool.size() > 1
        {
            pool.reduce_to_one();
            info!("one worker, for the application asks for a single instance");
        }
        for inbox in inboxes.take(pool.size() - 1) {
            threads.start(inbox)?;
        }
        let (replace, replacements) = unbounded_channel();
        Ok(Self { context, threads, panics, replacements, replace })
    }

    /// Receives applications that replace the previous one: new connections go to the new one, existing ones stay with
    /// theirs until they end. If its first call on the first worker fails, nothing changes.
    #[must_use]
    pub fn replacements(&self) -> UnboundedSender<Arc<ApplicationFactory>> {
        self.replace.clone()
    }

    /// Sends, broadcasts and closes at any time, from any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.context.pool))
    }

    /// Observes the running server.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer { context: Arc::clone(&self.context), last: Arc::default() }
    }

    /// Serves until `stop` completes, then closes every connection and waits until all are closed or `give_up`
    /// completes. Returns shortly after that, whatever the workers do: [`Totals::unresponsive_workers`] counts those
    /// left behind in a call, on detached threads.
    ///
    /// # Panics
    /// If a worker panicked, with its panic.
    pub async fn run(
        self,
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        stop: impl Future<Output = ()>,
        give_up: impl Future<Output = ()>,
    ) -> Totals {
        let Self { context, mut threads, mut panics, replacements, replace } = self;
        drop(replace);
        threads.listen(listeners.into_iter().map(Into::into).collect());
        tokio::select! {
            totals = until_all_is_over(&context, &mut threads, stop, give_up) => totals,
            Some(panic) = panics.recv() => resume_unwind(panic),
            never = replace_applications(&context, replacements) => match never {},
        }
    }
}

/// Stops when told to, and ends the workers when all connections have closed, or on `give_up`.
async fn until_all_is_over(
    context: &ServerContext,
    threads: &mut Threads,
    stop: impl Future<Output = ()>,
    give_up: impl Future<Output = ()>,
) -> Totals {
    stop.await;
    info!(connections = context.open(), "stopping");
    context.pool.stop();
    enter(context, Stage::Stopping);
    let (mut seen, mut unresponsive_workers) = (Vec::new(), 0);
    let orderly = async {
        drained(context).await;
        if let Some(gateway) = &context.gateway {
            gateway.drained().await;
        }
        seen = context.pool.ask(WorkerMessage::Snapshot).await;
        context.pool.tell_all(|| WorkerMessage::End);
        threads.ended().await;
    };
    tokio::select! {
        () = orderly => {}
        () = give_up => {
            warn!(connections = context.open(), "drain timeout expired; dropping connections");
            context.pool.tell_all(|| WorkerMessage::Abort);
            enter(context, Stage::Aborted);
            seen = context.pool.ask_within(GRACE / 2, WorkerMessage::Snapshot).await.into_iter().flatten().collect();
            context.pool.tell_all(|| WorkerMessage::End);
            if timeout(GRACE / 2, threads.ended()).await.is_err() {
                unresponsive_workers = threads.leave_behind();
            }
        }
    }
    let totals =
        seen.into_iter().map(|snapshot| snapshot.totals).fold(Totals::default(), |all, one| all + one);
    Totals { unresponsive_workers, ..totals }
}

fn enter(context: &ServerContext, stage: Stage) {
    if let Some(gateway) = &context.gateway {
        gateway.enter(stage);
    }
}

/// Completes when all permits are released.
async fn drained(context: &ServerContext) {
    let all = u32::try_from(context.options.max_connections).unwrap_or(MAX_CONNECTIONS as u32);
    drop(context.permits.acquire_many(all).await);
}

/// Has the first worker try each new application, then the others adopt it, forever.
async fn replace_applications(
    context: &ServerContext,
    mut replacements: UnboundedReceiver<Arc<ApplicationFactory>>,
) -> Infallible {
    let mut version = 0;
    while let Some(application) = replacements.recv().await {
        version += 1;
        let replace = |worker| {
            let (answer, answered) = oneshot::channel();
            let application = Arc::clone(&application);
            context.pool.tell(worker, WorkerMessage::Replace { version, application, answer });
            answered
        };
        let alone = match replace(0).await {
            Ok(Ok(alone)) => alone,
            Ok(Err(error)) => {
                error!("the application before serves on: {error}");
                continue;
            }
            // The worker has ended.
            Err(_) => continue,
        };
        for worker in 1..context.pool.size() {
            if alone {
                context.pool.set_open(worker, false);
                context.pool.tell(worker, WorkerMessage::Retire);
                continue;
            }
            match replace(worker).await {
                Ok(Ok(_)) => context.pool.set_open(worker, true),
                Ok(Err(error)) => error!(worker, "keeps the previous application: {error}"),
                Err(_) => {}
            }
        }
        let connections = context.open();
        info!(connections, "a new application serves; connections of the one before stay with it");
    }
    pending().await
}

/// A worker's last report, and its time.
type LastSnapshot = Option<(Snapshot, Instant)>;

/// Observes a server from outside, for [`serve_admin`](crate::serve_admin).
#[derive(Clone, Debug)]
pub struct Observer {
    context: Arc<ServerContext>,
    /// Each worker's last report, and its time.
    last: Arc<Mutex<Vec<LastSnapshot>>>,
}

impl Observer {
    /// The current figures of all workers together; busy ones as last reported. `None` if none has ever reported.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let fresh = self.context.pool.ask_within(ANSWER_TIME, WorkerMessage::Snapshot).await;
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.resize(fresh.len(), None);
        for (last, fresh) in last.iter_mut().zip(fresh) {
            *last = fresh.map(|snapshot| (snapshot, now)).or_else(|| last.take());
        }
        let workers = last.iter().map(|seen| seen.as_ref().map_or(0, |(snapshot, _)| snapshot.counts.open));
        let ages = last.iter().map(|seen| seen.as_ref().map(|(_, at)| now.duration_since(*at)));
        let (workers, ages, uptime) = (workers.collect(), ages.collect(), self.context.started.elapsed());
        let all = last.iter().flatten().map(|(snapshot, _)| snapshot.clone()).reduce(Snapshot::with)?;
        Some(Snapshot { workers, ages, uptime, ..all })
    }

    /// Up to `limit` connections of the workers that respond, longest queues first, then newest; and how many are left
    /// out.
    pub(crate) async fn connections(&self, limit: usize) -> (Vec<Row>, usize) {
        let rows =
            self.context.pool.ask_within(ANSWER_TIME, |answer| WorkerMessage::Rows(limit, answer)).await;
        limit_rows(rows.into_iter().flatten(), limit)
    }

    /// The gateway's figures, if it is one.
    pub(crate) fn gateway(&self) -> Option<GatewayStatus> {
        self.context.gateway.as_ref().map(|gateway| gateway.status())
    }

    /// The backend of a client, in a gateway.
    pub(crate) fn backend_of(&self, connection: u64) -> Option<String> {
        self.context.gateway.as_ref()?.backend_of(connection)
    }

    /// Why no new connections can be served now.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.context.pool.is_stopping() {
            return Some("stopping");
        }
        if self.context.permits.available_permits() == 0 {
            return Some("full");
        }
        (!self.context.pool.any_answers(UNREADY_AFTER)).then_some("busy")
    }
}
