//! Where connections come from.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;
use tracing::warn;

use crate::arrival::Visitor;
use crate::log;
use crate::log_rate_limiter::{LogCategory, LogPermit};
use crate::tls::Tls;

/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 1024;

/// Where connections come from.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

/// The same listener, for another thread.
#[derive(Debug)]
pub(crate) struct Handle {
    tcp: net::TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// For clients that speak TLS (wss).
    #[must_use]
    pub fn with_tls(tcp: TcpListener, tls: Tls) -> Self {
        Self { tcp, tls: Some(tls) }
    }

    /// What clients connect to, where no proxy stands before it.
    ///
    /// # Errors
    /// What the system says.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        Ok(format!("{scheme}://{}/", self.tcp.local_addr()?))
    }

    /// This listener itself, which is the current thread's no more.
    pub(crate) fn into_handle(self) -> io::Result<Handle> {
        Ok(Handle { tcp: self.tcp.into_std()?, tls: self.tls })
    }

    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let tcp = self.tcp.as_fd().try_clone_to_owned()?.into();
        Ok(Handle { tcp, tls: self.tls.clone() })
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

impl Handle {
    /// On the current thread.
    pub(crate) fn listener(self) -> io::Result<Listener> {
        Ok(Listener { tcp: TcpListener::from_std(self.tcp)?, tls: self.tls })
    }
}

/// Binds an address for a server.
///
/// # Errors
/// What the system says: in use, not ours, not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it: the drafts have no ping with which a dead peer could be found.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts for as long as it `goes_on`, whatever it takes: with no descriptors left it waits for some.
pub(crate) async fn accept(listeners: &mut [Listener], goes_on: impl Fn() -> bool) -> Visitor {
    let mut pause = Duration::from_millis(1);
    loop {
        match poll_fn(|cx| if goes_on() { poll_accept(listeners, cx) } else { Poll::Pending }).await {
            Ok(visitor) => return visitor,
            Err(error) => {
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    warn!(unlogged, "accept: {error}; again in {pause:?}");
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// The first listener that has somebody; it is asked last the next time.
fn poll_accept(listeners: &mut [Listener], cx: &mut Context<'_>) -> Poll<io::Result<Visitor>> {
    for at in 0..listeners.len() {
        if let Poll::Ready(accepted) = listeners[at].tcp.poll_accept(cx) {
            let tls = listeners[at].tls.clone();
            listeners[at..].rotate_left(1);
            return Poll::Ready(accepted.map(|(stream, address)| Visitor { stream, address, tls }));
        }
    }
    Poll::Pending
}
