//! A peer's socket: TCP, TLS over TCP, or a Unix socket.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{self, IpAddr, SocketAddr};
use std::os::unix::net as unix;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

/// The peer's address, as the system reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerAddress {
    Ip(SocketAddr),
    /// A Unix socket, whose peers have no address.
    Unix,
}

impl PeerAddress {
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// A socket as accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The same socket, on its way to another thread.
#[derive(Debug)]
pub(crate) enum StdStream {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
}

impl Stream {
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    pub(crate) fn into_std(self) -> io::Result<StdStream> {
        Ok(match self {
            Self::Tcp(stream) => StdStream::Tcp(stream.into_std()?),
            Self::Unix(stream) => StdStream::Unix(stream.into_std()?),
        })
    }
}

impl StdStream {
    /// Registers it on the current thread.
    pub(crate) fn into_tokio(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// As small as a bare TCP stream: TLS state is boxed.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    /// It has another owner now: reads end, and writes fail.
    Taken,
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Tcp(stream) => Self::Plain(stream),
            Stream::Unix(stream) => Self::Unix(stream),
        }
    }
}

impl Socket {
    /// Reads. 0 bytes means the end, which TLS need not announce: none of the protocols relies on it.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer).map(|read| match read {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
                read => read,
            }),
            Self::Taken => Poll::Ready(Ok(())),
        }
    }

    /// Writes what fits immediately; no task is woken when there is more room.
    pub(crate) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            // A plain write is cheaper for the kernel than a vectored one.
            (Self::Plain(stream), [only]) => stream.try_write(only),
            (Self::Plain(stream), several) => stream.try_write_vectored(several),
            (Self::Unix(stream), slices) => stream.try_write_vectored(slices),
            #[cfg(feature = "tls")]
            (Self::Tls(stream), slices) => {
                let mut nobody = Context::from_waker(Waker::noop());
                match Pin::new(stream).poll_write_vectored(&mut nobody, slices) {
                    Poll::Ready(written) => written,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
            (Self::Taken, _) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Plain(stream), [only]) => Pin::new(stream).poll_write(cx, only),
            (Self::Plain(stream), several) => Pin::new(stream).poll_write_vectored(cx, several),
            (Self::Unix(stream), slices) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            (Self::Tls(stream), slices) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Taken, _) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Writes what the kernel takes, even if it has not signalled room: it signals only when a third of its buffer is
    /// acknowledged, which may take minutes on a slow line. Returns the number of bytes taken.
    pub(crate) fn push_on(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => SockRef::from(&*stream).send_vectored(slices),
            Self::Unix(stream) => SockRef::from(&*stream).send_vectored(slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                let (stream, session) = stream.get_mut();
                session.write_tls(&mut &*SockRef::from(&*stream))
            }
            Self::Taken => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether written data is still here, not yet in the kernel.
    pub(crate) fn holds_output(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Taken => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }

    /// Ready when all of it is in the kernel.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Taken => Poll::Ready(Ok(())),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Sends our FIN; with TLS, the alert before it.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Taken => Poll::Ready(Ok(())),
        }
    }
}

/// For those to whom a connection is passed.
impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Self::poll_read(&mut self, cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, cx)
    }
}
