//! The shells of one worker: the current version of the application takes new connections, earlier ones drain.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::application::{ApplicationError, ApplicationFactory, Handler};
use crate::engine::EngineError;
use crate::observe::metrics::{Row, Snapshot, limit_rows};
use crate::shell::{Lost, Shell};
use crate::start_error::StartError;
use crate::workers::context::ServerContext;
use crate::workers::external::ExternalCommand;

#[derive(Debug)]
pub(crate) struct ApplicationVersions {
    context: Arc<ServerContext>,
    worker: usize,
    current: RefCell<Rc<Shell>>,
    /// The current shell takes new connections.
    open: Cell<bool>,
    draining: RefCell<Vec<Rc<Shell>>>,
    /// The totals of shells that have ended.
    ended: RefCell<Option<Snapshot>>,
}

impl ApplicationVersions {
    /// Starts with the first shell, whose application has been called.
    pub(crate) fn new(context: Arc<ServerContext>, worker: usize) -> Result<Self, StartError> {
        let application = context.application.make()?;
        let shell = Shell::new(&context, worker, 0, application, None)?;
        start(&shell)?;
        let current = RefCell::new(shell);
        let (draining, ended) = (RefCell::default(), RefCell::default());
        Ok(Self { context, worker, current, open: Cell::new(true), draining, ended })
    }

    pub(crate) fn context(&self) -> &ServerContext {
        &self.context
    }

    /// The shell that takes new connections, if there is one.
    pub(crate) fn open(&self) -> Option<Rc<Shell>> {
        self.open.get().then(|| self.current())
    }

    /// The latest shell.
    pub(crate) fn current(&self) -> Rc<Shell> {
        Rc::clone(&self.current.borrow())
    }

    /// The shell with this version, if it still exists.
    pub(crate) fn of(&self, version: u64) -> Option<Rc<Shell>> {
        let current = self.current();
        let mut all = self.draining.borrow().clone().into_iter().chain([current]);
        all.find(|shell| shell.version() == version)
    }

    /// Adds a shell with this application, which takes all new connections from now on.
    pub(crate) fn replace(
        &self,
        version: u64,
        application: Arc<ApplicationFactory>,
    ) -> Result<Rc<Shell>, StartError> {
        let handler = Handler::component(application)?;
        let before = self.current();
        let shell = Shell::new(&self.context, self.worker, version, handler, Some(&before))?;
        start(&shell)?;
        let draining = self.current.replace(Rc::clone(&shell));
        draining.retire();
        self.draining.borrow_mut().push(draining);
        self.open.set(true);
        shell.tell_health();
        // A shell without connections may have ended before.
        self.prune();
        Ok(shell)
    }

    /// Takes no new connections until there is another application.
    pub(crate) fn retire(&self) {
        self.open.set(false);
        self.current().retire();
    }

    /// Drops retired shells whose last connection has closed.
    pub(crate) fn prune(&self) {
        self.draining.borrow_mut().retain(|shell| {
            let keep = shell.len() != 0;
            if !keep {
                let ended = self.ended.take().into_iter().chain([shell.snapshot()]);
                self.ended.replace(ended.reduce(Snapshot::with));
            }
            keep
        });
    }

    pub(crate) fn each(&self, mut run: impl FnMut(&Shell)) {
        let draining = self.draining.borrow().clone();
        draining.iter().for_each(|shell| run(shell));
        run(&self.current());
    }

    /// Has each shell carry out the commands for its connections, and those for all.
    pub(crate) fn carry_out_external(&self, commands: &[ExternalCommand]) {
        self.each(|shell| {
            let is_own = |command: &&ExternalCommand| {
                command.connection().is_none_or(|connection| shell.has(connection))
            };
            let own: Vec<_> = commands.iter().filter(is_own).collect();
            if !own.is_empty() {
                shell.carry_out_external(&own);
            }
        });
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.current().snapshot();
        for shell in self.draining.borrow().clone() {
            snapshot = snapshot.with(shell.snapshot());
        }
        match self.ended.borrow().clone() {
            Some(ended) => snapshot.with(ended),
            None => snapshot,
        }
    }

    /// Up to `limit` connections, and how many are left out.
    pub(crate) fn rows(&self, limit: usize) -> (Vec<Row>, usize) {
        let mut all = Vec::new();
        self.each(|shell| all.push(shell.rows(limit)));
        limit_rows(all, limit)
    }
}

/// Makes the application's first call.
fn start(shell: &Shell) -> Result<(), StartError> {
    shell.start().map_err(|lost| match lost {
        Lost::Engine(lost) => EngineError::from(lost).into(),
        Lost::Application(lost) => ApplicationError::from(lost).into(),
    })
}
