//! One request to a backend, and its response: on a connection of its own, for what may become an upgrade.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use legacy_websocket_shell::{LogCategory, LogPermit};
use thiserror::Error;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::backend::{Backend, BackendStream, ConnectError};
use super::route::{Route, Unreachable};
use crate::observe::log;

/// Why a request got no response from a backend.
#[derive(Debug, Error)]
#[error("{why}")]
pub(super) struct ExchangeError {
    /// The one that was asked; `None` if it had not come to that.
    pub(super) backend: Option<Arc<Backend>>,
    pub(super) why: Why,
}

#[derive(Debug, Error)]
pub(super) enum Why {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("does not answer in time")]
    Timeout,
    /// The client has not sent its request in full.
    #[error("the request was cut short")]
    UploadAborted,
    /// The client sends nothing more of its request.
    #[error("the rest of the request does not come in time")]
    UploadStalled,
    #[error("answers with no HTTP: {0}")]
    Response(String),
    #[error("answers with a 101 that is wrong: {0}")]
    Upgrade(&'static str),
}

impl ExchangeError {
    /// What the client is told.
    pub(super) fn status(&self) -> StatusCode {
        match self.why {
            Why::Timeout | Why::Connect(ConnectError::Timeout) => StatusCode::GATEWAY_TIMEOUT,
            Why::Connect(ConnectError::LocalLimit(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Why::UploadAborted => StatusCode::BAD_REQUEST,
            Why::UploadStalled => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The same in one line, without anything about the backend.
    pub(super) fn reason(&self) -> &'static str {
        match self.why {
            Why::Timeout | Why::Connect(ConnectError::Timeout) => "the backend does not answer in time",
            Why::Connect(ConnectError::LocalLimit(_)) => "too many connections",
            Why::Connect(_) => "the backend cannot be reached",
            Why::UploadAborted => "the request was cut short",
            Why::UploadStalled => "the rest of the request does not come in time",
            Why::Response(_) | Why::Upgrade(_) => "the backend's answer is not valid",
        }
    }

    /// Counts and logs it, unless that was done where it happened.
    pub(super) fn report(&self, peer: &str) {
        let Some(backend) = &self.backend else {
            return debug!(peer, "{}", self.why);
        };
        match self.why {
            Why::Timeout => backend.count_failure("timeout"),
            Why::Response(_) | Why::Upgrade(_) => backend.count_failure("response"),
            // The client's own doing, or counted already.
            Why::UploadAborted | Why::UploadStalled | Why::Connect(_) => {
                return debug!(peer, %backend, "{}", self.why);
            }
        }
        warn_of(backend, peer, &self.why.to_string());
    }
}

impl From<Unreachable> for ExchangeError {
    fn from(Unreachable { backend, error }: Unreachable) -> Self {
        Self { backend: Some(backend), why: error.into() }
    }
}

/// Tells the operator what is wrong with a backend.
pub(super) fn warn_of(backend: &Backend, peer: &str, what: &str) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Backend) {
        warn!(peer, %backend, unlogged, "backend {what}");
    }
}

/// Tells the operator of something that may explain what a client does.
pub(super) fn info_of(backend: &Backend, peer: &str, what: &str) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Backend) {
        info!(peer, %backend, unlogged, "{what}");
    }
}

/// Connects to a backend of the route, sends the request, and waits for the head of the response; all of it at most
/// `within`.
pub(super) async fn exchange<B>(
    route: &Route,
    request: Request<B>,
    connect_timeout: Duration,
    within: Duration,
) -> Result<(Response<Incoming>, Arc<Backend>), ExchangeError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let deadline = Instant::now() + within;
    let stream = route.connect(connect_timeout, Some(deadline)).await?;
    let backend = Arc::clone(stream.backend());
    let failed = |why| ExchangeError { backend: Some(Arc::clone(&backend)), why };
    match timeout_at(deadline, send(stream, request)).await {
        Ok(Ok(response)) => Ok((response, backend)),
        Ok(Err(error)) => Err(failed(response_error(&error))),
        Err(_) => Err(failed(Why::Timeout)),
    }
}

pub(super) fn response_error(error: &hyper::Error) -> Why {
    if error.is_user() || error.is_body_write_aborted() {
        return Why::UploadAborted;
    }
    Why::Response(in_words(error))
}

/// The error with its causes.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

async fn send<B>(stream: BackendStream, request: Request<B>) -> hyper::Result<Response<Incoming>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) =
        http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(stream)).await?;
    // It ends with the response, or with the upgrade.
    spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!("connection to a backend: {}", in_words(&error));
        }
    });
    sender.send_request(request).await
}
