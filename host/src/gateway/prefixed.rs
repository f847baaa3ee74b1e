//! A connection of which something was read already.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::incoming::Peer;
use crate::connection::socket::Socket;

/// A connection that the engine does not want.
pub(crate) struct Passed {
    pub(crate) socket: Socket,
    /// All that was received of it.
    pub(crate) received: Vec<u8>,
    pub(crate) peer: Peer,
}

/// Reads what was read before, then the rest.
#[derive(Debug)]
pub(super) struct Prefixed<T> {
    prefix: Bytes,
    stream: T,
}

impl<T> Prefixed<T> {
    pub(super) fn new(prefix: impl Into<Bytes>, stream: T) -> Self {
        let prefix = prefix.into();
        // Even if empty, it may hold on to a buffer.
        let prefix = if prefix.is_empty() { Bytes::new() } else { prefix };
        Self { prefix, stream }
    }

    /// What was read before and not again, and the connection.
    pub(super) fn into_parts(self) -> (Bytes, T) {
        (self.prefix, self.stream)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            // Frees it.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
