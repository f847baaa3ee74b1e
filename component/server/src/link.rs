//! One accepted connection: its streams, its pending output, and how it ends.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket::step::{Disposition, Loss};
use legacy_websocket_shell::{
    Action, Closing, Fin, Held, Overflow, Payload, QueueLimits, Reading, Refusal, WriteAccount, WriteQueue,
};

use crate::arguments::ShellOptions;
use crate::io::{Flush, Gone, Received};
use crate::system::{Draining, Socket};

/// The maximum read from one connection in a turn, in bytes.
const MAX_READ: usize = 64 * 1024;
const MIN_MAX_READ: usize = 4 * 1024;

/// How often to check, in milliseconds, whether the last bytes have been written if no pollable reports it.
const RECHECK: u64 = 10;

/// A connection being read and written.
pub(crate) struct Link {
    pub(crate) socket: Socket,
    /// The peer's address, or the one reported by a trusted proxy.
    pub(crate) peer: String,
    /// The engine has ended it and the application has been told; pending output is still written.
    pub(crate) closed: bool,
    /// Being refused: the engine does not know of it.
    pub(crate) refused: bool,
    /// Whether the peer has sent anything.
    heard: bool,
    queue: WriteQueue<Account>,
    closing: Closing,
    /// Its input waits in the engine; do not read.
    pub(crate) paused: bool,
    max_read: usize,
    /// When pending output must have made progress; after our FIN, when the peer's must have arrived.
    deadline: Option<u64>,
    /// When to check it even if nothing happens.
    pub(crate) wake: Option<u64>,
    /// When the main loop will, or before.
    pub(crate) scheduled: Option<u64>,
}

/// The limits of one queue, and the memory of all queues.
struct Account {
    limits: QueueLimits,
    held: Rc<Held>,
}

impl WriteAccount for Account {
    fn limits(&self) -> QueueLimits {
        self.limits
    }

    fn held(&self) -> &Held {
        &self.held
    }
}

/// The result of a read.
pub(crate) enum ReadOutcome {
    Bytes(Vec<u8>),
    Nothing,
    Ended,
    Lost,
}

/// The next state of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Keep,
    /// Close it.
    Done,
    /// Close it, and tell the engine.
    Lost(Loss),
}

impl Link {
    pub(crate) fn new(socket: Socket, peer: String, options: &ShellOptions, held: &Rc<Held>) -> Self {
        Self {
            socket,
            peer,
            closed: false,
            refused: false,
            heard: false,
            queue: WriteQueue::new(Account { limits: options.queue, held: Rc::clone(held) }),
            closing: Closing::default(),
            paused: false,
            // Reading stops at half of the queue's limit, so an echo of one read stays below the limit.
            max_read: (options.queue.per_connection / 4).clamp(MIN_MAX_READ, MAX_READ),
            deadline: None,
            wake: None,
            scheduled: None,
        }
    }

    /// A connection that only gets a refusal.
    pub(crate) fn refuse(
        socket: Socket,
        peer: String,
        why: Refusal,
        options: &ShellOptions,
        held: &Rc<Held>,
    ) -> Self {
        let mut link = Self::new(socket, peer, options, held);
        (link.closed, link.refused) = (true, true);
        link.closing.linger();
        // Cannot overflow: it is the first and fits.
        let _ = link.queue.push(&Payload::new(why.response(), held), Disposition::Finish);
        link
    }

    /// Whether to read from it.
    pub(crate) fn reads(&self) -> bool {
        let reads = match self.action() {
            Action::Read | Action::Linger => true,
            // A refused peer is answered once it has sent something.
            Action::Write => self.refused,
            Action::SendFin => self.refused || self.queue.then() == Disposition::HalfClose,
            Action::Wait | Action::Close => false,
        };
        reads && !self.paused && self.closing.reading != Reading::Ended
    }

    pub(crate) fn read(&mut self) -> ReadOutcome {
        match self.socket.read(self.max_read) {
            Received::Nothing => ReadOutcome::Nothing,
            Received::Bytes(bytes) => {
                self.heard = true;
                match self.closing.reading {
                    Reading::ToEngine => ReadOutcome::Bytes(bytes),
                    Reading::Discarding | Reading::Ended => ReadOutcome::Nothing,
                }
            }
            Received::End if self.closing.receive_eof() => ReadOutcome::Ended,
            Received::End => ReadOutcome::Nothing,
            Received::Reset => {
                let _ = self.closing.receive_eof();
                ReadOutcome::Lost
            }
        }
    }

