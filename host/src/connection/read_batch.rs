//! Reads of many connections, batched for one turn.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use legacy_websocket::step::Read;
use tokio::io::ReadBuf;

use crate::connection::connection_io::ConnectionIo;

/// The maximum size of one read: a 64 KiB message with its frame. More would delay other connections too long.
pub(crate) const READ_BYTES: usize = 66 * 1024;

/// The maximum size of one turn.
const TURN_BYTES: usize = 4 * READ_BYTES;

/// Shared by all connections of a thread, so that an idle connection holds no buffer.
#[derive(Debug)]
pub(crate) struct ReadBatch {
    buffer: Box<[u8]>,
    reads: Vec<Read>,
    filled: usize,
    /// Notified when the batch is no longer empty.
    parked: Option<Waker>,
}

impl ReadBatch {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; TURN_BYTES].into(), reads: Vec::new(), filled: 0, parked: None }
    }

    /// Whether there is no room for another read.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() - self.filled < READ_BYTES
    }

    /// Reads, and keeps the bytes if `keep` names a connection.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &ConnectionIo,
        keep: Option<u64>,
    ) -> Poll<io::Result<usize>> {
        let end = self.buffer.len().min(self.filled + READ_BYTES);
        let mut buffer = ReadBuf::new(&mut self.buffer[self.filled..end]);
        ready!(from.poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if let Some(connection) = keep.filter(|_| read > 0) {
            self.filled += read;
            // Far below 4 GB.
            self.reads.push(Read { connection, end: self.filled as u32 });
            if let Some(waker) = self.parked.take() {
                waker.wake();
            }
        }
        Poll::Ready(Ok(read))
    }

    pub(crate) fn park(&mut self, waker: &Waker) {
        self.parked = Some(waker.clone());
    }

    /// Passes the collected reads to `turn`. The batch is emptied first, so that nothing is processed twice.
    pub(crate) fn take(&mut self, turn: impl FnOnce(&[Read], &[u8])) {
        if self.reads.is_empty() {
            return;
        }
        let mut reads = std::mem::take(&mut self.reads);
        let filled = std::mem::take(&mut self.filled);
        turn(&reads, &self.buffer[..filled]);
        reads.clear();
        self.reads = reads;
    }
}
