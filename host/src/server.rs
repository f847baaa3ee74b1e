//! The server: its workers, and a graceful end.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::application::{Application, ApplicationFactory, Program};
use crate::crew::{Crew, Note};
use crate::engine::EngineFactory;
use crate::generations::StartError;
use crate::listener::Listener;
use crate::metrics::{Row, Snapshot, Totals, limit_rows};
use crate::options::{EngineOptions, ShellOptions};
use crate::peers::Peers;
use crate::queue_budget::QueueBudget;
use crate::threads::Threads;
use crate::worker::{Panic, Plan};

/// More than there are descriptors, and few enough for a semaphore.
const MAX_CONNECTIONS: usize = 1 << 28;

/// How long the workers have to end after they were told to drop every connection. One that does not is inside a call.
const GRACE: Duration = Duration::from_millis(500);

/// How long an observer waits for workers. A turn takes less.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// Where all workers have been busy with one thing for so long, clients are better sent elsewhere.
const UNREADY_AFTER: Duration = Duration::from_secs(2);

/// Serves on as many threads of its own as [`ShellOptions::workers`] says. Runs inside any tokio runtime with I/O and time,
/// which it does not keep busy.
#[derive(Debug)]
pub struct Server {
    plan: Arc<Plan>,
    threads: Threads,
    panics: UnboundedReceiver<Panic>,
    replacements: UnboundedReceiver<Arc<ApplicationFactory>>,
    replace: UnboundedSender<Arc<ApplicationFactory>>,
}

impl Server {
    /// Makes the engines, for an application in Rust; each worker has one, made by `application` on its thread.
    ///
    /// # Errors
    /// [`StartError`]: the options are refused, the component cannot be instantiated, or a thread cannot be had.
    pub fn new(
        factory: EngineFactory,
        engine_options: EngineOptions,
        options: ShellOptions,
        application: impl Fn() -> Box<dyn Application> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        Self::serving(factory, engine_options, options, Program::Native(Box::new(application)))
    }

    /// Makes the engines, and for each worker an instance of the application; for one alone if the application's first
    /// call asks for that. Every opening handshake is put to it ([`EngineOptions::authorise`]); one that it does not
    /// decide is accepted.
    ///
    /// # Errors
    /// [`StartError`]: as for [`new`](Self::new), or the application is lost at its first call.
    pub fn with_component(
        factory: EngineFactory,
        mut engine_options: EngineOptions,
        options: ShellOptions,
        application: Arc<ApplicationFactory>,
    ) -> Result<Self, StartError> {
        engine_options.authorise = true;
        engine_options.echo = false;
        Self::serving(factory, engine_options, options, Program::Component(application))
    }

    fn serving(
        factory: EngineFactory,
        engine_options: EngineOptions,
        mut options: ShellOptions,
        application: Program,
    ) -> Result<Self, StartError> {
        options.max_connections = options.max_connections.min(MAX_CONNECTIONS);
        let permits = Arc::new(Semaphore::new(options.max_connections));
        let refusals = Semaphore::new(options.max_refusals.min(MAX_CONNECTIONS));
        let peers = Peers::new(options.max_connections_per_peer, options.max_handshakes_per_peer);
        let (crew, inboxes) = Crew::new(options.workers, options.worker_fill);
        let queue_budget = QueueBudget::new(options.max_total_queue_bytes, options.max_queue_bytes);
        let started = Instant::now();
        let plan = Arc::new(Plan {
            factory,
            engine_options,
            options,
            application,
            permits,
            refusals,
            peers,
            crew: Arc::clone(&crew),
            queue_budget,
            started,
        });
        let (mut threads, panics) = Threads::new(Arc::clone(&plan));
        let mut inboxes = inboxes.into_iter();
        if let Some(inbox) = inboxes.next()
            && threads.start(inbox)?
            && crew.size() > 1
        {
            crew.reduce_to_one();
            info!("one worker, for the application asks for a single instance");
        }
        for inbox in inboxes.take(crew.size() - 1) {
            threads.start(inbox)?;
        }
        let (replace, replacements) = unbounded_channel();
        Ok(Self { plan, threads, panics, replacements, replace })
    }

    /// Sends applications that take the place of the one before: new connections go to the new one, and those of
    /// the one before stay with it until they end. One that fails at its first call on the first worker changes nothing.
    #[must_use]
    pub fn replacements(&self) -> UnboundedSender<Arc<ApplicationFactory>> {
        self.replace.clone()
    }

    /// Sees what the server does while it runs.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer { plan: Arc::clone(&self.plan), last: Arc::default() }
    }

    /// Serves until `stop` is done, then closes every connection and waits until all are gone or `give_up` is
    /// done. Returns shortly after that, whatever the workers do: [`Totals::unresponsive_workers`] says how many are left
    /// behind in a call, on threads that nobody waits for.
    ///
    /// # Panics
    /// With the panic of a worker.
    pub async fn run(
        self,
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        stop: impl Future<Output = ()>,
        give_up: impl Future<Output = ()>,
    ) -> Totals {
        let Self { plan, mut threads, mut panics, replacements, replace } = self;
        drop(replace);
        threads.listen(listeners.into_iter().map(Into::into).collect());
        tokio::select! {
            totals = until_all_is_over(&plan, &mut threads, stop, give_up) => totals,
            Some(panic) = panics.recv() => resume_unwind(panic),
            never = replace_applications(&plan, replacements) => match never {},
        }
    }
}

