//! WASI 0.3: connections, input and output are streams. A read or write that cannot complete at once completes later, as
//! an event of one waitable set; what it costs does not depend on the number of idle connections.

mod abi;
mod bindings;
pub(crate) mod clock;
mod listener;
mod socket;
pub(crate) mod stdio;
mod wait;

pub(crate) use self::bindings::exports::wasi::cli::run::Guest;
pub(crate) use self::bindings::hixie::legacy_websocket::handler::handle;
pub(crate) use self::bindings::wasi::cli::environment::get_arguments;
pub(crate) use self::bindings::wasi::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
pub(crate) use self::listener::Listener;
pub(crate) use self::socket::{Draining, Socket};
pub(crate) use self::wait::{TURN_SOURCES, Waiter};
