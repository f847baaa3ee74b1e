//! What comes between accept and a connection: TLS, and a time limit for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::socket::Socket;

/// Who is there, as the engine is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Came by TLS.
    pub(crate) secure: bool,
}

/// What a connection takes from the limits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] pub(crate) OwnedSemaphorePermit);

/// Somebody whose bytes are the engine's from now on.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) place: Place,
}

impl Arrival {
    pub(crate) fn plain(stream: TcpStream, address: SocketAddr, place: Place) -> Self {
        Self { socket: Socket::Plain(stream), peer: Peer { address, secure: false }, place }
    }

    /// Goes through the TLS handshake.
    pub(crate) async fn by_tls(
        stream: TcpStream,
        address: SocketAddr,
        place: Place,
        acceptor: TlsAcceptor,
        within: Duration,
    ) -> io::Result<Self> {
        let stream = timeout(within, acceptor.accept(stream)).await??;
        let peer = Peer { address, secure: true };
        Ok(Self { socket: Socket::Tls(Box::new(stream)), peer, place })
    }
}
