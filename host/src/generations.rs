//! The shells of one worker: the one that takes new connections, and those before it, which end with theirs.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use thiserror::Error;

use crate::application::{ApplicationError, ApplicationFactory, Handler};
use crate::engine::EngineError;
use crate::metrics::{Row, Snapshot, limit_rows};
use crate::shell::{Lost, Shell};
use crate::worker::Plan;

/// A server cannot serve an application.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no application.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// The system has no thread, or no means to wait on it.
    #[error("no worker: {0}")]
    Thread(#[from] io::Error),
}

#[derive(Debug)]
pub(crate) struct Generations {
    plan: Arc<Plan>,
    worker: usize,
    current: RefCell<Rc<Shell>>,
    /// The current one takes new connections.
    open: Cell<bool>,
    earlier: RefCell<Vec<Rc<Shell>>>,
    /// What those saw that have ended.
    ended: RefCell<Option<Snapshot>>,
}

impl Generations {
    /// The first one, whose application has been called.
    pub(crate) fn new(plan: Arc<Plan>, worker: usize) -> Result<Self, StartError> {
        let application = plan.application.make()?;
        let shell = Shell::new(&plan, worker, 0, application, None)?;
        start(&shell)?;
        let current = RefCell::new(shell);
        let (earlier, ended) = (RefCell::default(), RefCell::default());
        Ok(Self { plan, worker, current, open: Cell::new(true), earlier, ended })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes new connections, if any does.
    pub(crate) fn open(&self) -> Option<Rc<Shell>> {
        self.open.get().then(|| self.current())
    }

    /// The latest.
    pub(crate) fn current(&self) -> Rc<Shell> {
        Rc::clone(&self.current.borrow())
    }

    /// That of a generation, if it is here.
    pub(crate) fn of(&self, generation: u64) -> Option<Rc<Shell>> {
        let current = self.current();
        let mut all = self.earlier.borrow().clone().into_iter().chain([current]);
        all.find(|shell| shell.generation() == generation)
    }

    /// From now on connections go to a shell with this application.
    pub(crate) fn replace(
        &self,
        generation: u64,
        application: Arc<ApplicationFactory>,
    ) -> Result<Rc<Shell>, StartError> {
        let handler = Handler::component(application)?;
        let before = self.current();
        let shell = Shell::new(&self.plan, self.worker, generation, handler, Some(&before))?;
        start(&shell)?;
        let earlier = self.current.replace(Rc::clone(&shell));
        earlier.retire();
        self.earlier.borrow_mut().push(earlier);
        self.open.set(true);
        shell.tell_whether_fit();
        // One without connections may have ended before.
        self.prune();
        Ok(shell)
    }

    /// There are no new connections here until there is another application.
    pub(crate) fn retire(&self) {
        self.open.set(false);
        self.current().retire();
    }

    /// Lets go of those whose last connection has gone.
    pub(crate) fn prune(&self) {
        self.earlier.borrow_mut().retain(|shell| {
            let keep = shell.len() != 0;
            if !keep {
                let ended = self.ended.take().into_iter().chain([shell.snapshot()]);
                self.ended.replace(ended.reduce(Snapshot::with));
            }
            keep
        });
    }

    pub(crate) fn each(&self, mut run: impl FnMut(&Shell)) {
        let earlier = self.earlier.borrow().clone();
        earlier.iter().for_each(|shell| run(shell));
        run(&self.current());
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.current().snapshot();
        for shell in self.earlier.borrow().clone() {
            snapshot = snapshot.with(shell.snapshot());
        }
        match self.ended.borrow().clone() {
            Some(ended) => snapshot.with(ended),
            None => snapshot,
        }
    }

    /// Up to `limit` connections, and how many more there are.
    pub(crate) fn rows(&self, limit: usize) -> (Vec<Row>, usize) {
        let mut all = Vec::new();
        self.each(|shell| all.push(shell.rows(limit)));
        limit_rows(all, limit)
    }
}

/// The application's first call.
fn start(shell: &Shell) -> Result<(), StartError> {
    shell.start().map_err(|lost| match lost {
        Lost::Engine(lost) => EngineError::from(lost).into(),
        Lost::Application(lost) => ApplicationError::from(lost).into(),
    })
}
