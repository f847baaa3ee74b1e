//! The server: listeners, a permit for each connection, a graceful end.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::application::{Application, ApplicationFactory, Handler};
use crate::arrival::{Door, Visitor};
use crate::engine::{EngineError, EngineFactory};
use crate::generations::{Generations, StartError, start};
use crate::metrics::{Row, Snapshot};
use crate::options::{EngineOptions, ShellOptions};
use crate::shell::{Shell, Totals};
use crate::tls::Tls;

/// More than there are descriptors, and few enough for a semaphore.
const MAX_CONNECTIONS: usize = 1 << 28;

/// Connections that the kernel completes ahead of us.
const BACKLOG: u32 = 1024;

/// Serves on the current thread. Runs inside a [`tokio::runtime::LocalRuntime`] or a
/// [`tokio::task::LocalSet`].
#[derive(Debug)]
pub struct Server {
    shells: Rc<Generations>,
    permits: Arc<Semaphore>,
    replacements: UnboundedReceiver<Arc<ApplicationFactory>>,
    replace: UnboundedSender<Arc<ApplicationFactory>>,
}

impl Server {
    /// Makes the engine, for an application in Rust.
    ///
    /// # Errors
    /// [`EngineError`]: the options are refused, or the component cannot be instantiated.
    pub fn new(
        factory: EngineFactory,
        engine_options: EngineOptions,
        options: ShellOptions,
        application: Box<dyn Application>,
    ) -> Result<Self, EngineError> {
        Self::serving(factory, engine_options, options, Handler::Native(application))
    }

    /// Makes the engine, and an instance of the application. Every opening handshake is put to it
    /// ([`EngineOptions::authorise`]); one that it does not decide is accepted.
    ///
    /// # Errors
    /// [`StartError`]: as for [`new`](Self::new), or the application is lost at its first call.
    pub fn with_component(
        factory: EngineFactory,
        mut engine_options: EngineOptions,
        options: ShellOptions,
        application: Arc<ApplicationFactory>,
    ) -> Result<Self, StartError> {
        engine_options.authorise = true;
        engine_options.echo = false;
        let server = Self::serving(factory, engine_options, options, Handler::component(application)?)?;
        start(&server.shells.current())?;
        Ok(server)
    }

    fn serving(
        factory: EngineFactory,
        engine_options: EngineOptions,
        mut options: ShellOptions,
        application: Handler,
    ) -> Result<Self, EngineError> {
        options.max_connections = options.max_connections.min(MAX_CONNECTIONS);
        let permits = Arc::new(Semaphore::new(options.max_connections));
        let shells = Rc::new(Generations::new(factory, engine_options, options, application)?);
        let (replace, replacements) = unbounded_channel();
        Ok(Self { shells, permits, replacements, replace })
    }

    /// Sends applications that take the place of the one before: new connections go to the new one, and those of
    /// the one before stay with it until they end. One that fails at its first call changes nothing.
    #[must_use]
    pub fn replacements(&self) -> UnboundedSender<Arc<ApplicationFactory>> {
        self.replace.clone()
    }

    /// Sees what the server does, also while it runs.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer { shells: Rc::clone(&self.shells), permits: Arc::clone(&self.permits) }
    }

    /// Serves until `stop` is done, then closes every connection and waits until all are gone or `give_up` is
    /// done.
    pub async fn run(
        mut self,
        listeners: impl IntoIterator<Item = impl Into<Listener>>,
        stop: impl Future<Output = ()>,
        give_up: impl Future<Output = ()>,
    ) -> Totals {
        let listeners = listeners.into_iter().map(Into::into).collect();
        let mut accepting = JoinSet::new();
        let door = Door::new(Rc::clone(&self.shells), Arc::clone(&self.permits));
        accepting.spawn_local(accept_all(listeners, door));
        let mut running = JoinSet::new();
        running.spawn_local(run(self.shells.current()));
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                // One that was replaced ends with its last connection; what ends it before is a panic of the
                // application's.
                Some(ended) = running.join_next() => match ended.map_err(JoinError::try_into_panic) {
                    Err(Ok(panic)) => resume_unwind(panic),
                    _ => self.shells.prune(),
                },
                Some(application) = self.replacements.recv() => match self.shells.replace(application) {
                    Ok(shell) => {
                        running.spawn_local(run(shell));
                    }
                    Err(error) => error!("the application before serves on: {error}"),
                },
            }
        }
        accepting.shutdown().await;
        info!(connections = self.open(), "stopping");
        self.shells.each(Shell::shutdown);
        tokio::select! {
            () = self.drained() => {}
            () = give_up => {
                warn!(connections = self.open(), "given up waiting; dropped");
                self.shells.each(Shell::abort);
            }
        }
        self.shells.totals()
    }

    fn open(&self) -> usize {
        self.shells.options().max_connections - self.permits.available_permits()
    }

    /// All permits are back.
    async fn drained(&self) {
        let all = u32::try_from(self.shells.options().max_connections).unwrap_or(MAX_CONNECTIONS as u32);
        drop(self.permits.acquire_many(all).await);
    }
}

/// Looks at a server from beside it, for [`serve_admin`](crate::serve_admin).
#[derive(Clone, Debug)]
pub struct Observer {
    shells: Rc<Generations>,
    permits: Arc<Semaphore>,
}

impl Observer {
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shells.snapshot()
    }

    /// Up to `limit` connections, those with the longest queues first and then the newest; and how many more
    /// there are.
    pub(crate) fn connections(&self, limit: usize) -> (Vec<Row>, usize) {
        self.shells.rows(limit)
    }

    /// Why nobody new is served now.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        if self.shells.current().is_stopping() {
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

async fn run(shell: Rc<Shell>) {
    shell.run().await;
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
