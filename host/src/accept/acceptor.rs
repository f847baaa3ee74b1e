//! From `accept` to a connection: limits, the PROXY protocol, TLS.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use legacy_websocket_shell::{Level, LogCategory, LogPermit, Printable, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::accept::incoming::{Accepted, ConnectionGuard, ConnectionPermit, Handoff, Incoming, Peer};
use crate::accept::peer_limiter::Admitted;
use crate::accept::proxy_protocol;
use crate::connection::Connection;
use crate::connection::socket::{PeerAddress, Stream};
use crate::observe::log;
use crate::options::ShellOptions;
use crate::shell::versions::ApplicationVersions;
use crate::workers::message::WorkerMessage;

/// How long a worker may take to close an idle connection, in addition to the time its peer has.
const IDLE_CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// The bytes of a connection that say what it is: the start of a TLS record with a ClientHello, up to the version it
/// offers.
const START_BYTES: usize = 11;

/// Takes accepted connections through the limits, the PROXY protocol and TLS, on this worker or another.
#[derive(Debug)]
pub(crate) struct Acceptor {
    worker: usize,
    admission: Rc<Admission>,
    /// Connections waiting for a permit, or being refused.
    waiting: JoinSet<()>,
}

#[derive(Debug)]
struct Admission {
    versions: Rc<ApplicationVersions>,
}

impl Acceptor {
    pub(crate) fn new(versions: Rc<ApplicationVersions>, worker: usize) -> Self {
        let admission = Rc::new(Admission { versions });
        Self { worker, admission, waiting: JoinSet::new() }
    }

    /// Closes the connections that are still waiting.
    pub(crate) fn close(&mut self) {
        self.waiting.abort_all();
    }

    pub(crate) fn receive(&mut self, incoming: Incoming) {
        if let Err(error) = incoming.stream.set_nodelay() {
            return gone(incoming.address, &error);
        }
        let context = self.admission.versions.context();
        if context.pool.is_stopping() {
            return self.refuse(incoming, Refusal::Stopping);
        }
        let Ok(permit) = Arc::clone(&context.permits).try_acquire_owned() else {
            return self.wait_for_room(incoming);
        };
        let load = context.pool.assign(self.worker);
        let permit = ConnectionPermit { permit, load };
        if permit.worker() == self.worker {
            return self.check(incoming, permit);
        }
        self.admission.hand_off(incoming, permit);
    }

    /// Closes an idle connection to make room, if there is one.
    fn wait_for_room(&mut self, incoming: Incoming) {
        let (admission, worker) = (Rc::clone(&self.admission), self.worker);
        match admission.versions.context().peers.take_oldest_idle() {
            Some(idle) => self.wait(async move { admission.wait_for_permit(worker, incoming, idle).await }),
            None => self.refuse(incoming, Refusal::Full),
        }
    }

    /// Takes a connection that another worker accepted.
    pub(crate) fn receive_handoff(&mut self, Handoff { stream, address, tls, permit }: Handoff) {
        match stream.into_tokio() {
            Ok(stream) => self.check(Incoming { stream, address, tls }, permit),
            Err(error) => gone(address, &error),
        }
    }

    /// Checks the per-peer limits, once the peer is known.
    fn check(&mut self, incoming: Incoming, permit: ConnectionPermit) {
        let admission = Rc::clone(&self.admission);
        if admission.options().proxy_protocol {
            return self.wait(async move { admission.forwarded(incoming, permit).await });
        }
        match admission.admit(incoming.address, permit) {
            // The usual case needs no separate task.
            Ok(guard) if incoming.tls.is_none() => admission.spawn_connection(Accepted {
                socket: incoming.stream.into(),
                peer: Peer { address: incoming.address, secure: false },
                guard,
            }),
            Ok(guard) => self.wait(async move { admission.encrypt(incoming, false, guard).await }),
            Err(why) => self.refuse(incoming, why),
        }
    }

    fn refuse(&mut self, incoming: Incoming, why: Refusal) {
        let admission = Rc::clone(&self.admission);
        self.wait(async move { admission.refuse(incoming, why).await });
    }

    fn wait(&mut self, until: impl Future<Output = ()> + 'static) {
        while self.waiting.try_join_next().is_some() {}
        self.waiting.spawn_local(until);
    }
}

fn gone(peer: PeerAddress, error: &io::Error) {
    debug!(%peer, "connection closed before it was served: {error}");
}

impl Admission {
    fn options(&self) -> &ShellOptions {
        &self.versions.context().options
    }

    fn admit(&self, address: PeerAddress, permit: ConnectionPermit) -> Result<ConnectionGuard, Refusal> {
        let Some(ip) = address.ip() else {
            return Ok(ConnectionGuard { connection: permit, peer: None });
        };
        let context = self.versions.context();
        let Admitted { permit: peer, instead } = context.peers.admit(ip, Instant::now())?;
        if let Some(idle) = instead {
            context.pool.close_idle(idle);
        }
        Ok(ConnectionGuard { connection: permit, peer })
    }

