//! A gateway's figures, for those who show them.

use std::collections::BTreeMap;
use std::time::Duration;

/// A gateway's figures, to be shown.
#[derive(Clone, Debug)]
pub(crate) struct GatewayStatus {
    pub(crate) backends: Vec<BackendStatus>,
    /// Each route's path, and its backends.
    pub(crate) routes: Vec<(String, Vec<String>)>,
    pub(crate) pairs: usize,
    pub(crate) tunnels: usize,
    pub(crate) requests: BTreeMap<u16, u64>,
    pub(crate) dropped: u64,
    pub(crate) closes: BTreeMap<u16, u64>,
    /// In place of backends.
    pub(crate) site: Option<SiteStatus>,
}

/// A web application's figures, to be shown.
#[derive(Clone, Debug)]
pub(crate) struct SiteStatus {
    /// Requests that it is answering.
    pub(crate) open: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) requests: BTreeMap<u16, u64>,
    pub(crate) failures: BTreeMap<&'static str, u64>,
}

/// A backend's figures.
#[derive(Clone, Debug)]
pub(crate) struct BackendStatus {
    pub(crate) name: String,
    /// How long ago it could not be connected to, if it has not been since.
    pub(crate) down: Option<Duration>,
    pub(crate) open: usize,
    pub(crate) connects: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
}
