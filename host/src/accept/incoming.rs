//! A connection between `accept` and the engine.

use tokio::sync::OwnedSemaphorePermit;

use crate::accept::peer_limiter::PeerPermit;
use crate::accept::tls::Tls;
use crate::connection::socket::{PeerAddress, Socket, StdStream, Stream};
use crate::workers::load::LoadGuard;

/// The peer, as reported to the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: PeerAddress,
    /// Connected over TLS.
    pub(crate) secure: bool,
}

/// A permit for one connection, counted for its worker, until dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) load: LoadGuard,
}

impl ConnectionPermit {
    pub(super) fn worker(&self) -> usize {
        self.load.worker()
    }
}

/// The same, with the peer's permit.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their drops")]
pub(crate) struct ConnectionGuard {
    pub(super) connection: ConnectionPermit,
    pub(super) peer: Option<PeerPermit>,
}

/// A connection whose bytes go to the engine from now on.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) guard: ConnectionGuard,
}

/// A connection as accepted.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) stream: Stream,
    pub(crate) address: PeerAddress,
    pub(crate) tls: Option<Tls>,
}

/// An accepted connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Handoff {
    pub(super) stream: StdStream,
    pub(super) address: PeerAddress,
    pub(super) tls: Option<Tls>,
    pub(super) permit: ConnectionPermit,
}
