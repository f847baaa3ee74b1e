//! The place where the server waits.

use alloc::vec::Vec;

use super::Shell;
use crate::clock::now;
use crate::io::Ready;
use crate::wasi_0_3::{Event, Source, yield_to_host};

/// How often the host is asked for more before a turn. wasmtime tells one event at a time.
const MAX_YIELDS: usize = 64;

impl Shell {
    /// Waits until something is ready.
    pub(super) fn wait(&mut self) -> Vec<Ready> {
        self.start_operations();
        if !self.waiter.is_ready() {
            let event = self.waiter.wait();
            self.receive(&event);
        }
        for _ in 0..MAX_YIELDS {
            yield_to_host();
            let Some(event) = self.waiter.poll() else { break };
            self.receive(&event);
        }
        self.waiter.take_ready()
    }

    /// What a connection waits for may have changed.
    pub(super) fn link_changed(&mut self, id: u64) {
        self.waiter.note_change(id);
    }

    /// In WASI 0.3 reading and writing what is ready is not limited between two waits.
    pub(super) fn begin_anew(&self, _: &[Ready]) {}

    /// Starts every operation that should go on but does not.
    fn start_operations(&mut self) {
        for id in self.waiter.take_changed() {
            if let Some(link) = self.links.get_mut(&id) {
                let reads = link.reads();
                link.socket.start(id, reads, &mut self.waiter);
            }
        }
        self.log.stderr.start(&mut self.waiter);
        let now = now();
        if self.accept_from <= now {
            for (at, listener) in self.listeners.iter_mut().enumerate() {
                listener.start(at, &mut self.waiter);
            }
        }
        if let Some(stdin) = &mut self.stdin {
            stdin.start(&mut self.waiter);
        }
        let wake = self.next_wake(now);
        self.waiter.set_timer(wake);
    }

    /// Passes on an event.
    fn receive(&mut self, event: &Event) {
        match self.waiter.source(event) {
            Some(Source::Input(id)) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.socket.complete_read(event);
                // If it is not to be read from now, its bytes wait until it is.
                if link.reads() {
                    self.waiter.note_ready(Ready::Readable(id));
                }
            }
            Some(Source::Output(id)) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.socket.complete_write(event);
                    self.waiter.note_ready(Ready::Writable(id));
                }
            }
            Some(Source::Listener(at)) => {
                if let Some(listener) = self.listeners.get_mut(at) {
                    listener.complete(event);
                    self.waiter.note_ready(Ready::Listener(at));
                }
            }
            Some(Source::Stdin) => {
                if let Some(stdin) = &mut self.stdin {
                    stdin.complete(event);
                    self.waiter.note_ready(Ready::Stdin);
                }
            }
            Some(Source::Stderr) => self.log.stderr.complete(event, &self.waiter),
            #[cfg(feature = "http")]
            Some(Source::Exchange(id, part)) => {
                self.site.complete(id, part, event, &mut self.waiter);
                self.waiter.note_ready(Ready::Exchange(id));
            }
            #[cfg(feature = "http")]
            Some(Source::Written) => {}
            None => {}
        }
    }
}
