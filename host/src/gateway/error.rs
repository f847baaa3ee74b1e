//! Why a gateway cannot start.

use thiserror::Error;

/// The options of a gateway are not valid.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct GatewayError(pub(super) String);