    /// Queues bytes, and what follows them.
    pub(crate) fn push(&mut self, payload: &Rc<Payload>, then: Disposition) -> Result<(), Overflow> {
        self.queue.push(payload, then)
    }

    /// Drops pending output and closes the connection at once.
    pub(crate) fn abort(&mut self) {
        self.queue.abort();
    }

    /// Its share of the memory of pending output.
    pub(crate) fn share(&self) -> usize {
        self.queue.share()
    }

    /// Writes what can be written now, and proceeds to the end if one is due.
    pub(crate) fn drive(&mut self, now: u64, options: &ShellOptions) -> Outcome {
        self.wake = None;
        if self.queue.then() == Disposition::Abort {
            return Outcome::Done;
        }
        if self.socket.write(&mut self.queue).is_err() {
            return Outcome::Lost(Loss::Reset);
        }
        self.queue.settle();
        if !self.queue.is_empty() {
            self.socket.await_writable(true);
            return self.wait(now, options);
        }
        if self.queue.then() == Disposition::Finish {
            return self.finish(now, options);
        }
        if self.action() == Action::SendFin && !self.half_close() {
            self.wake = Some(now.saturating_add(RECHECK));
            return Outcome::Keep;
        }
        self.socket.await_writable(false);
        self.deadline = None;
        Outcome::Keep
    }

    fn action(&self) -> Action {
        self.closing.action(self.queue.then(), self.queue.is_empty(), self.queue.is_congested())
    }

    /// Sends our FIN once the host has written what it holds. Returns whether it was sent.
    fn half_close(&mut self) -> bool {
        if self.closing.fin != Fin::Sent && matches!(self.socket.flush(), Ok(Flush::Done)) {
            self.socket.half_close();
            self.closing.fin = Fin::Sent;
        }
        self.closing.fin == Fin::Sent
    }

    /// Closes it. Returns what the host still holds.
    pub(crate) fn close(self) -> Option<Draining> {
        self.socket.close()
    }

    /// All output is queued: sends our FIN once it is written, then reads until the peer's FIN.
    fn finish(&mut self, now: u64, options: &ShellOptions) -> Outcome {
        if self.closing.fin == Fin::Sent {
            if self.closing.reading == Reading::ToEngine {
                // Half-closed before.
                self.linger(now, options);
            }
            self.wake = self.deadline;
            let is_over = self.action() == Action::Close || self.deadline.is_none_or(|at| at <= now);
            return if is_over { Outcome::Done } else { Outcome::Keep };
        }
        match self.socket.flush() {
            Err(Gone) => Outcome::Done,
            Ok(Flush::Done) if self.waits_for_request(now, options) => Outcome::Keep,
            Ok(Flush::Done) => {
                self.half_close();
                self.linger(now, options);
                // Without half-close, this is the end.
                self.read();
                self.finish(now, options)
            }
            Ok(Flush::Blocked) => {
                self.socket.await_writable(true);
                self.wait(now, options)
            }
            Ok(Flush::Soon) => {
                let outcome = self.wait(now, options);
                self.socket.await_writable(false);
                self.wake = Some(now.saturating_add(RECHECK));
                outcome
            }
        }
    }

    fn linger(&mut self, now: u64, options: &ShellOptions) {
        self.socket.await_writable(false);
        self.closing.linger();
        self.deadline = Some(now.saturating_add(options.linger_timeout));
    }

    /// A refused peer that has sent nothing has not asked yet; on hosts without half-close, closing now would destroy
    /// the answer.
    fn waits_for_request(&mut self, now: u64, options: &ShellOptions) -> bool {
        if !self.refused || self.heard || self.closing.reading == Reading::Ended {
            return false;
        }
        let deadline = *self.deadline.get_or_insert(now.saturating_add(options.linger_timeout));
        self.wake = Some(deadline);
        now < deadline
    }

    /// Output is pending: the peer is slow if that lasts too long.
    fn wait(&mut self, now: u64, options: &ShellOptions) -> Outcome {
        let made_progress = self.queue.take_progress();
        let deadline = self.deadline.filter(|_| !made_progress);
        let deadline = deadline.unwrap_or_else(|| now.saturating_add(options.write_timeout));
        (self.deadline, self.wake) = (Some(deadline), Some(deadline));
        if deadline <= now { Outcome::Lost(Loss::SlowReader) } else { Outcome::Keep }
    }
}
