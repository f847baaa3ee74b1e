//! Listening sockets.

use std::future::poll_fn;
use std::io;
use std::net;
use std::os::fd::AsFd;
use std::os::unix::net as unix;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use legacy_websocket_shell::{LogCategory, LogPermit};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tracing::warn;

use crate::accept::incoming::Incoming;
use crate::accept::socket_file::SocketFile;
use crate::accept::tls::Tls;
use crate::connection::socket::{PeerAddress, Stream};
use crate::observe::log;

/// A source of connections.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    tls: Option<Tls>,
    /// Also held by a service manager, which passes its connections to the next process it starts.
    is_lent: bool,
    /// The socket's file, removed with its last listener.
    file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The same listener, for use on another thread.
#[derive(Debug)]
pub(crate) struct ListenerHandle {
    socket: StdSocket,
    tls: Option<Tls>,
    is_lent: bool,
    file: Option<Arc<SocketFile>>,
}

#[derive(Debug)]
enum StdSocket {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

impl Listener {
    /// For clients that speak TLS (wss).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(tcp: TcpListener, tls: Tls) -> Self {
        Self { tls: Some(tls), ..Self::from(tcp) }
    }

    /// A listener on a Unix socket, whose file is removed with its last listener.
    pub(super) fn with_file(unix: UnixListener, file: Arc<SocketFile>) -> Self {
        Self { file: Some(file), ..Self::from(unix) }
    }

    /// The address that clients connect to without a proxy: a URL, or `unix:` and the path of a socket.
    ///
    /// # Errors
    /// The system's.
    pub fn url(&self) -> io::Result<String> {
        match &self.socket {
            ListeningSocket::Tcp(tcp) => {
                let scheme = if self.tls.is_some() { "wss" } else { "ws" };
                Ok(format!("{scheme}://{}/", tcp.local_addr()?))
            }
            ListeningSocket::Unix(unix) => {
                let address = unix.local_addr()?;
                Ok(format!("unix:{}", address.as_pathname().unwrap_or("".as_ref()).display()))
            }
        }
    }

    /// The same listener for TLS clients; `None` for a Unix socket.
    pub(crate) fn encrypted(self, tls: Tls) -> Option<Self> {
        matches!(self.socket, ListeningSocket::Tcp(_)).then_some(Self { tls: Some(tls), ..self })
    }

    /// A service manager's listener, which stays open when the server stops.
    pub(crate) fn lent(self) -> Self {
        Self { is_lent: true, ..self }
    }

    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// The listener itself, detached from the current thread.
    pub(crate) fn into_handle(self) -> io::Result<ListenerHandle> {
        let socket = match self.socket {
            ListeningSocket::Tcp(tcp) => StdSocket::Tcp(tcp.into_std()?),
            ListeningSocket::Unix(unix) => StdSocket::Unix(unix.into_std()?),
        };
        Ok(ListenerHandle { socket, tls: self.tls, is_lent: self.is_lent, file: self.file })
    }

    pub(crate) fn handle(&self) -> io::Result<ListenerHandle> {
        let socket = match &self.socket {
            ListeningSocket::Tcp(tcp) => StdSocket::Tcp(tcp.as_fd().try_clone_to_owned()?.into()),
            ListeningSocket::Unix(unix) => StdSocket::Unix(unix.as_fd().try_clone_to_owned()?.into()),
        };
        Ok(ListenerHandle { socket, tls: self.tls.clone(), is_lent: self.is_lent, file: self.file.clone() })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, address) = match &self.socket {
            ListeningSocket::Tcp(tcp) => match tcp.poll_accept(cx)? {
                Poll::Ready((stream, address)) => (Stream::Tcp(stream), PeerAddress::Ip(address)),
                Poll::Pending => return Poll::Pending,
            },
            ListeningSocket::Unix(unix) => match unix.poll_accept(cx)? {
                Poll::Ready((stream, _)) => (Stream::Unix(stream), PeerAddress::Unix),
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Ok(Incoming { stream, address, tls: self.tls.clone() }))
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { socket: ListeningSocket::Tcp(tcp), tls: None, is_lent: false, file: None }
    }
}

impl From<UnixListener> for Listener {
    fn from(unix: UnixListener) -> Self {
        Self { socket: ListeningSocket::Unix(unix), tls: None, is_lent: false, file: None }
    }
}

impl ListenerHandle {
    /// Registers it on the current thread.
    pub(crate) fn listener(self) -> io::Result<Listener> {
        let socket = match self.socket {
            StdSocket::Tcp(tcp) => ListeningSocket::Tcp(TcpListener::from_std(tcp)?),
            StdSocket::Unix(unix) => ListeningSocket::Unix(UnixListener::from_std(unix)?),
        };
        Ok(Listener { socket, tls: self.tls, is_lent: self.is_lent, file: self.file })
    }
}

/// Accepts on a listener while `goes_on` is true. Never fails: when out of descriptors, it waits for some.
pub(crate) async fn accept(listeners: &mut [Listener], goes_on: impl Fn(&Listener) -> bool) -> Incoming {
    let mut pause = Duration::from_millis(1);
    loop {
        match poll_fn(|cx| poll_accept(listeners, &goes_on, cx)).await {
            Ok(incoming) => return incoming,
            Err(error) => {
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    warn!(unlogged, "accept failed: {error}; retrying in {pause:?}");
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// Returns the first listener with a connection; it is polled last the next time.
fn poll_accept(
    listeners: &mut [Listener],
    goes_on: impl Fn(&Listener) -> bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Incoming>> {
    for at in 0..listeners.len() {
        if goes_on(&listeners[at])
            && let Poll::Ready(accepted) = listeners[at].poll_accept(cx)
        {
            listeners[at..].rotate_left(1);
            return Poll::Ready(accepted);
        }
    }
    Poll::Pending
}
