//! An instance's standard output and error: lines of the log.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use legacy_websocket_shell::{LogCategory, LogPermit, Printable};
use tokio::io::AsyncWrite;
use tracing::info;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::observe::log;

/// Longest line that is logged as one, in bytes.
const MAX_LINE: usize = 1024;

/// A stream for standard output and error; its clones write the same lines.
pub(super) fn stream() -> Stream {
    Stream(Arc::default())
}

/// A line that is not complete yet.
#[derive(Debug, Default)]
struct Output(Mutex<Vec<u8>>);

impl Output {
    fn write(&self, bytes: &[u8]) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(MAX_LINE) {
                if line.len() + part.len() > MAX_LINE {
                    tell(&std::mem::take(&mut *line));
                }
                line.extend_from_slice(part);
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                tell(&std::mem::take(&mut *line));
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        tell(self.0.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

fn tell(line: &[u8]) {
    if !line.is_empty()
        && let Some(LogPermit { unlogged }) = log::permit(LogCategory::Output)
    {
        info!(unlogged, "site: {}", Printable::whole(line));
    }
}

/// Writes to the log.
#[derive(Clone, Debug)]
pub(super) struct Stream(Arc<Output>);

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
