//! The server: its workers, and a graceful end.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, info, warn};

use crate::application::{Application, ApplicationFactory, Program};
use crate::arrival::MAX_REFUSALS;
use crate::crew::{Crew, Note};
use crate::engine::EngineFactory;
use crate::generations::StartError;
use crate::listener::{Handle, Listener};
use crate::metrics::{Row, Snapshot, Totals, limit_rows};
use crate::options::{EngineOptions, ShellOptions};
use crate::peers::Peers;
use crate::queue_budget::QueueBudget;
use crate::worker::{Panic, Plan, Worker};

/// More than there are descriptors, and few enough for a semaphore.
const MAX_CONNECTIONS: usize = 1 << 28;

/// Serves on the current thread and as many more as [`ShellOptions::workers`] says. Runs inside a
/// [`tokio::runtime::LocalRuntime`] or a [`tokio::task::LocalSet`].
#[derive(Debug)]
pub struct Server {
    plan: Arc<Plan>,
    worker: Worker,
    others: Others,
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
        let peers = Peers::new(options.max_connections_per_peer, options.max_handshakes_per_peer);
        let (crew, mut inboxes) = Crew::new(options.workers);
        let queue_budget = QueueBudget::new(options.max_total_queue_bytes, options.max_queue_bytes);
        let started = Instant::now();
        let plan = Arc::new(Plan {
            factory,
            engine_options,
            options,
            application,
            permits,
            refusals: Semaphore::new(MAX_REFUSALS),
            peers,
            crew: Arc::clone(&crew),
            queue_budget,
            started,
        });
        let worker = Worker::new(0, &plan, inboxes.remove(0))?;
        if worker.is_alone() && crew.size() > 1 {
            crew.reduce_to_one();
            info!("one worker, for the application asks for a single instance");
        }
        let (panicked, panics) = unbounded_channel();
        let mut others = Others { crew, threads: Vec::new() };
        for (index, inbox) in (1..others.crew.size()).zip(inboxes) {
            others.threads.push(Worker::spawn(index, &plan, inbox, panicked.clone())?);
        }
        let (replace, replacements) = unbounded_channel();
        Ok(Self { plan, worker, others, panics, replacements, replace })
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
        Observer { plan: Arc::clone(&self.plan) }
    }

    /// Serves until `stop` is done, then closes every connection and waits until all are gone or `give_up` is
    /// done.
    pub async fn run(
        self,
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        stop: impl Future<Output = ()>,
        give_up: impl Future<Output = ()>,
    ) -> Totals {
        let Self { plan, worker, others, mut panics, replacements, replace } = self;
        drop(replace);
        let listeners: Vec<_> = listeners.into_iter().map(Into::into).collect();
        others.listen(&listeners);
        let serving = async { tokio::join!(worker.run(listeners), until_all_is_over(&plan, stop, give_up)) };
        let ((), totals) = tokio::select! {
            ended = serving => ended,
            Some(panic) = panics.recv() => resume_unwind(panic),
            never = replace_applications(&plan, replacements) => match never {},
        };
        others.join();
        totals
    }
}

/// Stops when it is time to, and ends the workers when all connections are gone, or it is time for that.
async fn until_all_is_over(
    plan: &Plan,
    stop: impl Future<Output = ()>,
    give_up: impl Future<Output = ()>,
) -> Totals {
    stop.await;
    info!(connections = plan.open(), "stopping");
    plan.crew.stop();
    tokio::select! {
        () = drained(plan) => {}
        () = give_up => {
            warn!(connections = plan.open(), "given up waiting; dropped");
            plan.crew.tell_all(|| Note::Abort);
        }
    }
    let seen = plan.crew.ask(Note::Snapshot).await;
    plan.crew.tell_all(|| Note::End);
    seen.into_iter().map(|snapshot| snapshot.totals).fold(Totals::default(), |all, one| all + one)
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

/// The workers on threads of their own. They end with it.
#[derive(Debug)]
struct Others {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn listen(&self, listeners: &[Listener]) {
        for worker in 1..=self.threads.len() {
            match listeners.iter().map(Listener::handle).collect::<Result<Vec<Handle>, _>>() {
                Ok(handles) => self.crew.tell(worker, Note::Listen(handles)),
                Err(error) => warn!(worker, "does not accept, others do: {error}"),
            }
        }
    }

    /// They have been told to end.
    fn join(mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been passed on.
            let _ = thread.join();
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.crew.tell_all(|| Note::End);
    }
}

/// Looks at a server from beside it, for [`serve_admin`](crate::serve_admin).
#[derive(Clone, Debug)]
pub struct Observer {
    plan: Arc<Plan>,
}

impl Observer {
    /// All workers together; none where all have ended.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let all = self.plan.crew.ask(Note::Snapshot).await;
        let workers = all.iter().map(|snapshot| snapshot.counts.open).collect();
        Some(Snapshot { workers, ..all.into_iter().reduce(Snapshot::with)? })
    }

    /// Up to `limit` connections, those with the longest queues first and then the newest; and how many more
    /// there are.
    pub(crate) async fn connections(&self, limit: usize) -> (Vec<Row>, usize) {
        limit_rows(self.plan.crew.ask(|answer| Note::Rows(limit, answer)).await, limit)
    }

    /// Why nobody new is served now.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.plan.crew.is_stopping() {
            return Some("stopping");
        }
        (self.plan.permits.available_permits() == 0).then_some("full")
    }
}
