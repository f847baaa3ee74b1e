//! The log's output: lines go through a bounded queue to a separate thread, so that a stalled or failing standard
//! error costs only lines.
//!
//! `tracing-appender` has such a queue, too, but does not count unwritten lines, and its guard prints to standard
//! output, which panics or blocks if that is gone as well.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind, Write, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use legacy_websocket_shell::{LogCategory, LogPermit, LogRateLimiter};
use tracing::{Level, enabled, warn};

/// Maximum bytes in the queue, in addition to those being written. Lines beyond it are dropped.
const MAX_QUEUE_BYTES: usize = 1 << 20;

/// How long program exit waits for unwritten lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// How soon to retry when a nonblocking descriptor has no room.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// The program's log, once started.
pub(super) static LOG: OnceLock<LineQueue> = OnceLock::new();

/// The origin of the rate limiters' clock.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// A worker is a thread.
    static LIMITER: RefCell<LogRateLimiter> = RefCell::default();
}

/// Whether this worker may write one more line that peers can cause. With `--debug` it always may, because that
/// requests every line.
pub(crate) fn permit(category: LogCategory) -> Option<LogPermit> {
    if enabled!(Level::DEBUG) {
        return Some(LogPermit { unlogged: None });
    }
    let now = u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX);
    LIMITER.with_borrow_mut(|limiter| limiter.permit(category, now))
}

/// Waits briefly until everything logged so far has been written.
pub(crate) fn flush() {
    if let Some(queue) = LOG.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

/// Log lines dropped: standard error was not being read, full, or closed.
pub(crate) fn lost_lines() -> u64 {
    LOG.get().map_or(0, |queue| queue.0.lost.load(Ordering::Relaxed))
}

/// Prints to standard output, whatever its state, without blocking the caller.
pub(crate) fn print(text: String) {
    let Ok(out) = stdout().as_fd().try_clone_to_owned() else {
        return;
    };
    // Standard output may be closed on purpose.
    let print = move || {
        write(&mut File::from(out), text.as_bytes());
    };
    let _ = thread::Builder::new().name("stdout".into()).spawn(print);
}

/// Lines on their way to the writer thread. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when lines are pending, and when all are written.
    changed: Condvar,
    /// Lines dropped.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread has taken lines that it has not finished writing.
    writing: bool,
}

impl LineQueue {
    pub(super) fn start(mut to: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self(Arc::default());
        let theirs = queue.clone();
        thread::Builder::new().name("log".into()).spawn(move || theirs.run(&mut to))?;
        Ok(queue)
    }

    /// Writes incoming lines, forever.
    fn run(&self, to: &mut impl Write) {
        // How many dropped lines the log has reported, and whether the last line written is incomplete.
        let (mut told, mut torn) = (0, false);
        loop {
            let lines = self.take();
            torn = torn && !write(to, b"\n").is_empty();
            let unwritten = if torn { &lines } else { write(to, &lines) };
            let written = lines.len() - unwritten.len();
            torn |= written > 0 && lines[written - 1] != b'\n';
            self.lose(unwritten);
            let lost = self.0.lost.load(Ordering::Relaxed);
            if unwritten.is_empty() && lost > told {
                warn!(lines = lost - told, total = lost, "lines of the log were lost");
                told = lost;
            }
            self.state().writing = false;
            self.0.changed.notify_all();
        }
    }

    /// Waits for pending lines.
    fn take(&self) -> Vec<u8> {
        let waits = |state: &mut State| state.waiting.is_empty();
        let state = self.0.changed.wait_while(self.state(), waits);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::take(&mut state.waiting)
    }

    fn flush(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        let mut state = self.state();
        while state.writing || !state.waiting.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lose(&self, text: &[u8]) {
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.0.lost.fetch_add(lines, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LineQueue {
    /// Queues all of it, or drops it.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.waiting.len() + lines.len() > MAX_QUEUE_BYTES {
            drop(state);
            self.lose(lines);
        } else {
            state.waiting.extend_from_slice(lines);
            drop(state);
            self.0.changed.notify_all();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until done or writing fails, and returns the rest.
fn write<'b>(to: &mut impl Write, mut bytes: &'b [u8]) -> &'b [u8] {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => break,
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            Err(_) => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A writer whose writes follow a script; each waits for its instruction.
    struct Scripted {
        script: Receiver<io::Result<usize>>,
        written: Sender<String>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Blocks forever at the script's end.
            let count = self
                .script
                .recv()
                .unwrap_or_else(|_| {
                    loop {
                        thread::park()
                    }
                })?
                .min(bytes.len());
            let _ = self.written.send(String::from_utf8(bytes[..count].into()).unwrap());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (LineQueue, Sender<io::Result<usize>>, Receiver<String>) {
        let ((next, script), (sender, written)) = (channel(), channel());
        (LineQueue::start(Scripted { script, written: sender }).unwrap(), next, written)
    }

    fn lost(queue: &LineQueue) -> u64 {
        queue.0.lost.load(Ordering::Relaxed)
    }

    #[test]
    fn unwritten_lines_are_counted_and_later_lines_start_fresh() {
        let (mut queue, next, written) = scripted();
        next.send(Ok(3)).unwrap();
        next.send(Err(ErrorKind::StorageFull.into())).unwrap();
        queue.write_all(b"first\n").unwrap();
        queue.flush(Duration::from_secs(3600));
        assert_eq!(written.recv().unwrap(), "fir");
        assert_eq!(lost(&queue), 1);
        for _ in 0..2 {
            next.send(Ok(100)).unwrap();
        }
        queue.write_all(b"second\n").unwrap();
        assert_eq!([written.recv().unwrap(), written.recv().unwrap()], ["\n", "second\n"]);
        for error in [ErrorKind::BrokenPipe, ErrorKind::Other] {
            next.send(Err(error.into())).unwrap();
            queue.write_all(b"third\nfourth\n").unwrap();
            queue.flush(Duration::from_secs(3600));
        }
        assert_eq!(lost(&queue), 5);
    }

    #[test]
    fn interrupted_and_would_block_writes_are_retried() {
        let (mut queue, next, written) = scripted();
        next.send(Err(ErrorKind::Interrupted.into())).unwrap();
        next.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        next.send(Ok(100)).unwrap();
        queue.write_all(b"line\n").unwrap();
        assert_eq!(written.recv().unwrap(), "line\n");
        assert_eq!(lost(&queue), 0);
    }

    #[test]
    fn a_blocked_writer_bounds_the_queue_and_blocks_no_caller() {
        let (mut queue, next, _written) = scripted();
        let line = [&[b'a'; 1023][..], b"\n"].concat();
        for _ in 0..3 * MAX_QUEUE_BYTES / line.len() {
            queue.write_all(&line).unwrap();
        }
        queue.flush(Duration::ZERO);
        // The queue, and at most as much again in the thread's hands.
        let thousands = lost(&queue) / 1000;
        assert!((1..=2).contains(&thousands), "{}", lost(&queue));
        drop(next);
    }
}