/// Stops when it is time to, and ends the workers when all connections are gone, or it is time for that.
async fn until_all_is_over(
    plan: &Plan,
    threads: &mut Threads,
    stop: impl Future<Output = ()>,
    give_up: impl Future<Output = ()>,
) -> Totals {
    stop.await;
    info!(connections = plan.open(), "stopping");
    plan.crew.stop();
    let (mut seen, mut unresponsive_workers) = (Vec::new(), 0);
    let orderly = async {
        drained(plan).await;
        seen = plan.crew.ask(Note::Snapshot).await;
        plan.crew.tell_all(|| Note::End);
        threads.ended().await;
    };
    tokio::select! {
        () = orderly => {}
        () = give_up => {
            warn!(connections = plan.open(), "given up waiting; dropped");
            plan.crew.tell_all(|| Note::Abort);
            seen = plan.crew.ask_within(GRACE / 2, Note::Snapshot).await.into_iter().flatten().collect();
            plan.crew.tell_all(|| Note::End);
            if timeout(GRACE / 2, threads.ended()).await.is_err() {
                unresponsive_workers = threads.leave_behind();
            }
        }
    }
    let totals =
        seen.into_iter().map(|snapshot| snapshot.totals).fold(Totals::default(), |all, one| all + one);
    Totals { unresponsive_workers, ..totals }
}

/// All permits are back.
async fn drained(plan: &Plan) {
    let all = u32::try_from(plan.options.max_connections).unwrap_or(MAX_CONNECTIONS as u32);
    drop(plan.permits.acquire_many(all).await);
}

/// Has the first worker try each new application, and then the others take it, for ever.
async fn replace_applications(
    plan: &Plan,
    mut replacements: UnboundedReceiver<Arc<ApplicationFactory>>,
) -> Infallible {
    let mut generation = 0;
    while let Some(application) = replacements.recv().await {
        generation += 1;
        let replace = |worker| {
            let (answer, answered) = oneshot::channel();
            let application = Arc::clone(&application);
            plan.crew.tell(worker, Note::Replace { generation, application, answer });
            answered
        };
        let alone = match replace(0).await {
            Ok(Ok(alone)) => alone,
            Ok(Err(error)) => {
                error!("the application before serves on: {error}");
                continue;
            }
            // It has ended.
            Err(_) => continue,
        };
        for worker in 1..plan.crew.size() {
            if alone {
                plan.crew.set_open(worker, false);
                plan.crew.tell(worker, Note::Retire);
                continue;
            }
            match replace(worker).await {
                Ok(Ok(_)) => plan.crew.set_open(worker, true),
                Ok(Err(error)) => error!(worker, "the application before stays here: {error}"),
                Err(_) => {}
            }
        }
        let connections = plan.open();
        info!(connections, "a new application serves; connections of the one before stay with it");
    }
    pending().await
}

/// What a worker answered last, and when.
type LastSnapshot = Option<(Snapshot, Instant)>;

/// Looks at a server from beside it, for [`serve_admin`](crate::serve_admin).
#[derive(Clone, Debug)]
pub struct Observer {
    plan: Arc<Plan>,
    /// What each worker told last, and when.
    last: Arc<Mutex<Vec<LastSnapshot>>>,
}

impl Observer {
    /// All workers together, as they are now; those that are busy as they were when they last told. None where none has
    /// ever told.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let fresh = self.plan.crew.ask_within(ANSWER_TIME, Note::Snapshot).await;
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.resize(fresh.len(), None);
        for (last, fresh) in last.iter_mut().zip(fresh) {
            *last = fresh.map(|snapshot| (snapshot, now)).or_else(|| last.take());
        }
        let workers = last.iter().map(|seen| seen.as_ref().map_or(0, |(snapshot, _)| snapshot.counts.open));
        let ages = last.iter().map(|seen| seen.as_ref().map(|(_, at)| now.duration_since(*at)));
        let (workers, ages, uptime) = (workers.collect(), ages.collect(), self.plan.started.elapsed());
        let all = last.iter().flatten().map(|(snapshot, _)| snapshot.clone()).reduce(Snapshot::with)?;
        Some(Snapshot { workers, ages, uptime, ..all })
    }

    /// Up to `limit` connections of the workers that answer, those with the longest queues first and then the newest;
    /// and how many more there are.
    pub(crate) async fn connections(&self, limit: usize) -> (Vec<Row>, usize) {
        let rows = self.plan.crew.ask_within(ANSWER_TIME, |answer| Note::Rows(limit, answer)).await;
        limit_rows(rows.into_iter().flatten(), limit)
    }

    /// Why nobody new is served now.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.plan.crew.is_stopping() {
            return Some("stopping");
        }
        if self.plan.permits.available_permits() == 0 {
            return Some("full");
        }
        (!self.plan.crew.any_answers(UNREADY_AFTER)).then_some("busy")
    }
}
