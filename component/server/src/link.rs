//! One accepted connection: its streams, what waits to be written, and how it ends.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket_shell::{Held, Payload};

use crate::arguments::ShellOptions;
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::wasi::sockets::tcp::{ShutdownType, TcpSocket};
use crate::listener::{Accepted, MORE_SEND_BUFFER};
use crate::queue::Queue;
use crate::wit::{Disposition, Loss};

/// What one read asks for: hosts make room for all of it. It grows where peers send much.
const MIN_READ: u64 = 4 * 1024;
const MAX_READ: u64 = 64 * 1024;

/// How soon to look again whether the last bytes are written, where no pollable tells.
const RECHECK: u64 = 10;

/// A connection that is read from and written to.
pub(crate) struct Link {
    // Children before their parents: fields are dropped in this order.
    readable: Pollable,
    writable: Option<Pollable>,
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
    /// The peer's address, or what a trusted proxy calls it.
    pub(crate) peer: String,
    /// The engine is done with it and the application was told; what waits is still written.
    pub(crate) closed: bool,
    /// There was no room for it: the engine has never heard of it.
    pub(crate) refused: bool,
    /// The peer has sent something.
    heard: bool,
    queue: Queue,
    then: Disposition,
    /// Its input waits in the engine.
    pub(crate) paused: bool,
    reading: Reading,
    read_size: u64,
    max_read: u64,
    /// The most that `check-write` has said: nothing waits inside the host then.
    idle_room: u64,
    fin_sent: bool,
    /// When waiting output has to have made progress, and behind our FIN when the peer's has to have come.
    deadline: Option<u64>,
    /// When to look after it even if nothing happens.
    pub(crate) wake: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    ToEngine,
    /// The engine is done with the connection; what still comes is read so that the kernel sends no reset.
    Discarding,
    Ended,
}

/// What a read gave.
pub(crate) enum ReadOutcome {
    Bytes(Vec<u8>),
    Nothing,
    Ended,
    Lost,
}

/// What is to become of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Keep,
    /// It is to be closed.
    Done,
    /// It is to be closed, and the engine is to be told.
    Lost(Loss),
}

