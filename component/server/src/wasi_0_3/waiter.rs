//! The operations that the main loop waits for.

#[cfg(feature = "http")]
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use super::abi::{Event, Timer, WaitableSet};
#[cfg(feature = "http")]
use super::future::FutureWrite;
use crate::io::{NANOSECONDS, Ready};

/// The operations that are waited for.
pub(crate) struct Waiter {
    pub(super) set: WaitableSet,
    /// The owner of each operation, by handle.
    sources: Vec<Option<Source>>,
    timer: Option<(u64, Timer)>,
    /// Connections that may wait for something else than before.
    changed: Vec<u64>,
    ready: Vec<Ready>,
    /// Values that nobody has read yet, by handle.
    #[cfg(feature = "http")]
    writes: BTreeMap<u32, FutureWrite>,
}

/// The owner of an operation.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Input(u64),
    Output(u64),
    Listener(usize),
    Stdin,
    Stderr,
    /// A part of the exchange with this connection's request.
    #[cfg(feature = "http")]
    Exchange(u64, Part),
    /// Nobody: a value that was written.
    #[cfg(feature = "http")]
    Written,
}

/// A part of a request and its response.
#[cfg(feature = "http")]
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Call,
    Upload,
    Body,
}

impl Waiter {
    pub(crate) fn new() -> Self {
        Self {
            set: WaitableSet::new(),
            sources: Vec::new(),
            timer: None,
            changed: Vec::new(),
            ready: Vec::new(),
            #[cfg(feature = "http")]
            writes: BTreeMap::new(),
        }
    }

    /// Notes that what a connection waits for may have changed.
    pub(crate) fn note_change(&mut self, id: u64) {
        self.changed.push(id);
    }

    /// The connections noted since the last time, each once.
    pub(crate) fn take_changed(&mut self) -> Vec<u64> {
        let mut changed = mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Notes that something is ready without a wait.
    pub(crate) fn note_ready(&mut self, ready: Ready) {
        self.ready.push(ready);
    }

    /// What is ready.
    pub(crate) fn take_ready(&mut self) -> Vec<Ready> {
        mem::take(&mut self.ready)
    }

    /// Whether anything is.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Waits for an event.
    pub(crate) fn wait(&self) -> Event {
        self.set.wait()
    }

    /// An event, if there is one.
    pub(crate) fn poll(&self) -> Option<Event> {
        self.set.poll()
    }

    /// Whose event it is. Those of the timer and of values that were written are dealt with.
    pub(crate) fn source(&mut self, event: &Event) -> Option<Source> {
        if self.timer.as_ref().is_some_and(|(_, timer)| timer.handle == event.handle) {
            if event.has_returned()
                && let Some((_, timer)) = self.timer.take()
            {
                timer.finish();
                self.ready.push(Ready::Time);
            }
            return None;
        }
        let at = usize::try_from(event.handle).ok()?;
        let source = self.sources.get(at).copied().flatten();
        #[cfg(feature = "http")]
        if let Some(Source::Written) = source {
            if let Some(write) = self.writes.remove(&event.handle) {
                write.finish();
            }
            return None;
        }
        source
    }

    /// Waits for a stream's operations, too.
    pub(crate) fn join(&mut self, handle: u32, source: Source) {
        self.set.join(handle);
        self.note(handle, source);
    }

    /// Keeps a value until it has been read.
    #[cfg(feature = "http")]
    pub(super) fn keep(&mut self, write: Option<FutureWrite>) {
        if let Some(write) = write {
            self.join(write.handle, Source::Written);
            self.writes.insert(write.handle, write);
        }
    }

    /// Notes the owner of a stream's operations.
    pub(crate) fn note(&mut self, handle: u32, source: Source) {
        let at = usize::try_from(handle).unwrap_or_default();
        if self.sources.len() <= at {
            self.sources.resize(at.saturating_add(1), None);
        }
        if let Some(slot) = self.sources.get_mut(at) {
            *slot = Some(source);
        }
    }

    /// Waits until this time at the latest, in milliseconds. A timer for an earlier time is left: waking up is cheap.
    pub(crate) fn set_timer(&mut self, at: Option<u64>) {
        let Some(at) = at else { return };
        match self.timer.take() {
            Some((set, timer)) if set <= at => {
                self.timer = Some((set, timer));
                return;
            }
            Some((_, timer)) => timer.cancel(),
            None => {}
        }
        match Timer::start(at.saturating_mul(NANOSECONDS), &self.set) {
            Some(timer) => self.timer = Some((at, timer)),
            None => self.ready.push(Ready::Time),
        }
    }
}
