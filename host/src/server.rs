//! The server: listeners, a permit for each connection, a graceful end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::application::Application;
use crate::arrival::{Door, Visitor};
use crate::engine::{EngineError, EngineFactory};
use crate::metrics::{Row, Snapshot};
use crate::options::{EngineOptions, ShellOptions};
use crate::shell::{Shell, Totals};
use crate::tls::Tls;

/// More than there are descriptors, and few enough for a semaphore.
const MAX_CONNECTIONS: usize = 1 << 28;

/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 1024;

/// Serves one engine on the current thread. Runs inside a [`tokio::runtime::LocalRuntime`] or a
/// [`tokio::task::LocalSet`].
#[derive(Debug)]
pub struct Server {
    shell: Rc<Shell>,
    permits: Arc<Semaphore>,
}

impl Server {
    /// Makes the engine.
    ///
    /// # Errors
    /// [`EngineError`]: the options are refused, or the component cannot be instantiated.
    pub fn new(
        factory: EngineFactory,
        engine_options: EngineOptions,
        mut options: ShellOptions,
        application: Box<dyn Application>,
    ) -> Result<Self, EngineError> {
        options.max_connections = options.max_connections.min(MAX_CONNECTIONS);
        let permits = Arc::new(Semaphore::new(options.max_connections));
        Ok(Self { shell: Shell::new(factory, engine_options, options, application)?, permits })
    }

    /// Sees what the server does, also while it runs.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer { shell: Rc::clone(&self.shell), permits: Arc::clone(&self.permits) }
    }

    /// Serves until `stop` is done, then closes every connection and waits until all are gone or `give_up` is
    /// done.
    pub async fn run(
        self,
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        stop: impl Future<Output = ()>,
        give_up: impl Future<Output = ()>,
    ) -> Totals {
        let listeners = listeners.into_iter().map(Into::into).collect();
        let mut accepting = JoinSet::new();
        let door = Door::new(Rc::clone(&self.shell), Arc::clone(&self.permits));
        accepting.spawn_local(accept_all(listeners, door));
        let mut running = JoinSet::new();
        let shell = Rc::clone(&self.shell);
        running.spawn_local(async move { shell.run_timer().await });
        let shell = Rc::clone(&self.shell);
        running.spawn_local(async move { shell.run_turns().await });
        tokio::select! {
            () = stop => {}
            // They run for ever; what ends them is a panic of the application's.
            Some(Err(error)) = running.join_next() => {
                if let Ok(panic) = error.try_into_panic() {
                    resume_unwind(panic);
                }
            }
        }
        accepting.shutdown().await;
        info!(connections = self.open(), "stopping");
        self.shell.shutdown();
        tokio::select! {
            () = self.drained() => {}
            () = give_up => {
                warn!(connections = self.open(), "given up waiting; dropped");
                self.shell.abort();
            }
        }
        self.shell.totals()
    }

    fn open(&self) -> usize {
        self.shell.options().max_connections - self.permits.available_permits()
    }

    /// All permits are back.
    async fn drained(&self) {
        let all = u32::try_from(self.shell.options().max_connections).unwrap_or(MAX_CONNECTIONS as u32);
        drop(self.permits.acquire_many(all).await);
    }
}

/// Looks at a server from beside it, for [`serve_admin`](crate::serve_admin).
#[derive(Clone, Debug)]
pub struct Observer {
    shell: Rc<Shell>,
    permits: Arc<Semaphore>,
}

impl Observer {
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shell.snapshot()
    }

    /// Up to `limit` connections, those with the longest queues first and then the newest; and how many more
    /// there are.
    pub(crate) fn connections(&self, limit: usize) -> (Vec<Row>, usize) {
        self.shell.rows(limit)
    }

    /// Why nobody new is served now.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.shell.is_stopping() {
            return Some("stopping");
        }
        (self.permits.available_permits() == 0).then_some("full")
    }
}

/// Where connections come from.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
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
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
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

async fn accept_all(mut listeners: Vec<Listener>, mut door: Door) {
    loop {
        door.receive(accept(&mut listeners).await);
    }
}

/// Accepts, whatever it takes: with no descriptors left it waits for some.
async fn accept(listeners: &mut [Listener]) -> Visitor {
    let mut pause = Duration::from_millis(1);
    loop {
        match poll_fn(|cx| poll_accept(listeners, cx)).await {
            Ok(visitor) => return visitor,
            Err(error) => {
                warn!("accept: {error}; again in {pause:?}");
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
