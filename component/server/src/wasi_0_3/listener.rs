//! Listening sockets.

use alloc::string::String;
use core::mem;
use core::net::SocketAddr;

use super::abi::{Event, Incoming};
use super::address::{family, lift, lower};
use super::bindings::wasi::sockets::types::{ErrorCode, TcpSocket};
use super::socket::Socket;
use super::waiter::{Source, Waiter};
use crate::io::Ready;
use crate::listening::{listen_error, set_options};

/// A listening socket.
pub(crate) struct Listener {
    incoming: Incoming,
    has_joined: bool,
    /// Whether its end has been reported.
    is_over: bool,
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

impl Listener {
    /// Binds an address and listens on it. A client that is silent for `keepalive` milliseconds is probed, and counts
    /// as gone if it does not answer for as long again. 0: never.
    pub(crate) fn bind(address: SocketAddr, keepalive: u64) -> Result<Self, String> {
        let failed =
            |error: ErrorCode| listen_error(address, name(&error), matches!(error, ErrorCode::AccessDenied));
        let socket = TcpSocket::create(family(address)).map_err(failed)?;
        socket.bind(lower(address)).map_err(failed)?;
        set_options!(socket, keepalive);
        let incoming = Incoming::new(socket.listen().map_err(failed)?);
        let address = lift(socket.get_local_address().map_err(failed)?);
        Ok(Self { incoming, has_joined: false, is_over: false, address, _socket: socket })
    }

    /// Waits for a connection, if that is not done yet.
    pub(crate) fn start(&mut self, at: usize, waiter: &mut Waiter) {
        if !mem::replace(&mut self.has_joined, true) {
            waiter.join(self.incoming.handle(), Source::Listener(at));
        }
        if self.incoming.start() || (self.incoming.has_ended() && !self.is_over) {
            waiter.note_ready(Ready::Listener(at));
        }
    }

    /// An event has told of one.
    pub(crate) fn complete(&mut self, event: &Event) {
        self.incoming.complete(event.result);
    }

    /// Accepts the next connection, if there is one. Fails with the error's name.
    pub(crate) fn accept(&mut self) -> Result<Option<Socket>, String> {
        if !self.incoming.start() {
            // Once: nothing of it is ready any more.
            let has_ended = self.incoming.has_ended() && !mem::replace(&mut self.is_over, true);
            return if has_ended { Err("the host has closed the listening socket".into()) } else { Ok(None) };
        }
        let Some(socket) = self.incoming.take() else {
            return Ok(None);
        };
        match socket.get_remote_address() {
            Ok(peer) => Ok(Some(Socket::new(socket, Some(lift(peer))))),
            Err(
                ErrorCode::InvalidState
                | ErrorCode::InvalidArgument
                | ErrorCode::ConnectionAborted
                | ErrorCode::ConnectionBroken
                | ErrorCode::ConnectionReset
                | ErrorCode::RemoteUnreachable,
            ) => Ok(Some(Socket::new(socket, None))),
            // This is how a host reports a failed accept: it may be out of descriptors.
            Err(error) => Err(name(&error).into()),
        }
    }
}

/// As WASI 0.2 names them.
fn name(error: &ErrorCode) -> &'static str {
    match error {
        ErrorCode::AccessDenied => "access-denied",
        ErrorCode::NotSupported => "not-supported",
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::OutOfMemory => "out-of-memory",
        ErrorCode::Timeout => "timeout",
        ErrorCode::InvalidState => "invalid-state",
        ErrorCode::AddressNotBindable => "address-not-bindable",
        ErrorCode::AddressInUse => "address-in-use",
        ErrorCode::RemoteUnreachable => "remote-unreachable",
        ErrorCode::ConnectionRefused => "connection-refused",
        ErrorCode::ConnectionBroken => "connection-broken",
        ErrorCode::ConnectionReset => "connection-reset",
        ErrorCode::ConnectionAborted => "connection-aborted",
        ErrorCode::DatagramTooLarge => "datagram-too-large",
        ErrorCode::Other(_) => "unknown",
    }
}
