//! How a gateway behaves.

use std::path::PathBuf;
use std::time::Duration;

use super::target::Target;

/// How a gateway behaves. The default has no route.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayOptions {
    /// Where requests go, by their paths. At least one.
    pub routes: Vec<RouteOptions>,
    /// Certificates in PEM that backends with `https` are checked against; `None` for those of the system.
    pub backend_ca: Option<PathBuf>,
    /// How long a backend may take to accept a connection, TLS handshake included.
    pub connect_timeout: Duration,
    /// How long a backend may take to begin its response after the last part of the request. More: 504.
    pub backend_timeout: Duration,
    /// How long the backend of a client of draft 75, draft 76 or hybi may send nothing; `None` for ever.
    pub backend_idle_timeout: Option<Duration>,
    /// How often the backend of an old client is sent a ping; if it does not answer before the next, the connection
    /// ends. `None` for never.
    pub backend_ping_interval: Option<Duration>,
    /// How long nothing may pass in a tunnel between a client of RFC 6455 and its backend; `None` for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// How long a backend that refused a connection is passed over while there are others.
    pub retry_after: Duration,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            backend_ca: None,
            connect_timeout: Duration::from_secs(5),
            backend_timeout: Duration::from_secs(60),
            backend_idle_timeout: None,
            backend_ping_interval: None,
            tunnel_idle_timeout: None,
            retry_after: Duration::from_secs(10),
        }
    }
}

/// Where requests with a path go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteOptions {
    /// The prefix of the paths that it takes, by whole segments: `/a` takes `/a`, `/a/b` and `/a?b`, but not `/ab`. Of
    /// several, the longest wins.
    pub path: String,
    /// The backends, in turn. At least one.
    pub to: Vec<Target>,
    /// Take the prefix off.
    pub strip: bool,
    /// What becomes of binary messages for clients that have only text.
    pub binary: Binary,
    /// The Host that backends are told; `None` for the client's own.
    pub backend_host: Option<String>,
    /// The Origin of opening handshakes that backends are told; `None` for the client's own.
    pub backend_origin: Option<String>,
}

impl RouteOptions {
    /// Takes a path to these backends, unchanged.
    #[must_use]
    pub fn new(path: impl Into<String>, to: Vec<Target>) -> Self {
        let binary = Binary::default();
        Self { path: path.into(), to, strip: false, binary, backend_host: None, backend_origin: None }
    }
}

/// What becomes of binary messages for clients of drafts 75 and 76, which have only text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binary {
    /// The connection ends; the backend is told code 1003.
    #[default]
    Close,
    /// They are sent as text, in base64 (RFC 4648 section 4), and what the client sends is taken as such.
    Base64,
    /// They are dropped, and counted.
    Drop,
}
