//! One thread of a server: its listeners, its shells, and messages from the other workers.

use std::any::Any;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet, spawn_local};
use tracing::warn;

use crate::accept::acceptor::Acceptor;
use crate::accept::listener::{Listener, ListenerHandle, accept};
use crate::shell::Shell;
use crate::shell::versions::ApplicationVersions;
use crate::start_error::StartError;
use crate::workers::context::ServerContext;
use crate::workers::external::ExternalCommand;
use crate::workers::forwarded::ForwardedCommands;
use crate::workers::message::WorkerMessage;

/// How many commands from outside of the application's calls are carried out together.
const MAX_EXTERNAL: usize = 256;

/// The payload of a thread's panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The state of a worker's thread.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    context: Arc<ServerContext>,
    versions: Rc<ApplicationVersions>,
    inbox: UnboundedReceiver<WorkerMessage>,
    acceptor: Rc<RefCell<Acceptor>>,
    accepting: JoinSet<()>,
    running: JoinSet<()>,
    stopped: bool,
}

impl Worker {
    /// Creates the engine and an application instance, and makes the application's first call.
    pub(crate) fn new(
        index: usize,
        context: &Arc<ServerContext>,
        inbox: UnboundedReceiver<WorkerMessage>,
    ) -> Result<Self, StartError> {
        let versions = Rc::new(ApplicationVersions::new(Arc::clone(context), index)?);
        let acceptor = Rc::new(RefCell::new(Acceptor::new(Rc::clone(&versions), index)));
        let (accepting, running) = Default::default();
        Ok(Self {
            index,
            context: Arc::clone(context),
            versions,
            inbox,
            acceptor,
            accepting,
            running,
            stopped: false,
        })
    }

    /// Whether the application requested a single instance.
    pub(crate) fn is_alone(&self) -> bool {
        self.versions.current().wants_to_be_alone()
    }

    /// Serves until [`WorkerMessage::End`]. It is a task like those of the connections: the runtime polls the future it
    /// blocks on first, so new connections would be accepted before closed ones are removed.
    pub(crate) async fn run(self) {
        pass_on(spawn_local(self.work()).await);
    }

    async fn work(mut self) {
        self.start(self.versions.current());
        loop {
            tokio::select! {
                message = self.inbox.recv() => match message {
                    None => return,
                    Some(message) => {
                        if self.take(message).is_break() {
                            return;
                        }
                        self.context.pool.activity(self.index).get_on();
                    }
                },
                // A replaced shell ends with its last connection; earlier only if its application panics.
                Some(ended) = self.running.join_next() => {
                    pass_on(ended);
                    self.versions.prune();
                }
                // Likewise: input read before a connection was accepted goes to the application first.
                Some(ended) = self.accepting.join_next() => pass_on(ended),
            }
        }
    }

    fn start(&mut self, shell: Rc<Shell>) {
        self.running.spawn_local(async move { shell.run().await });
    }

    /// Breaks at the end of the worker.
    fn take(&mut self, message: WorkerMessage) -> ControlFlow<()> {
        match message {
            WorkerMessage::End => return ControlFlow::Break(()),
            WorkerMessage::Listen(handles) => self.listen(handles),
            WorkerMessage::Incoming(handoff) if !self.stopped => {
                self.acceptor.borrow_mut().receive_handoff(handoff)
            }
            WorkerMessage::Incoming(_) => {}
            WorkerMessage::CloseIdle(connection) => self.versions.each(|shell| shell.close_idle(connection)),
            WorkerMessage::Commands(forwarded) => self.carry_out(&forwarded),
            WorkerMessage::External(command) => return self.carry_out_external(command),
            WorkerMessage::SetReading { connection, reads } => self
                .versions
                .each(|shell| if reads { shell.resume_reading(connection) } else { shell.pause(connection) }),
            WorkerMessage::Peer { connection, answer } => {
                let mut peer = None;
                self.versions.each(|shell| peer = peer.or(shell.peer(connection)));
                // The requester may be gone by now.
                let _ = answer.send(peer);
            }
            WorkerMessage::Retire => self.versions.retire(),
            WorkerMessage::Failed { from, failed } => {
                if let Some(shell) = self.versions.of(from.version) {
                    shell.take_failures(from, failed);
                }
            }
            WorkerMessage::BackpressureReleased => self.versions.each(Shell::resume),
            WorkerMessage::ShedOutput => self.versions.each(Shell::relieve),
            // The requester may be gone by now.
            WorkerMessage::Replace { version, application, answer } => {
                let replaced = self.versions.replace(version, application);
                let _ = answer.send(replaced.map(|shell| {
                    let alone = shell.wants_to_be_alone();
                    self.start(shell);
                    alone
                }));
            }
            WorkerMessage::Snapshot(answer) => drop(answer.send(self.versions.snapshot())),
            WorkerMessage::Rows(limit, answer) => drop(answer.send(self.versions.rows(limit))),
            WorkerMessage::Stop => {
                self.stopped = true;
                if !self.context.refuses_at_stop() {
                    self.accepting.abort_all();
                }
                self.acceptor.borrow_mut().close();
                self.versions.each(Shell::shutdown);
            }
            WorkerMessage::Abort => self.versions.each(Shell::abort),
        }
        ControlFlow::Continue(())
    }

    /// Carries out all such commands that have come by now, in one turn, and takes what came after them.
    fn carry_out_external(&mut self, command: ExternalCommand) -> ControlFlow<()> {
        let (mut commands, mut other) = (vec![command], None);
        while commands.len() < MAX_EXTERNAL
            && let Ok(message) = self.inbox.try_recv()
        {
            match message {
                WorkerMessage::External(command) => commands.push(command),
                message => {
                    other = Some(message);
                    break;
                }
            }
        }
        self.versions.carry_out_external(&commands);
        other.map_or(ControlFlow::Continue(()), |message| self.take(message))
    }

    fn listen(&mut self, handles: Vec<ListenerHandle>) {
        match handles.into_iter().map(ListenerHandle::listener).collect() {
            Ok(listeners) => self.accept(listeners),
            Err(error) => warn!(worker = self.index, "cannot accept; other workers do: {error}"),
        }
    }

    fn accept(&mut self, mut listeners: Vec<Listener>) {
        let (acceptor, context) = (Rc::clone(&self.acceptor), Arc::clone(&self.context));
        self.accepting.spawn_local(async move {
            loop {
                let incoming = accept(&mut listeners, |listener| context.accepts_from(listener)).await;
                acceptor.borrow_mut().receive(incoming);
            }
        });
    }

    fn carry_out(&self, forwarded: &ForwardedCommands) {
        let from = forwarded.from;
        // A version that does not exist here (yet) has no connections here.
        let failed = match self.versions.of(from.version) {
            Some(shell) => shell.carry_out(&forwarded.lend()).unwrap_or_else(|_| forwarded.failures()),
            None => forwarded.failures(),
        };
        self.context.pool.relieve(forwarded);
        if !failed.is_empty() {
            self.context.pool.tell(from.worker, WorkerMessage::Failed { from, failed });
        }
    }
}

/// Resumes a task's panic.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
        resume_unwind(panic);
    }
}
