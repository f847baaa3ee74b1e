//! Listening sockets and addresses.

use alloc::format;
use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream};
use crate::bindings::wasi::sockets::instance_network::instance_network;
use crate::bindings::wasi::sockets::network::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use crate::bindings::wasi::sockets::tcp::TcpSocket;
use crate::bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;

/// The listen backlog.
const BACKLOG: u64 = 1024;

/// How many times a silent client is probed before it counts as gone.
const PROBES: u32 = 4;

/// Nanoseconds per millisecond; a second is the shortest keepalive time.
const NANOSECONDS: u64 = 1_000_000;
const SECOND: u64 = 1000 * NANOSECONDS;

/// The kernel's send buffer. Small, so that a `MORE_SEND_BUFFER` can take the remaining output of a peer that does not
/// read.
const SEND_BUFFER: u64 = 64 * 1024;

/// More than the kernel allows: on Linux it allows twice the requested size, but at least 200 KiB.
pub(crate) const MORE_SEND_BUFFER: u64 = 4 * 1024 * 1024;

/// The hint for ports below 1024, which are denied with the same error.
const ACCESS_HINT: &str = " (does the host let it use the network? wasmtime needs -S inherit-network)";

/// A listening socket.
pub(crate) struct Listener {
    // Dropped before the socket, its parent.
    pub(crate) acceptable: Pollable,
    socket: TcpSocket,
    pub(crate) address: SocketAddr,
}

/// An accepted connection.
pub(crate) struct Accepted {
    // Children before parents: fields are dropped in this order.
    pub(crate) input: InputStream,
    pub(crate) output: OutputStream,
    pub(crate) socket: TcpSocket,
}

impl Listener {
    /// Binds an address and listens on it. A client that is silent for `keepalive` milliseconds is probed, and counts
    /// as gone if it does not answer for as long again. 0: never.
    pub(crate) fn bind(address: SocketAddr, keepalive: u64) -> Result<Self, String> {
        let failed = |error: ErrorCode| {
            let hint = if error == ErrorCode::AccessDenied { ACCESS_HINT } else { "" };
            format!("cannot listen on {address}: {}{hint}", error.name())
        };
        let family = match address {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        };
        let socket = create_tcp_socket(family).map_err(failed)?;
        socket.start_bind(&instance_network(), lower(address)).map_err(failed)?;
        wait_for(&socket, TcpSocket::finish_bind).map_err(failed)?;
        // Accepted sockets inherit these options. A host may not support them; serving works without.
        let _ = socket.set_listen_backlog_size(BACKLOG);
        // Drafts 75 and 76 have no ping that could detect a dead peer.
        let _ = socket.set_keep_alive_enabled(keepalive != 0);
        if keepalive != 0 {
            let idle = keepalive.saturating_mul(NANOSECONDS).max(SECOND);
            let _ = socket.set_keep_alive_idle_time(idle);
            let _ = socket.set_keep_alive_interval((idle / u64::from(PROBES)).max(SECOND));
            let _ = socket.set_keep_alive_count(PROBES);
        }
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        socket.start_listen().map_err(failed)?;
        wait_for(&socket, TcpSocket::finish_listen).map_err(failed)?;
        let address = lift(socket.local_address().map_err(failed)?);
        Ok(Self { acceptable: socket.subscribe(), socket, address })
    }

    /// Accepts the next connection, if there is one.
    pub(crate) fn accept(&self) -> Result<Option<Accepted>, ErrorCode> {
        match self.socket.accept() {
            Ok((socket, input, output)) => Ok(Some(Accepted { socket, input, output })),
            Err(ErrorCode::WouldBlock) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The peer's address, or none if the peer is gone already.
pub(crate) fn peer(socket: &TcpSocket) -> Option<SocketAddr> {
    socket.remote_address().ok().map(lift)
}

fn wait_for(socket: &TcpSocket, finish: fn(&TcpSocket) -> Result<(), ErrorCode>) -> Result<(), ErrorCode> {
    loop {
        match finish(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => return done,
        }
    }
}

fn lower(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: address.scope_id(),
            })
        }
    }
}

fn lift(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
            SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into()
        }
        IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
            let (a, b, c, d, e, f, g, h) = address;
            SocketAddrV6::new(Ipv6Addr::new(a, b, c, d, e, f, g, h), port, flow_info, scope_id).into()
        }
    }
}
