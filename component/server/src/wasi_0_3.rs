//! WASI 0.3: connections, input and output are streams. A read or write that cannot complete at once completes later,
//! as an event of one waitable set; what it costs does not depend on the number of idle connections.

mod abi;
mod address;
#[cfg(feature = "bare")]
pub(crate) mod bare;
mod bindings;
pub(crate) mod clock;
mod future;
#[cfg(feature = "http")]
pub(crate) mod http;
mod listener;
mod socket;
pub(crate) mod stdio;
mod waiter;

pub(crate) use self::abi::{Event, yield_to_host};
pub(crate) use self::bindings::exports::wasi::cli::run::Guest;
pub(crate) use self::bindings::hixie::legacy_websocket::handler::handle;
pub(crate) use self::bindings::wasi::cli::environment::get_arguments;
pub(crate) use self::listener::Listener;
pub(crate) use self::socket::{Draining, Socket};
#[cfg(feature = "http")]
pub(crate) use self::waiter::Part;
pub(crate) use self::waiter::{Source, Waiter};

/// How many links are served in one turn.
pub(crate) const TURN_SOURCES: usize = 256;
