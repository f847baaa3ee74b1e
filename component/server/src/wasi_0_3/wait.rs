//! The place where the server waits.

use alloc::vec::Vec;
use core::mem;

use super::abi::{Event, Timer, WaitableSet, yield_to_host};
use crate::clock::{NANOSECONDS, now};
use crate::log::Log;
use crate::shell::{Ready, Shell};

/// How many links are served in one turn.
pub(crate) const TURN_SOURCES: usize = 256;

/// How often the host is asked for more before a turn. wasmtime tells one event at a time.
const MAX_YIELDS: usize = 64;

/// The operations that are waited for.
pub(crate) struct Waiter {
    set: WaitableSet,
    /// Of whom an operation is, by its handle.
    sources: Vec<Option<Source>>,
    timer: Option<(u64, Timer)>,
    /// Connections that may wait for something else than before.
    changed: Vec<u64>,
    ready: Vec<Ready>,
}

#[derive(Clone, Copy)]
enum Source {
    Input(u64),
    Output(u64),
    Listener(usize),
    Stdin,
    Stderr,
}

impl Waiter {
    pub(crate) fn new(log: &Log) -> Self {
        let mut waiter = Self {
            set: WaitableSet::new(),
            sources: Vec::new(),
            timer: None,
            changed: Vec::new(),
            ready: Vec::new(),
        };
        waiter.join(log.stderr.writer.handle(), Source::Stderr);
        waiter
    }

    /// What a connection waits for may have changed.
    pub(crate) fn changed(&mut self, id: u64) {
        self.changed.push(id);
    }

    fn join(&mut self, handle: u32, source: Source) {
        self.set.join(handle);
        self.note(handle, source);
    }

    fn note(&mut self, handle: u32, source: Source) {
        let at = usize::try_from(handle).unwrap_or_default();
        if self.sources.len() <= at {
            self.sources.resize(at.saturating_add(1), None);
        }
        if let Some(slot) = self.sources.get_mut(at) {
            *slot = Some(source);
        }
    }

    /// Waits until this time at the latest, in milliseconds. A timer for an earlier time is left: waking up is cheap.
    fn set_timer(&mut self, at: Option<u64>) {
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

impl Shell {
    /// Waits until something is ready.
    pub(crate) fn wait(&mut self) -> Vec<Ready> {
        self.start_operations();
        if self.waiter.ready.is_empty() {
            let event = self.waiter.set.wait();
            self.receive(event);
        }
        for _ in 0..MAX_YIELDS {
            let before = self.waiter.ready.len();
            yield_to_host();
            while let Some(event) = self.waiter.set.poll() {
                self.receive(event);
            }
            if self.waiter.ready.len() == before {
                break;
            }
        }
        mem::take(&mut self.waiter.ready)
    }

    /// Hosts of WASI 0.3 do not limit how much is done between two waits.
    pub(crate) fn begin_anew(&self, _: &[Ready]) {}

    /// Starts every operation that should go on but does not.
    fn start_operations(&mut self) {
        let (waiter, now) = (&mut self.waiter, now());
        for id in mem::take(&mut waiter.changed) {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.reads() {
                if !mem::replace(&mut link.socket.has_joined, true) {
                    waiter.join(link.socket.input().handle(), Source::Input(id));
                }
                if link.socket.start_read() {
                    waiter.ready.push(Ready::Readable(id));
                }
            }
            if link.socket.start_wait_writable(&waiter.set) {
                waiter.ready.push(Ready::Writable(id));
            } else if let Some(output) = link.socket.output().filter(|output| output.is_busy()) {
                let handle = output.handle();
                waiter.note(handle, Source::Output(id));
            }
        }
        if self.accept_from <= now {
            for (at, listener) in self.listeners.iter_mut().enumerate() {
                if !mem::replace(&mut listener.has_joined, true) {
                    waiter.join(listener.incoming.handle(), Source::Listener(at));
                }
                if listener.incoming.start() {
                    waiter.ready.push(Ready::Listener(at));
                }
            }
        }
        if let Some(stdin) = &mut self.stdin {
            waiter.join(stdin.0.handle(), Source::Stdin);
            if stdin.start() {
                waiter.ready.push(Ready::Stdin);
            }
        }
        let wake = self.next_wake(now);
        self.waiter.set_timer(wake);
    }

    /// Passes on an event.
    fn receive(&mut self, event: Event) {
        let Event { handle, result } = event;
        if self.waiter.timer.as_ref().is_some_and(|(_, timer)| timer.handle == handle) {
            if let Some((_, timer)) = self.waiter.timer.take() {
                timer.finish();
            }
            self.waiter.ready.push(Ready::Time);
            return;
        }
        let source = usize::try_from(handle).ok().and_then(|at| self.waiter.sources.get(at).copied());
        let ready = match source.flatten() {
            Some(Source::Input(id)) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.socket.input().complete(result);
                // If it is not to be read from now, its bytes wait until it is.
                if !link.reads() {
                    return;
                }
                Ready::Readable(id)
            }
            Some(Source::Output(id)) => {
                let output = self.links.get_mut(&id).and_then(|link| link.socket.output());
                drop(output.map(|output| output.complete(result)));
                Ready::Writable(id)
            }
            Some(Source::Listener(at)) => {
                let Some(listener) = self.listeners.get_mut(at) else { return };
                listener.incoming.complete(result);
                Ready::Listener(at)
            }
            Some(Source::Stdin) => {
                let Some(stdin) = &mut self.stdin else { return };
                stdin.0.complete(result);
                Ready::Stdin
            }
            Some(Source::Stderr) => {
                self.log.stderr.complete(result);
                let handle = self.log.stderr.writer.handle();
                self.waiter.set.join(handle);
                return;
            }
            None => return,
        };
        self.waiter.ready.push(ready);
    }
}
