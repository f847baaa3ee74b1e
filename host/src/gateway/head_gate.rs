//! A connection whose opening handshakes are for the engine, also after other requests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::BodyObserver;

/// The longest head that is looked at, in bytes; one that is longer is no opening handshake of the engine's.
const MAX_HEAD: usize = 64 << 10;

/// How much is read at once while a head is incomplete, in bytes.
const READ_BYTES: usize = 4 << 10;

/// What a connection's exchange still lacks; nothing between two of them.
#[derive(Debug)]
pub(super) struct Exchange(AtomicU8);

/// The rest of the request's body.
const REQUEST: u8 = 1;

/// The rest of the response.
const RESPONSE: u8 = 2;

impl Exchange {
    /// The engine has looked at the first head.
    pub(super) fn first() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(RESPONSE)))
    }

    pub(super) fn begin(&self, has_body: bool) {
        self.0.store(if has_body { REQUEST | RESPONSE } else { RESPONSE }, Ordering::SeqCst);
    }

    pub(super) fn end_response(&self) {
        self.0.fetch_and(!RESPONSE, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl BodyObserver for Arc<Exchange> {
    fn ended(&mut self) {
        self.0.fetch_and(!REQUEST, Ordering::SeqCst);
    }
}

/// Reads up to an opening handshake that comes after another request.
#[derive(Debug)]
pub(super) struct HeadGate<T> {
    stream: T,
    exchange: Arc<Exchange>,
    /// What was read of a head that is not complete.
    head: Vec<u8>,
    /// What may be read.
    passing: Bytes,
    is_handshake: bool,
}

impl<T> HeadGate<T> {
    pub(super) fn new(stream: T, exchange: Arc<Exchange>) -> Self {
        Self { stream, exchange, head: Vec::new(), passing: Bytes::new(), is_handshake: false }
    }

    /// An opening handshake was the last that was read: it and its connection, which is replaced.
    pub(super) fn take_handshake(&mut self, instead: T) -> Option<(T, Vec<u8>)> {
        let found = std::mem::take(&mut self.is_handshake);
        found.then(|| (std::mem::replace(&mut self.stream, instead), std::mem::take(&mut self.head)))
    }
}

impl<T: AsyncRead + Unpin> HeadGate<T> {
    /// Ready when there is something to pass on; nothing before the end, or before an opening handshake.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match Next::of(&self.head) {
                Next::Handshake => {
                    self.is_handshake = true;
                    return Poll::Ready(Ok(()));
                }
                Next::Other => break,
                Next::Unknown => {}
            }
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.head.extend_from_slice(buffer.filled());
        }
        self.passing = std::mem::take(&mut self.head).into();
        // What follows belongs to it until the service has it.
        self.exchange.begin(false);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadGate<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_handshake {
            return Poll::Ready(Ok(()));
        }
        if self.passing.is_empty() {
            if !self.exchange.is_over() {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
            ready!(self.poll_head(cx))?;
        }
        let count = self.passing.len().min(buffer.remaining());
        buffer.put_slice(&self.passing[..count]);
        self.passing.advance(count);
        Poll::Ready(Ok(()))
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Its head is not complete.
    Unknown,
    /// A request that names the WebSocket protocol anywhere, however broken: the engine's own rule.
    Handshake,
    Other,
}

impl Next {
    fn of(head: &[u8]) -> Self {
        let mut lines = head.split_inclusive(|byte| *byte == b'\n');
        // Empty lines before a request are allowed (RFC 9112 section 2.2).
        let is_empty = |line: &[u8]| line.trim_ascii().is_empty();
        lines.by_ref().find(|line| !is_empty(line));
        let mut names_it = false;
        for line in lines {
            if !line.ends_with(b"\n") {
                break;
            }
            if is_empty(line) {
                return if names_it { Self::Handshake } else { Self::Other };
            }
            names_it |= names_websocket(line);
        }
        if head.len() > MAX_HEAD { Self::Other } else { Self::Unknown }
    }
}

fn names_websocket(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = (line[..colon].to_ascii_lowercase(), line[colon + 1..].to_ascii_lowercase());
    name.starts_with(b"sec-websocket-")
        || name.starts_with(b"websocket-")
        || (name == b"upgrade"
            && value.split(|byte| *byte == b',').any(|item| item.trim_ascii() == b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_known_by_its_fields() {
        for head in [
            "Upgrade: WebSocket",
            "upgrade: h2c, websocket",
            "Sec-WebSocket-Key1: 1",
            "WebSocket-Protocol: a",
        ] {
            let head = format!("\r\nGET / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
            for end in 0..head.len() {
                assert_eq!(Next::of(&head.as_bytes()[..end]), Next::Unknown, "{}", &head[..end]);
            }
            assert_eq!(Next::of(head.as_bytes()), Next::Handshake, "{head}");
            assert_eq!(Next::of(&[head.as_bytes(), b"^n:ds[4U"].concat()), Next::Handshake, "{head}");
        }
        for head in ["Upgrade: h2c", "X-Upgrade: websocket", "Accept: upgrade: websocket"] {
            let head = format!("GET /?upgrade:websocket HTTP/1.1\nHost: a\n{head}\n\nUpgrade: websocket\n\n");
            assert_eq!(Next::of(head.as_bytes()), Next::Other, "{head}");
        }
        assert_eq!(Next::of(&[b'a'; MAX_HEAD + 1]), Next::Other);
    }
}
