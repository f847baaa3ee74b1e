//! The shells of one server: the one that takes new connections, and those before it, which end with theirs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use thiserror::Error;
use tracing::info;

use crate::application::{ApplicationError, ApplicationFactory, Handler};
use crate::engine::{EngineError, EngineFactory};
use crate::metrics::{Row, Snapshot, sort_rows};
use crate::options::{EngineOptions, ShellOptions};
use crate::shell::{Lost, Shell, Totals};

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
}

#[derive(Debug)]
pub(crate) struct Generations {
    factory: EngineFactory,
    engine_options: EngineOptions,
    options: ShellOptions,
    current: RefCell<Rc<Shell>>,
    earlier: RefCell<Vec<Rc<Shell>>>,
    /// What those saw that have ended.
    ended: RefCell<Option<Snapshot>>,
}

impl Generations {
    pub(crate) fn new(
        factory: EngineFactory,
        engine_options: EngineOptions,
        options: ShellOptions,
        application: Handler,
    ) -> Result<Self, EngineError> {
        let shell = Shell::new(factory.clone(), engine_options.clone(), options, application, None)?;
        let current = RefCell::new(shell);
        let (earlier, ended) = (RefCell::default(), RefCell::default());
        Ok(Self { factory, engine_options, options, current, earlier, ended })
    }

    pub(crate) fn options(&self) -> &ShellOptions {
        &self.options
    }

    /// Takes new connections.
    pub(crate) fn current(&self) -> Rc<Shell> {
        Rc::clone(&self.current.borrow())
    }

    /// From now on connections go to a shell with this application.
    pub(crate) fn replace(&self, application: Arc<ApplicationFactory>) -> Result<Rc<Shell>, StartError> {
        let handler = Handler::component(application)?;
        let (factory, engine_options) = (self.factory.clone(), self.engine_options.clone());
        let before = self.current();
        let shell = Shell::new(factory, engine_options, self.options, handler, Some(&before))?;
        start(&shell)?;
        let earlier = self.current.replace(Rc::clone(&shell));
        info!(
            connections = earlier.len(),
            "a new application serves; connections of the one before stay with it"
        );
        earlier.retire();
        self.earlier.borrow_mut().push(earlier);
        Ok(shell)
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
        let (mut rows, mut more) = (Vec::new(), 0);
        self.each(|shell| {
            let (some, others) = shell.rows(limit);
            rows.extend(some);
            more += others;
        });
        sort_rows(&mut rows);
        more += rows.len().saturating_sub(limit);
        rows.truncate(limit);
        (rows, more)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.snapshot().totals
    }
}

/// The application's first call.
pub(crate) fn start(shell: &Shell) -> Result<(), StartError> {
    shell.start().map_err(|lost| match lost {
        Lost::Engine(lost) => EngineError::from(lost).into(),
        Lost::Application(lost) => ApplicationError::from(lost).into(),
    })
}
