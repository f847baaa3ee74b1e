//! From a listening socket to a connection: limits, the PROXY protocol, TLS.

pub(crate) mod acceptor;
pub(crate) mod bind;
pub(crate) mod incoming;
pub(crate) mod listener;
pub(crate) mod peer_limiter;
mod proxy_protocol;
mod socket_file;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "accept/without_tls.rs"]
pub(crate) mod tls;
