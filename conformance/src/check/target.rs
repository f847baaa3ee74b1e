//! What is checked.

use std::net::SocketAddr;
use std::time::Duration;

use legacy_websocket_trace::{Protocol, Setting, Variables};

use super::tls::Tls;
use crate::chunking::Chunkings;

/// The server to check, and what is known about it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by callers")]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// TLS, if its URL is `wss://`.
    pub tls: Option<Tls>,
    /// The values of the variables in requests.
    pub variables: Variables,
    /// The protocols that it speaks; empty: any.
    pub protocols: Vec<Protocol>,
    /// It echoes every message.
    pub echo: bool,
    /// The settings that it has. Only cases with exactly these apply.
    pub settings: Vec<Setting>,
    /// How long to wait for something expected.
    pub patience: Duration,
    /// How long a case's steps may wait in total.
    pub longest_pause: Duration,
    /// How long the server must be silent before nothing more is expected.
    pub quiet: Duration,
    /// How clients' writes are split. Each chunking is one run of the case; runs stop at the first that does not pass.
    pub chunkings: Chunkings,
    /// The first seed of random chunkings.
    pub seed: u64,
    /// How long the server has to read one write before the next: otherwise the kernel would join the two.
    pub pause: Duration,
    /// The control address of its application, if it can be driven.
    pub application: Option<SocketAddr>,
}