/// The limit for waiting output was reached.
pub(crate) struct Overflow;

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
            queue: Queue::new(options.queue, held),
            then: Disposition::Keep,
            paused: false,
            reading: Reading::ToEngine,
            read_size: MIN_READ,
            // An echo of what is read below half of the queue's limit stays below the limit.
            max_read: (options.queue.per_connection as u64 / 4).clamp(MIN_READ, MAX_READ),
            fin_sent: false,
            deadline: None,
            wake: None,
        }
    }

    /// A connection that is told something else than the engine would, and is ended.
    pub(crate) fn refuse(
        accepted: Accepted,
        peer: String,
        response: Vec<u8>,
        options: &ShellOptions,
        held: &Rc<Held>,
    ) -> Self {
        let mut link = Self::new(accepted, peer, options, held);
        (link.closed, link.refused) = (true, true);
        (link.reading, link.then) = (Reading::Discarding, Disposition::Finish);
        link.queue.push(&Payload::new(response, held));
        link
    }

    /// What to wait for before it is read from, if it is to be read from.
    pub(crate) fn readable(&self) -> Option<&Pollable> {
        let waits = !self.queue.is_empty();
        let held_up = (waits && self.queue.is_congested())
            || (self.then == Disposition::Finish && !self.fin_sent && !self.refused)
            || self.reading == Reading::Ended
            || self.paused;
        (!held_up).then_some(&self.readable)
    }

    /// What to wait for before it is written to, if there is something to write.
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
                match self.reading {
                    Reading::ToEngine => ReadOutcome::Bytes(bytes),
                    Reading::Discarding | Reading::Ended => ReadOutcome::Nothing,
                }
            }
            Err(StreamError::Closed) => match core::mem::replace(&mut self.reading, Reading::Ended) {
                Reading::ToEngine => ReadOutcome::Ended,
                Reading::Discarding | Reading::Ended => ReadOutcome::Nothing,
            },
            Err(StreamError::LastOperationFailed(_)) => {
                self.reading = Reading::Ended;
                ReadOutcome::Lost
            }
        }
    }

    /// Adds bytes, and what comes after them.
    pub(crate) fn push(&mut self, payload: &Rc<Payload>, then: Disposition) -> Result<(), Overflow> {
        if self.then == Disposition::Abort {
            // Nothing may be written behind what was dropped.
            return Ok(());
        }
        let ends = matches!(then, Disposition::HalfClose | Disposition::Finish | Disposition::Abort);
        if self.queue.is_over(payload, ends) {
            return Err(Overflow);
        }
        self.queue.push(payload);
        if ends {
            self.then = then;
        }
        Ok(())
    }

    /// Drops what waits and has the connection closed at once.
    pub(crate) fn abort(&mut self) {
        self.queue.clear();
        self.then = Disposition::Abort;
    }

    /// The part of the memory of waiting output that falls to it.
    pub(crate) fn share(&self) -> usize {
        self.queue.share()
    }

    /// Writes what can be written now, and goes on to the end if it is to end.
    pub(crate) fn drive(&mut self, now: u64, options: &ShellOptions) -> Outcome {
        self.wake = None;
        if self.then == Disposition::Abort {
            return Outcome::Done;
        }
        let Ok(progress) = self.write() else {
            return Outcome::Lost(Loss::Reset);
        };
        if !self.queue.is_empty() {
            self.wait_until_writable();
            return self.wait(progress, now, options);
        }
        if self.then == Disposition::Finish {
            return self.finish(progress, now, options);
        }
        if self.then == Disposition::HalfClose && !self.half_close() {
            self.wake = Some(now.saturating_add(RECHECK));
            return Outcome::Keep;
        }
        (self.writable, self.deadline) = (None, None);
        Outcome::Keep
    }

    /// Our FIN, once the host has written what it holds. Whether it is sent.
    fn half_close(&mut self) -> bool {
        if !self.fin_sent && self.output.check_write().is_ok_and(|room| room >= self.idle_room) {
            let _ = self.socket.shutdown(ShutdownType::Send);
            self.fin_sent = true;
        }
        self.fin_sent
    }

    /// Closes it. Where a host does not let go of what it was handed before it is written, dropping the stream
    /// would wait for that; so the kernel is made to take it, and what is left is waited for with all the rest.
    pub(crate) fn close(self) -> Option<Closing> {
        if self.output.check_write().is_ok_and(|room| room < self.idle_room) {
            let _ = self.socket.set_send_buffer_size(MORE_SEND_BUFFER);
            let _ = self.socket.shutdown(ShutdownType::Both);
        }
        if !matches!(self.output.check_write(), Ok(0)) {
            return None;
        }
        let Self { readable, writable, input, output, socket, .. } = self;
        // Before their parents go.
        drop((readable, writable));
        drop(input);
        Some(Closing { writable: output.subscribe(), output, _socket: socket })
    }

    /// Whether anything was written.
    fn write(&mut self) -> Result<bool, StreamError> {
        let mut progress = false;
        while !self.queue.is_empty() {
            let room = self.output.check_write()?;
            if room == 0 {
                break;
            }
            self.idle_room = self.idle_room.max(room);
            self.queue.write(room, |bytes| self.output.write(bytes))?;
            progress = true;
        }
        Ok(progress)
    }

    /// All is queued that will be: our FIN once it is written, then what still comes until the peer's FIN.
    fn finish(&mut self, progress: bool, now: u64, options: &ShellOptions) -> Outcome {
        if self.fin_sent {
            if self.reading == Reading::ToEngine {
                // It was half-closed before.
                self.linger(now, options);
            }
            self.wake = self.deadline;
            let over = self.reading == Reading::Ended || self.deadline.is_none_or(|at| at <= now);
            return if over { Outcome::Done } else { Outcome::Keep };
        }
        match self.output.check_write() {
            Err(_) => Outcome::Done,
            Ok(room) if room >= self.idle_room && self.waits_for_request(now, options) => Outcome::Keep,
            Ok(room) if room >= self.idle_room => {
                self.half_close();
                self.linger(now, options);
                // Where there is no half-close this is the end.
                self.read();
                self.finish(progress, now, options)
            }
            Ok(room) => {
                if room == 0 {
                    self.wait_until_writable();
                }
                let outcome = self.wait(progress, now, options);
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
        if self.reading == Reading::ToEngine {
            self.reading = Reading::Discarding;
        }
        self.deadline = Some(now.saturating_add(options.linger_timeout));
    }

    /// Who is refused without being heard has not asked yet; hosts without a half-close would destroy the answer.
    fn waits_for_request(&mut self, now: u64, options: &ShellOptions) -> bool {
        if !self.refused || self.heard || self.reading == Reading::Ended {
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

    /// Output waits: the peer is slow if it does so for too long.
    fn wait(&mut self, progress: bool, now: u64, options: &ShellOptions) -> Outcome {
        let deadline = self.deadline.filter(|_| !progress);
        let deadline = deadline.unwrap_or_else(|| now.saturating_add(options.write_timeout));
        (self.deadline, self.wake) = (Some(deadline), Some(deadline));
        if deadline <= now { Outcome::Lost(Loss::SlowReader) } else { Outcome::Keep }
    }
}

/// A closed connection of which the host still holds bytes that the peer does not read.
pub(crate) struct Closing {
    pub(crate) writable: Pollable,
    output: OutputStream,
    _socket: TcpSocket,
}

impl Closing {
    /// Whether it can be dropped without waiting.
    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.output.check_write(), Ok(0))
    }
}
