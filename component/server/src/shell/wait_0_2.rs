//! The place where the server waits.

use alloc::vec::Vec;

use super::Shell;
use crate::clock::now;
use crate::io::{NANOSECONDS, Ready};
use crate::link::Link;
use crate::wasi_0_2::bindings::wasi::clocks::monotonic_clock;
use crate::wasi_0_2::bindings::wasi::io::poll::{Pollable, poll};

impl Shell {
    /// Waits until something is ready.
    pub(super) fn wait(&mut self) -> Vec<Ready> {
        let now = now();
        let mut sources = Vec::with_capacity(self.links.len().saturating_add(8));
        let mut pollables = Vec::with_capacity(sources.capacity());
        let mut add = |source: Ready, pollable| {
            sources.push(source);
            pollables.push(pollable);
        };
        for (id, link) in &self.links {
            if let Some(readable) = readable(link) {
                add(Ready::Readable(*id), readable);
            }
            if let Some(writable) = &link.socket.writable {
                add(Ready::Writable(*id), writable);
            }
        }
        for draining in &self.draining {
            add(Ready::Draining, &draining.writable);
        }
        if self.accept_from <= now {
            for (at, listener) in self.listeners.iter().enumerate() {
                add(Ready::Listener(at), &listener.acceptable);
            }
        }
        if let Some(stdin) = &self.stdin {
            add(Ready::Stdin, &stdin.readable);
        }
        let timer = self.next_wake(now).map(|at| {
            monotonic_clock::subscribe_duration(at.saturating_sub(now).saturating_mul(NANOSECONDS))
        });
        if let Some(timer) = &timer {
            add(Ready::Time, timer);
        }
        if pollables.is_empty() {
            // `poll` traps on an empty list.
            return Vec::new();
        }
        poll(&pollables)
            .into_iter()
            .filter_map(|at| sources.get(usize::try_from(at).ok()?).copied())
            .collect()
    }

    /// What a connection waits for is looked at anew in each turn.
    pub(super) fn link_changed(&mut self, _: u64) {}

    /// Waits for one that is ready, which makes the host renew the task's budget of operations.
    pub(super) fn begin_anew(&self, ready: &[Ready]) {
        let pollable = ready.iter().find_map(|source| match source {
            Ready::Readable(id) => self.links.get(id).and_then(readable),
            Ready::Writable(id) => self.links.get(id).and_then(|link| link.socket.writable.as_ref()),
            _ => None,
        });
        if let Some(pollable) = pollable {
            pollable.block();
        }
    }
}

fn readable(link: &Link) -> Option<&Pollable> {
    link.reads().then_some(&link.socket.readable)
}
