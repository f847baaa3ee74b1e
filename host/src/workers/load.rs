//! How many connections each worker has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections, by worker.
#[derive(Clone, Debug)]
pub(super) struct Loads(Arc<[AtomicUsize]>);

/// One connection of a worker, counted until dropped.
#[derive(Debug)]
pub(crate) struct LoadGuard {
    loads: Loads,
    worker: usize,
}

impl Loads {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(super) fn of(&self, worker: usize) -> usize {
        self.0[worker].load(Ordering::Relaxed)
    }

    /// Adds a connection.
    pub(super) fn add(&self, worker: usize) -> LoadGuard {
        self.0[worker].fetch_add(1, Ordering::Relaxed);
        LoadGuard { loads: self.clone(), worker }
    }
}

impl LoadGuard {
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.loads.0[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}
