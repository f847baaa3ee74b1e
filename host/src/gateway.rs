//! Old clients in front of backends that speak RFC 6455, and everything else passed through.
//!
//! ```text
//!   old client ─→ engine ─ handshake, messages ─→ OldClients ─→ Pair ─ tokio-websockets ─→ backend
//!        ↑          │ ←────── commands, by Handle ───────────────┘
//!        └──────────┤
//!   any other ──────┴─ passed ─→ PassThrough ─ hyper, or a tunnel after the 101 ─→ backend
//! ```

mod activity;
mod backend;
mod batch;
mod body;
mod close_code;
pub(crate) mod error;
mod exchange;
mod failure;
mod fields;
mod framing;
mod head_gate;
mod health;
mod inbound;
mod metrics;
mod old_clients;
mod options;
mod pair;
mod pass_through;
mod prefixed;
mod refusal;
mod route;
mod shared;
mod status;
mod target;
mod transfer;
mod tunnel;
mod web_application;

pub use self::error::GatewayError;
pub(crate) use self::old_clients::OldClients;
pub use self::options::{Binary, GatewayOptions, RouteOptions};
pub(crate) use self::pass_through::PassThrough;
pub(crate) use self::prefixed::Passed;
pub(crate) use self::shared::{Gateway, Stage};
pub(crate) use self::status::{BackendStatus, GatewayStatus, SiteStatus};
pub use self::target::Target;
