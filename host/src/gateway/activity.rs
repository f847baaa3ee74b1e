//! Whether anything passes.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// When something last passed on any of its streams.
#[derive(Debug)]
pub(super) struct Activity(Cell<Instant>);

/// A stream whose reads and writes count.
#[derive(Debug)]
pub(super) struct Watched<'a, T> {
    stream: T,
    activity: &'a Activity,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Cell::new(Instant::now()))
    }

    pub(super) fn watch<T>(&self, stream: T) -> Watched<'_, T> {
        Watched { stream, activity: self }
    }

    /// Completes when nothing has passed for so long.
    pub(super) async fn ceased(&self, time: Duration) {
        while self.0.get().elapsed() < time {
            sleep_until(self.0.get() + time).await;
        }
    }

    fn note(&self) {
        self.0.set(Instant::now());
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.activity.note();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.activity.note();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
