//! One thread's part of a server: its listeners, its shells, and what the others tell it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet, spawn_local};
use tracing::warn;

use crate::application::Program;
use crate::arrival::Door;
use crate::crew::{Crew, Note};
use crate::engine::EngineFactory;
use crate::generations::{Generations, StartError};
use crate::listener::{Handle, Listener, accept};
use crate::options::{EngineOptions, ShellOptions};
use crate::peers::Peers;
use crate::queue_budget::QueueBudget;
use crate::relay::Relayed;
use crate::shell::Shell;

/// What all workers of a server are made from, and share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) factory: EngineFactory,
    pub(crate) engine_options: EngineOptions,
    pub(crate) options: ShellOptions,
    /// The first one.
    pub(crate) application: Program,
    /// One for each connection that there may be.
    pub(crate) permits: Arc<Semaphore>,
    /// One for each peer that may be refused in words at a time.
    pub(crate) refusals: Semaphore,
    pub(crate) peers: Arc<Peers>,
    pub(crate) crew: Arc<Crew>,
    pub(crate) queue_budget: Arc<QueueBudget>,
    /// The origin of the clock.
    pub(crate) started: Instant,
}

impl Plan {
    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.options.max_connections - self.permits.available_permits()
    }

    fn accepts_from(&self, listener: &Listener) -> bool {
        !self.crew.is_stopping() || (self.refuses_at_stop() && !listener.is_lent())
    }

    /// While it stops the server does not close its listeners, but tells a load balancer that it stops.
    pub(crate) fn refuses_at_stop(&self) -> bool {
        self.engine_options.health_path.is_some()
    }
}

/// What a thread panicked with.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Lives on its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    plan: Arc<Plan>,
    shells: Rc<Generations>,
    inbox: UnboundedReceiver<Note>,
    door: Rc<RefCell<Door>>,
    accepting: JoinSet<()>,
    running: JoinSet<()>,
    stopped: bool,
}

impl Worker {
    /// Makes the engine and an instance of the application, which is called for the first time.
    pub(crate) fn new(
        index: usize,
        plan: &Arc<Plan>,
        inbox: UnboundedReceiver<Note>,
    ) -> Result<Self, StartError> {
        let shells = Rc::new(Generations::new(Arc::clone(plan), index)?);
        let door = Rc::new(RefCell::new(Door::new(Rc::clone(&shells), index)));
        let (accepting, running) = Default::default();
        Ok(Self { index, plan: Arc::clone(plan), shells, inbox, door, accepting, running, stopped: false })
    }

    /// The application wants to be the only one.
    pub(crate) fn is_alone(&self) -> bool {
        self.shells.current().wants_to_be_alone()
    }

    /// Serves until it is told that all is over. As a task like those of the connections: the runtime would look after
    /// what blocks on it first, and so after who comes before who goes.
    pub(crate) async fn run(self) {
        pass_on(spawn_local(self.work()).await);
    }

    async fn work(mut self) {
        self.start(self.shells.current());
        loop {
            tokio::select! {
                note = self.inbox.recv() => match note {
                    None | Some(Note::End) => return,
                    Some(note) => {
                        self.take(note);
                        self.plan.crew.activity(self.index).get_on();
                    }
                },
                // One that was replaced ends with its last connection; what ends it before is a panic of the
                // application's.
                Some(ended) = self.running.join_next() => {
                    pass_on(ended);
                    self.shells.prune();
                }
                // Likewise: what was read before a visitor is let in is taken to the application.
                Some(ended) = self.accepting.join_next() => pass_on(ended),
            }
        }
    }

    fn start(&mut self, shell: Rc<Shell>) {
        self.running.spawn_local(async move { shell.run().await });
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Listen(handles) => self.listen(handles),
            Note::Visitor(handed) if !self.stopped => self.door.borrow_mut().receive_handed(handed),
            Note::Visitor(_) | Note::End => {}
            Note::CloseIdle(connection) => self.shells.each(|shell| shell.close_idle(connection)),
            Note::Commands(relayed) => self.carry_out(&relayed),
            Note::Retire => self.shells.retire(),
            Note::Failed { from, failed } => {
                if let Some(shell) = self.shells.of(from.generation) {
                    shell.take_failures(from, failed);
                }
            }
            Note::Room => self.shells.each(Shell::resume),
            Note::Relieve => self.shells.each(Shell::relieve),
            // Whoever asks may be gone by now.
            Note::Replace { generation, application, answer } => {
                let replaced = self.shells.replace(generation, application);
                let _ = answer.send(replaced.map(|shell| {
                    let alone = shell.wants_to_be_alone();
                    self.start(shell);
                    alone
                }));
            }
            Note::Snapshot(answer) => drop(answer.send(self.shells.snapshot())),
            Note::Rows(limit, answer) => drop(answer.send(self.shells.rows(limit))),
            Note::Stop => {
                self.stopped = true;
                if !self.plan.refuses_at_stop() {
                    self.accepting.abort_all();
                }
                self.door.borrow_mut().close();
                self.shells.each(Shell::shutdown);
            }
            Note::Abort => self.shells.each(Shell::abort),
        }
    }

    fn listen(&mut self, handles: Vec<Handle>) {
        match handles.into_iter().map(Handle::listener).collect() {
            Ok(listeners) => self.accept(listeners),
            Err(error) => warn!(worker = self.index, "does not accept, others do: {error}"),
        }
    }

    fn accept(&mut self, mut listeners: Vec<Listener>) {
        let (door, plan) = (Rc::clone(&self.door), Arc::clone(&self.plan));
        self.accepting.spawn_local(async move {
            loop {
                let visitor = accept(&mut listeners, |listener| plan.accepts_from(listener)).await;
                door.borrow_mut().receive(visitor);
            }
        });
    }

    fn carry_out(&self, relayed: &Relayed) {
        let from = relayed.from;
        // A generation that is not here, or not yet, has no connections here.
        let failed = match self.shells.of(from.generation) {
            Some(shell) => shell.carry_out(&relayed.lend()).unwrap_or_else(|_| relayed.failures()),
            None => relayed.failures(),
        };
        self.plan.crew.relieve(relayed);
        if !failed.is_empty() {
            self.plan.crew.tell(from.worker, Note::Failed { from, failed });
        }
    }
}

/// A task's panic is ours.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
        resume_unwind(panic);
    }
}
