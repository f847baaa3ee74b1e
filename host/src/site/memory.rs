//! The memory of a web application's instances: of each, and of all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::wasm::sandbox::GrantMemory;

/// What an instance takes beside its linear memory: stack, tables, handles.
const INSTANCE_BYTES: usize = 256 << 10;

/// How long to wait for the memory of an instance at most: one that was not started gives it back unseen.
const RETRY: Duration = Duration::from_millis(100);

/// The memory of all instances has no room for another one.
#[derive(Debug, Error)]
#[error("the memory of all instances is used up")]
pub(super) struct UsedUp;

/// Shared by all instances.
#[derive(Debug)]
pub(crate) struct SiteMemory {
    limit: usize,
    taken: AtomicUsize,
    freed: Arc<Notify>,
}

impl SiteMemory {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0), freed: Arc::default() })
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Completes when an instance has ended since this call, or after a moment.
    pub(super) fn freed(&self) -> impl Future<Output = ()> + use<> {
        let freed = Arc::clone(&self.freed).notified_owned();
        async { drop(timeout(RETRY, freed).await) }
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.limit);
        self.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one instance, given back when dropped.
#[derive(Debug)]
pub(super) struct InstanceMemory {
    all: Arc<SiteMemory>,
    taken: usize,
    limit: usize,
    refused: Arc<Refused>,
}

/// What has become of an instance's memory: which limit it has met.
#[derive(Debug, Default)]
pub(super) struct Refused {
    own: AtomicBool,
    all: AtomicBool,
    /// It is an instance, not only an attempt to make one.
    is_started: AtomicBool,
}

impl Refused {
    pub(super) fn start(&self) {
        self.is_started.store(true, Ordering::Relaxed);
    }

    pub(super) fn own(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> bool {
        self.all.load(Ordering::Relaxed)
    }
}

impl InstanceMemory {
    pub(super) fn new(all: Arc<SiteMemory>, limit: usize, refused: Arc<Refused>) -> Result<Self, UsedUp> {
        if !all.take(INSTANCE_BYTES) {
            return Err(UsedUp);
        }
        let limit = limit.saturating_add(INSTANCE_BYTES);
        Ok(Self { all, taken: INSTANCE_BYTES, limit, refused })
    }
}

impl GrantMemory for InstanceMemory {
    fn grant(&mut self, bytes: usize) -> bool {
        if self.taken.saturating_add(bytes) > self.limit {
            self.refused.own.store(true, Ordering::Relaxed);
            return false;
        }
        if !self.all.take(bytes) {
            self.refused.all.store(true, Ordering::Relaxed);
            return false;
        }
        self.taken += bytes;
        true
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        self.all.give(self.taken);
        if self.refused.is_started.load(Ordering::Relaxed) {
            self.all.freed.notify_waiters();
        }
    }
}
