//! WASI 0.2: sockets with input and output streams, and one `poll` over all of them.

mod bindings;
pub(crate) mod clock;
mod listener;
mod socket;
pub(crate) mod stdio;
mod wait;

pub(crate) use self::bindings::exports::wasi::cli::run::Guest;
pub(crate) use self::bindings::hixie::legacy_websocket::handler::handle;
pub(crate) use self::bindings::wasi::cli::environment::get_arguments;
pub(crate) use self::bindings::wasi::sockets::network::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
pub(crate) use self::listener::Listener;
pub(crate) use self::socket::{Draining, Socket};
pub(crate) use self::wait::{TURN_SOURCES, Waiter};