    /// Waits until an idle connection has closed, which takes as long as its peer needs to end its side.
    async fn wait_for_permit(&self, worker: usize, incoming: Incoming, idle: u64) {
        let context = self.versions.context();
        context.pool.close_idle(idle);
        let within = self.options().linger_timeout + IDLE_CLOSES_WITHIN;
        match timeout(within, Arc::clone(&context.permits).acquire_owned()).await {
            Ok(Ok(permit)) => {
                self.hand_off(incoming, ConnectionPermit { permit, load: context.pool.assign(worker) })
            }
            _ => self.refuse(incoming, Refusal::Full).await,
        }
    }

    /// Sends the connection to its worker.
    fn hand_off(&self, incoming: Incoming, permit: ConnectionPermit) {
        let Incoming { stream, address, tls } = incoming;
        match stream.into_std() {
            Ok(stream) => {
                let worker = permit.worker();
                let handoff = Handoff { stream, address, tls, permit };
                self.versions.context().pool.tell(worker, WorkerMessage::Incoming(handoff));
            }
            Err(error) => gone(address, &error),
        }
    }

    /// Reads the PROXY header, which names the client.
    async fn forwarded(&self, mut incoming: Incoming, permit: ConnectionPermit) {
        let within = self.options().handshake_timeout;
        let reading = async {
            if let Stream::Tcp(tcp) = &incoming.stream
                && look_ahead(tcp).await.is_none()
            {
                return Ok(None);
            }
            proxy_protocol::read(&mut incoming.stream).await.map(Some)
        };
        let forwarded = match in_time(within, reading).await {
            Ok(Some(forwarded)) => forwarded,
            Ok(None) => return self.count_probe(incoming.address),
            Err(error) => {
                self.versions.current().count_refused("proxy-header");
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    let error = Printable::cut(error.as_bytes());
                    warn!(peer = %incoming.address, unlogged, "no PROXY header, closed: {error}");
                }
                return;
            }
        };
        incoming.address = forwarded.address.map_or(incoming.address, PeerAddress::Ip);
        match self.admit(incoming.address, permit) {
            Ok(guard) => self.encrypt(incoming, forwarded.secure, guard).await,
            Err(why) => self.refuse(incoming, why).await,
        }
    }

    /// Performs the TLS handshake, if it has one.
    async fn encrypt(&self, incoming: Incoming, secure: bool, guard: ConnectionGuard) {
        let Incoming { stream, address, tls } = incoming;
        let (tls, stream) = match (tls, stream) {
            (Some(tls), Stream::Tcp(stream)) => (tls, stream),
            (_, stream) => {
                let peer = Peer { address, secure };
                return self.spawn_connection(Accepted { socket: stream.into(), peer, guard });
            }
        };
        let within = self.options().handshake_timeout;
        let accepting = async {
            let Some(start) = look_ahead(&stream).await else {
                return Ok(None);
            };
            tls.accept(stream, &start).await.map(Some)
        };
        match in_time(within, accepting).await {
            Ok(Some(socket)) => {
                let peer = Peer { address, secure: true };
                self.spawn_connection(Accepted { socket, peer, guard });
            }
            Ok(None) => self.count_probe(address),
            Err(error) => {
                self.versions.current().count_refused("tls-handshake");
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    let error = Printable::cut(error.as_bytes());
                    warn!(peer = %address, unlogged, "TLS handshake failed: {error}");
                }
            }
        }
    }

    fn count_probe(&self, peer: PeerAddress) {
        self.versions.current().count_probe();
        debug!(%peer, "connection ended without sending a byte");
    }

    fn spawn_connection(&self, accepted: Accepted) {
        match self.versions.open() {
            Some(shell) => {
                spawn_local(Connection::new(shell, accepted));
            }
            // The client will retry, and reach another worker.
            None => {
                debug!(peer = %accepted.peer.address, "the application was just replaced; connection closed")
            }
        }
    }

    /// Sends the refusal, and waits for the peer's FIN so that a reset does not destroy it. With TLS there is no
    /// answer: the handshake would cost more than a connection.
    async fn refuse(&self, mut incoming: Incoming, why: Refusal) {
        self.versions.current().count_refused(why.name());
        if why.level() == Level::Debug {
            debug!("{}", why.line(incoming.address));
        } else if let Some(permit) = log::permit(LogCategory::Admission) {
            warn!("{}{permit}", why.line(incoming.address));
        }
        if incoming.tls.is_some() {
            return;
        }
        let Ok(_permit) = self.versions.context().refusals.try_acquire() else {
            return;
        };
        let answering = async {
            incoming.stream.write_all(&why.response()).await?;
            incoming.stream.shutdown().await?;
            while incoming.stream.read(&mut [0; 1024]).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // A peer that does not read is closed anyway.
        let _ = timeout(self.options().linger_timeout, answering).await;
    }
}

/// Peeks at what the peer has sent so far; None if the peer leaves without a byte, as health checks do.
async fn look_ahead(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut start = [0; START_BYTES];
    match stream.peek(&mut start).await {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(start[..count].into()),
    }
}

/// The reason if it failed.
async fn in_time<T, E: ToString>(
    within: Duration,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(within, what).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("not in time".into()),
    }
}
