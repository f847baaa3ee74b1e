//! The operations that the main loop waits for.

use alloc::vec::Vec;
use core::mem;

use super::abi::{Event, Timer, WaitableSet};
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
}

/// The owner of an operation.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Input(u64),
    Output(u64),
    Listener(usize),
    Stdin,
    Stderr,
}

impl Waiter {
    pub(crate) fn new() -> Self {
        Self {
            set: WaitableSet::new(),
            sources: Vec::new(),
            timer: None,
            changed: Vec::new(),
            ready: Vec::new(),
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

    /// Whose event it is. That of the timer is dealt with.
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
        self.sources.get(at).copied().flatten()
    }

    /// Waits for a stream's operations, too.
    pub(crate) fn join(&mut self, handle: u32, source: Source) {
        self.set.join(handle);
        self.note(handle, source);
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
