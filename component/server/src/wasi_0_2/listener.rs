//! Listening sockets.

use alloc::string::String;
use core::net::SocketAddr;

use super::address::{family, lift, lower};
use super::bindings::wasi::io::poll::Pollable;
use super::bindings::wasi::sockets::instance_network::instance_network;
use super::bindings::wasi::sockets::network::ErrorCode;
use super::bindings::wasi::sockets::tcp::TcpSocket;
use super::bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;
use super::socket::{SEND_BUFFER, Socket};
use crate::listening::{listen_error, set_options};

/// A listening socket.
pub(crate) struct Listener {
    // Dropped before the socket, its parent.
    pub(crate) acceptable: Pollable,
    socket: TcpSocket,
    pub(crate) address: SocketAddr,
}

impl Listener {
    /// Binds an address and listens on it. A client that is silent for `keepalive` milliseconds is probed, and counts
    /// as gone if it does not answer for as long again. 0: never.
    pub(crate) fn bind(address: SocketAddr, keepalive: u64) -> Result<Self, String> {
        let failed = |error: ErrorCode| listen_error(address, error.name(), error == ErrorCode::AccessDenied);
        let socket = create_tcp_socket(family(address)).map_err(failed)?;
        socket.start_bind(&instance_network(), lower(address)).map_err(failed)?;
        wait_for(&socket, TcpSocket::finish_bind).map_err(failed)?;
        set_options!(socket, keepalive);
        // Inherited, too.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        socket.start_listen().map_err(failed)?;
        wait_for(&socket, TcpSocket::finish_listen).map_err(failed)?;
        let address = lift(socket.local_address().map_err(failed)?);
        Ok(Self { acceptable: socket.subscribe(), socket, address })
    }

    /// Accepts the next connection, if there is one. Fails with the error's name.
    pub(crate) fn accept(&mut self) -> Result<Option<Socket>, String> {
        match self.socket.accept() {
            Ok((socket, input, output)) => Ok(Some(Socket::new(socket, input, output))),
            Err(ErrorCode::WouldBlock) => Ok(None),
            Err(error) => Err(error.name().into()),
        }
    }
}

fn wait_for(socket: &TcpSocket, finish: fn(&TcpSocket) -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    loop {
        match finish(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => return done,
        }
    }
}
