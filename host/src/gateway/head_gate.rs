//! A connection whose opening handshakes are for the engine, also after other requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{BodyScan, HeadScan, Next};

/// How much is read at once while a head is incomplete, in bytes.
const READ_BYTES: usize = 4 << 10;

/// How far a connection's exchange has come.
#[derive(Debug)]
pub(super) struct Exchange {
    state: AtomicU8,
    /// Of whoever waits for its end.
    waker: AtomicWaker,
}

/// Its response is in the kernel's hands.
const OVER: u8 = 0;

/// Its response is not complete.
const BUSY: u8 = 1;

/// Its response is complete, but may not be written.
const ENDING: u8 = 2;

impl Exchange {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(OVER), waker: AtomicWaker::new() })
    }

    /// hyper has all of the response.
    pub(super) fn end_response(&self) {
        self.advance(BUSY, ENDING);
    }

    fn begin(&self) {
        self.state.store(BUSY, Ordering::SeqCst);
    }

    /// hyper has written all that it has.
    fn flushed(&self) {
        if self.advance(ENDING, OVER) {
            self.waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OVER
    }

    fn advance(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Reads one request at a time, up to an opening handshake that comes after another request.
#[derive(Debug)]
pub(super) struct HeadGate<T> {
    stream: T,
    exchange: Arc<Exchange>,
    /// The longest head that is looked at, in bytes: for hyper a longer one is too long.
    max_head: usize,
    /// What was read, but may not be passed on yet.
    held: BytesMut,
    part: Part,
    /// The engine has looked at the first head.
    is_first: bool,
    is_handshake: bool,
}

/// What comes next, of a request.
#[derive(Debug)]
enum Part {
    Head(HeadScan),
    /// So many bytes that are held, and then the body.
    Held(usize, BodyScan),
    Body(BodyScan),
}

impl<T> HeadGate<T> {
    pub(super) fn new(stream: T, exchange: Arc<Exchange>, max_head: usize) -> Self {
        let (held, part) = (BytesMut::new(), Part::Head(HeadScan::default()));
        Self { stream, exchange, max_head, held, part, is_first: true, is_handshake: false }
    }

    /// An opening handshake was the last that was read: it and its connection, which is replaced.
    pub(super) fn take_handshake(&mut self, instead: T) -> Option<(T, Vec<u8>)> {
        let found = std::mem::take(&mut self.is_handshake);
        found.then(|| (std::mem::replace(&mut self.stream, instead), std::mem::take(&mut self.held).into()))
    }

    /// Whether what is held can be passed on, or is a handshake.
    fn has_head(&mut self) -> bool {
        let Part::Head(scan) = &mut self.part else { return true };
        match scan.next(&self.held) {
            Next::Head { is_handshake: true, .. } if !self.is_first => self.is_handshake = true,
            Next::Head { length, body, .. } => self.pass(length, body),
            // hyper tells that it is too long.
            Next::Unknown if self.held.len() > self.max_head => self.pass(self.held.len(), BodyScan::Unknown),
            Next::Unknown => return false,
        }
        true
    }

    /// Begins an exchange, with so many bytes that are held.
    fn pass(&mut self, length: usize, body: BodyScan) {
        self.part = Part::Held(length, body);
        self.is_first = false;
        self.exchange.begin();
    }

    fn put_held(&mut self, count: usize, buffer: &mut ReadBuf<'_>) {
        buffer.put_slice(&self.held[..count]);
        self.held.advance(count);
        if self.held.is_empty() {
            // Frees it.
            self.held = BytesMut::new();
        }
    }
}

impl<T: AsyncRead + Unpin> HeadGate<T> {
    /// Ready when something was read, or at the end.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.held.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Ready when the exchange is over, or with `false` at the end of the connection.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            self.exchange.waker.register(cx.waker());
            if self.exchange.is_over() {
                return Poll::Ready(Ok(true));
            }
            // Old clients send an empty line after a body; it must not hide that they leave.
            if self.held.iter().all(|byte| b"\r\n".contains(byte)) {
                self.held.clear();
            }
            // One read of what comes next is enough.
            if !self.held.is_empty() {
                return Poll::Pending;
            }
            if ready!(self.poll_hold(cx))? == 0 {
                return Poll::Ready(Ok(false));
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Part::Body(body) = &mut self.part else { return Poll::Ready(Ok(())) };
        if !self.held.is_empty() {
            let count = body.take(&self.held[..self.held.len().min(buffer.remaining())]);
            self.put_held(count, buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let end = before + body.take(&buffer.filled()[before..]);
        // The rest is the next request's.
        self.held.extend_from_slice(&buffer.filled()[end..]);
        buffer.set_filled(end);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadGate<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.is_handshake {
                return Poll::Ready(Ok(()));
            }
            match &mut self.part {
                Part::Head(_) => {
                    if !ready!(self.poll_over(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                    if !self.has_head() && ready!(self.poll_hold(cx))? == 0 {
                        if self.held.is_empty() {
                            return Poll::Ready(Ok(()));
                        }
                        let length = self.held.len();
                        self.pass(length, BodyScan::Unknown);
                    }
                }
                Part::Held(0, body) => self.part = Part::Body(std::mem::take(body)),
                Part::Held(left, _) => {
                    let count = (*left).min(buffer.remaining());
                    *left -= count;
                    self.put_held(count, buffer);
                    return Poll::Ready(Ok(()));
                }
                Part::Body(body) if body.is_over() => self.part = Part::Head(HeadScan::default()),
                Part::Body(_) => return self.poll_body(cx, buffer),
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadGate<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    /// Only flushes if the connection goes on, with an opening handshake.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_handshake {
            return self.poll_flush(cx);
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
