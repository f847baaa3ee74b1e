//! One accepted connection: its streams, its pending output, and how it ends.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket::step::{Disposition, Loss};
use legacy_websocket_shell::{
    Action, Closing, Fin, Held, Overflow, Payload, QueueLimits, Reading, Refusal, WriteAccount, WriteQueue,
};

use crate::arguments::ShellOptions;
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
use crate::listener::{Accepted, MORE_SEND_BUFFER};

/// The maximum passed to the host in one write. The host may hold it, unseen, until the peer takes it.
const MAX_WRITE: u64 = 16 * 1024;

/// The size of one read, in bytes: hosts allocate all of it. It grows for peers that send much.
const MIN_READ: u64 = 4 * 1024;
const MAX_READ: u64 = 64 * 1024;

/// How often to check, in milliseconds, whether the last bytes have been written if no pollable reports it.
const RECHECK: u64 = 10;

/// A connection being read and written.
pub(crate) struct Link {
    // Children before parents: fields are dropped in this order.
    readable: Pollable,
    writable: Option<Pollable>,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
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
    read_size: u64,
    max_read: u64,
    /// The largest value `check-write` has returned: at that value the host holds nothing.
    idle_room: u64,
    /// When pending output must have made progress; after our FIN, when the peer's must have arrived.
    deadline: Option<u64>,
    /// When to check it even if nothing happens.
    pub(crate) wake: Option<u64>,
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
    pub(crate) fn new(accepted: Accepted, peer: String, options: &ShellOptions, held: &Rc<Held>) -> Self {
        let Accepted { socket, input, output } = accepted;
        Self {
            readable: input.subscribe(),
            writable: None,
            idle_room: 1,
            input,
            output,
            socket,
            peer,
            closed: false,
            refused: false,
            heard: false,
            queue: WriteQueue::new(Account { limits: options.queue, held: Rc::clone(held) }),
            closing: Closing::default(),
            paused: false,
            read_size: MIN_READ,
            // Reading stops at half of the queue's limit, so an echo of one read stays below the limit.
            max_read: (options.queue.per_connection as u64 / 4).clamp(MIN_READ, MAX_READ),
            deadline: None,
            wake: None,
        }
    }

    /// A connection that only gets a refusal.
    pub(crate) fn refuse(
        accepted: Accepted,
        peer: String,
        why: Refusal,
        options: &ShellOptions,
        held: &Rc<Held>,
    ) -> Self {
        let mut link = Self::new(accepted, peer, options, held);
        (link.closed, link.refused) = (true, true);
        link.closing.linger();
        // Cannot overflow: it is the first and fits.
        let _ = link.queue.push(&Payload::new(why.response(), held), Disposition::Finish);
        link
    }

    /// What to wait for before reading, if it should be read.
    pub(crate) fn readable(&self) -> Option<&Pollable> {
        let reads = match self.action() {
            Action::Read | Action::Linger => true,
            // A refused peer is answered once it has sent something.
            Action::Write => self.refused,
            Action::SendFin => self.refused || self.queue.then() == Disposition::HalfClose,
            Action::Wait | Action::Close => false,
        };
        (reads && !self.paused && self.closing.reading != Reading::Ended).then_some(&self.readable)
    }

    /// What to wait for before writing, if there is output.
    pub(crate) fn writable(&self) -> Option<&Pollable> {
        self.writable.as_ref()
    }

    pub(crate) fn read(&mut self) -> ReadOutcome {
        match self.input.read(self.read_size) {
            Ok(bytes) if bytes.is_empty() => ReadOutcome::Nothing,
            Ok(bytes) => {
                self.heard = true;
                let full = bytes.len() as u64 >= self.read_size;
                self.read_size = if full { (self.read_size * 2).min(self.max_read) } else { MIN_READ };
                match self.closing.reading {
                    Reading::ToEngine => ReadOutcome::Bytes(bytes),
                    Reading::Discarding | Reading::Ended => ReadOutcome::Nothing,
                }
            }
            Err(StreamError::Closed) if self.closing.receive_eof() => ReadOutcome::Ended,
            Err(StreamError::Closed) => ReadOutcome::Nothing,
            Err(StreamError::LastOperationFailed(_)) => {
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
        if self.write().is_err() {
            return Outcome::Lost(Loss::Reset);
        }
        if !self.queue.is_empty() {
            self.wait_until_writable();
            return self.wait(now, options);
        }
        if self.queue.then() == Disposition::Finish {
            return self.finish(now, options);
        }
        if self.action() == Action::SendFin && !self.half_close() {
            self.wake = Some(now.saturating_add(RECHECK));
            return Outcome::Keep;
        }
        (self.writable, self.deadline) = (None, None);
        Outcome::Keep
    }

    fn action(&self) -> Action {
        self.closing.action(self.queue.then(), self.queue.is_empty(), self.queue.is_congested())
    }

    /// Sends our FIN once the host has written what it holds. Returns whether it was sent.
    fn half_close(&mut self) -> bool {
        if self.closing.fin != Fin::Sent && self.output.check_write().is_ok_and(|room| room >= self.idle_room)
        {
            let _ = self.socket.shutdown(ShutdownType::Send);
            self.closing.fin = Fin::Sent;
        }
        self.closing.fin == Fin::Sent
    }

    /// Closes it. Dropping a stream waits for output that the host still holds, so the kernel is made to take it, and
    /// the main loop waits for the rest together with everything else.
    pub(crate) fn close(self) -> Option<Draining> {
        if self.output.check_write().is_ok_and(|room| room < self.idle_room) {
            let _ = self.socket.set_send_buffer_size(MORE_SEND_BUFFER);
            let _ = self.socket.shutdown(ShutdownType::Both);
        }
        if !matches!(self.output.check_write(), Ok(0)) {
            return None;
        }
        let Self { readable, writable, input, output, socket, .. } = self;
        // Dropped before their parents.
        drop((readable, writable));
        drop(input);
        Some(Draining { writable: output.subscribe(), output, _socket: socket })
    }

    fn write(&mut self) -> Result<(), StreamError> {
        while !self.queue.is_empty() {
            let room = self.output.check_write()?;
            if room == 0 {
                break;
            }
            self.idle_room = self.idle_room.max(room);
            let front = self.queue.front(usize::try_from(room.min(MAX_WRITE)).unwrap_or(usize::MAX));
            self.output.write(&front)?;
            let written = front.len();
            self.queue.advance(written);
        }
        self.queue.settle();
        Ok(())
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
        match self.output.check_write() {
            Err(_) => Outcome::Done,
            Ok(room) if room >= self.idle_room && self.waits_for_request(now, options) => Outcome::Keep,
            Ok(room) if room >= self.idle_room => {
                self.half_close();
                self.linger(now, options);
                // Without half-close, this is the end.
                self.read();
                self.finish(now, options)
            }
            Ok(room) => {
                if room == 0 {
                    self.wait_until_writable();
                }
                let outcome = self.wait(now, options);
                if room > 0 {
                    self.writable = None;
                    self.wake = Some(now.saturating_add(RECHECK));
                }
                outcome
            }
        }
    }

    fn linger(&mut self, now: u64, options: &ShellOptions) {
        self.writable = None;
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

    fn wait_until_writable(&mut self) {
        let output = &self.output;
        self.writable.get_or_insert_with(|| output.subscribe());
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

/// A closed connection; the host still holds bytes that the peer does not read.
pub(crate) struct Draining {
    pub(crate) writable: Pollable,
    output: OutputStream,
    _socket: TcpSocket,
}

impl Draining {
    /// Whether dropping it would not block.
    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.output.check_write(), Ok(0))
    }
}
