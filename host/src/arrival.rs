//! What comes between accept and a connection: a place within the limits, the PROXY protocol, TLS.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::connection::Connection;
use crate::crew::{Load, Note};
use crate::generations::Generations;
use crate::log;
use crate::log_rate_limiter::{LogCategory, LogPermit};
use crate::options::ShellOptions;
use crate::peers::{Admission, Admitted, Excess};
use crate::printable::Printable;
use crate::proxy;
use crate::socket::{PeerAddress, Socket, StdStream, Stream};
use crate::tls::{self, Tls};

/// How long a worker may take to close an idle connection, beside what its peer takes.
const IDLE_CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Who is there, as the engine is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: PeerAddress,
    /// Came by TLS.
    pub(crate) secure: bool,
}

/// What a connection takes from the server's limit and from a worker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit, Load);

impl Seat {
    fn worker(&self) -> usize {
        self.1.worker()
    }
}

/// The same, and what it takes from its peer's limits.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their drops")]
pub(crate) struct Place(Seat, Option<Admission>);

/// Somebody whose bytes are the engine's from now on.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) place: Place,
}

/// As accepted.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) stream: Stream,
    pub(crate) address: PeerAddress,
    pub(crate) tls: Option<Tls>,
}

/// A visitor on the way to another worker.
#[derive(Debug)]
pub(crate) struct Handed {
    stream: StdStream,
    address: PeerAddress,
    tls: Option<Tls>,
    seat: Seat,
}

/// Leads visitors in, here or to another worker.
#[derive(Debug)]
pub(crate) struct Door {
    worker: usize,
    rules: Rc<Rules>,
    /// Those who are not in yet.
    waiting: JoinSet<()>,
}

#[derive(Debug)]
struct Rules {
    shells: Rc<Generations>,
}

/// Why somebody is not served.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Stopping,
    Full,
    Excess(Excess),
}

impl Door {
    pub(crate) fn new(shells: Rc<Generations>, worker: usize) -> Self {
        let rules = Rc::new(Rules { shells });
        Self { worker, rules, waiting: JoinSet::new() }
    }

    /// Nobody comes any more, and those who are not in yet are sent away.
    pub(crate) fn close(&mut self) {
        self.waiting.abort_all();
    }

    pub(crate) fn receive(&mut self, visitor: Visitor) {
        if let Err(error) = visitor.stream.set_nodelay() {
            return gone(visitor.address, &error);
        }
        let plan = self.rules.shells.plan();
        if plan.crew.is_stopping() {
            return self.refuse(visitor, Refusal::Stopping);
        }
        let Ok(permit) = Arc::clone(&plan.permits).try_acquire_owned() else {
            return self.wait_for_room(visitor);
        };
        let load = plan.crew.place(self.worker);
        let seat = Seat(permit, load);
        if seat.worker() == self.worker {
            return self.seat(visitor, seat);
        }
        self.rules.hand_over(visitor, seat);
    }

    /// An idle connection gives way, if there is one.
    fn wait_for_room(&mut self, visitor: Visitor) {
        let (rules, worker) = (Rc::clone(&self.rules), self.worker);
        match rules.shells.plan().peers.take_oldest_idle() {
            Some(idle) => self.wait(async move { rules.take_the_place(worker, visitor, idle).await }),
            None => self.refuse(visitor, Refusal::Full),
        }
    }

    /// Somebody whom another worker accepted.
    pub(crate) fn receive_handed(&mut self, Handed { stream, address, tls, seat }: Handed) {
        match stream.into_tokio() {
            Ok(stream) => self.seat(Visitor { stream, address, tls }, seat),
            Err(error) => gone(address, &error),
        }
    }

    fn seat(&mut self, visitor: Visitor, seat: Seat) {
        let rules = Rc::clone(&self.rules);
        if rules.options().proxy_protocol {
            return self.wait(async move { rules.forwarded(visitor, seat).await });
        }
        match rules.admit(visitor.address, seat) {
            // The usual case costs no task of its own.
            Ok(place) if visitor.tls.is_none() => rules.let_in(Arrival {
                socket: visitor.stream.into(),
                peer: Peer { address: visitor.address, secure: false },
                place,
            }),
            Ok(place) => self.wait(async move { rules.encrypt(visitor, false, place).await }),
            Err(excess) => self.refuse(visitor, Refusal::Excess(excess)),
        }
    }

    fn refuse(&mut self, visitor: Visitor, why: Refusal) {
        let rules = Rc::clone(&self.rules);
        self.wait(async move { rules.refuse(visitor, why).await });
    }

    fn wait(&mut self, until: impl Future<Output = ()> + 'static) {
        while self.waiting.try_join_next().is_some() {}
        self.waiting.spawn_local(until);
    }
}

fn gone(peer: PeerAddress, error: &io::Error) {
    debug!(%peer, "a connection was gone before it was served: {error}");
}

impl Rules {
    fn options(&self) -> &ShellOptions {
        &self.shells.plan().options
    }

    fn admit(&self, address: PeerAddress, seat: Seat) -> Result<Place, Excess> {
        let Some(ip) = address.ip() else {
            return Ok(Place(seat, None));
        };
        let plan = self.shells.plan();
        let Admitted { admission, instead } = plan.peers.admit(ip, Instant::now())?;
        if let Some(idle) = instead {
            plan.crew.close_idle(idle);
        }
        Ok(Place(seat, admission))
    }

    /// Waits until an idle connection has been closed, which takes as long as its peer needs to end its side.
    async fn take_the_place(&self, worker: usize, visitor: Visitor, idle: u64) {
        let plan = self.shells.plan();
        plan.crew.close_idle(idle);
        let within = self.options().linger_timeout + IDLE_CLOSES_WITHIN;
        match timeout(within, Arc::clone(&plan.permits).acquire_owned()).await {
            Ok(Ok(permit)) => self.hand_over(visitor, Seat(permit, plan.crew.place(worker))),
            _ => self.refuse(visitor, Refusal::Full).await,
        }
    }

