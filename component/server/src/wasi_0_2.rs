//! WASI 0.2: sockets with input and output streams, and one `poll` over all of them.

mod address;
pub(crate) mod bindings;
pub(crate) mod clock;
mod listener;
mod socket;
pub(crate) mod stdio;

pub(crate) use self::bindings::exports::wasi::cli::run::Guest;
pub(crate) use self::bindings::hixie::legacy_websocket::handler::handle;
pub(crate) use self::bindings::wasi::cli::environment::get_arguments;
pub(crate) use self::listener::Listener;
pub(crate) use self::socket::{Draining, Socket};

/// How many links are polled in one turn. Hosts on tokio allow a task 128 operations between two waits, after which
/// nothing is ready any more; if `poll` used up all 128, no work would ever get done.
pub(crate) const TURN_SOURCES: usize = 40;