    /// To the worker that has a place for it.
    fn hand_over(&self, visitor: Visitor, seat: Seat) {
        let Visitor { stream, address, tls } = visitor;
        match stream.into_std() {
            Ok(stream) => {
                let worker = seat.worker();
                let handed = Handed { stream, address, tls, seat };
                self.shells.plan().crew.tell(worker, Note::Visitor(handed));
            }
            Err(error) => gone(address, &error),
        }
    }

    /// Reads who is behind the proxy.
    async fn forwarded(&self, mut visitor: Visitor, seat: Seat) {
        let within = self.options().handshake_timeout;
        let reading = async {
            if let Stream::Tcp(tcp) = &visitor.stream
                && look_ahead(tcp).await.is_none()
            {
                return Ok(None);
            }
            proxy::read(&mut visitor.stream).await.map(Some)
        };
        let forwarded = match in_time(within, reading).await {
            Ok(Some(forwarded)) => forwarded,
            Ok(None) => return self.count_probe(visitor.address),
            Err(error) => {
                self.shells.current().count_refused("proxy-header");
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    let error = Printable::cut(error.as_bytes());
                    warn!(peer = %visitor.address, unlogged, "no PROXY header, closed: {error}");
                }
                return;
            }
        };
        visitor.address = forwarded.address.map_or(visitor.address, PeerAddress::Ip);
        match self.admit(visitor.address, seat) {
            Ok(place) => self.encrypt(visitor, forwarded.secure, place).await,
            Err(excess) => self.refuse(visitor, Refusal::Excess(excess)).await,
        }
    }

    /// Goes through the TLS handshake, where there is one.
    async fn encrypt(&self, visitor: Visitor, secure: bool, place: Place) {
        let Visitor { stream, address, tls } = visitor;
        let (tls, stream) = match (tls, stream) {
            (Some(tls), Stream::Tcp(stream)) => (tls, stream),
            (_, stream) => {
                let peer = Peer { address, secure };
                return self.let_in(Arrival { socket: stream.into(), peer, place });
            }
        };
        let within = self.options().handshake_timeout;
        let accepting = async {
            let Some(start) = look_ahead(&stream).await else {
                return Ok(None);
            };
            let accepted = tls.acceptor().accept(stream).await;
            accepted.map(Some).map_err(|error| tls::explain(&error, &start))
        };
        match in_time(within, accepting).await {
            Ok(Some(stream)) => {
                let peer = Peer { address, secure: true };
                self.let_in(Arrival { socket: Socket::Tls(Box::new(stream)), peer, place });
            }
            Ok(None) => self.count_probe(address),
            Err(error) => {
                self.shells.current().count_refused("tls-handshake");
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    let error = Printable::cut(error.as_bytes());
                    warn!(peer = %address, unlogged, "TLS handshake failed: {error}");
                }
            }
        }
    }

    fn count_probe(&self, peer: PeerAddress) {
        self.shells.current().count_probe();
        debug!(%peer, "a connection has ended without a byte");
    }

    fn let_in(&self, arrival: Arrival) {
        match self.shells.open() {
            Some(shell) => {
                spawn_local(Connection::new(shell, arrival));
            }
            // They come again, and then to another worker.
            None => debug!(peer = %arrival.peer.address, "the application has just been replaced, closed"),
        }
    }

    /// Says no, and waits for the peer's end so that the kernel does not destroy what was said. With TLS
    /// nothing is said: the handshake would cost more than a connection.
    async fn refuse(&self, mut visitor: Visitor, why: Refusal) {
        self.shells.current().count_refused(why.name());
        let (peer, status, reason) = (visitor.address, why.status(), why.reason());
        if matches!(why, Refusal::Stopping) {
            debug!(%peer, status, reason, "refused");
        } else if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
            warn!(%peer, status, reason, unlogged, "refused");
        }
        if visitor.tls.is_some() {
            return;
        }
        let Ok(_permit) = self.shells.plan().refusals.try_acquire() else {
            return;
        };
        let saying_no = async {
            visitor.stream.write_all(&why.response()).await?;
            visitor.stream.shutdown().await?;
            while visitor.stream.read(&mut [0; 1024]).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // Whoever does not listen is closed all the same.
        let _ = timeout(self.options().linger_timeout, saying_no).await;
    }
}

/// What the peer sends first, as far as it is there, and leaves it where it is; None if the peer goes without a byte, as
/// health checks do.
async fn look_ahead(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut start = [0; tls::START_BYTES];
    match stream.peek(&mut start).await {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(start[..count].into()),
    }
}

/// Why it failed, if it did.
async fn in_time<T, E: ToString>(
    within: Duration,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(within, what).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("not in time".into()),
    }
}

impl Refusal {
    fn status(self) -> u16 {
        match self {
            Self::Stopping | Self::Full => 503,
            Self::Excess(_) => 429,
        }
    }

    /// For metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Full => "full",
            Self::Excess(Excess::Connections) => "connections-per-peer",
            Self::Excess(Excess::Rate) => "handshakes-per-peer",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the server is shutting down",
            Self::Full => "the server has as many connections as it may have",
            Self::Excess(Excess::Connections) => "too many connections of one address",
            Self::Excess(Excess::Rate) => "too many new connections of one address",
        }
    }

    fn response(self) -> Vec<u8> {
        let phrase = if self.status() == 503 { "Service Unavailable" } else { "Too Many Requests" };
        let (status, body) = (self.status(), format!("{}\n", self.reason()));
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}
