//! What the gateway answers itself.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::body::{Download, SiteDownload};
use super::exchange::ExchangeError;
use super::route::NoRoute;
use crate::site::SiteFailure;

/// What a client is answered with: a backend's body or a web application's, or a line of ours.
pub(super) type Answer = Either<Either<Download, SiteDownload>, Full<Bytes>>;

/// Why a request is answered by the gateway itself.
pub(super) enum Refusal {
    Body,
    /// By the engine's rules for plain requests.
    Engine(legacy_websocket::Refusal),
    /// Of any protocol, where only the engine takes them.
    Handshake,
    Hosts,
    Method,
    NoRoute,
    OldHandshake,
    Site(SiteFailure),
    SiteTimeout,
    Target,
    Failed(ExchangeError),
}

impl From<ExchangeError> for Refusal {
    fn from(error: ExchangeError) -> Self {
        Self::Failed(error)
    }
}

impl From<NoRoute> for Refusal {
    fn from(error: NoRoute) -> Self {
        match error {
            NoRoute::NotFound => Self::NoRoute,
            NoRoute::DotSegment => Self::Target,
        }
    }
}

/// A body of one line.
pub(super) fn line(text: &str) -> Answer {
    Either::Right(Full::from(format!("{text}\n")))
}

impl Refusal {
    pub(super) fn answer(&self) -> Response<Answer> {
        let (status, why) = self.status();
        let mut response = Response::new(line(&why));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let is_cut = status == StatusCode::REQUEST_TIMEOUT;
        if is_cut || matches!(self, Self::OldHandshake | Self::Handshake | Self::Body) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The status, and why.
    fn status(&self) -> (StatusCode, Cow<'static, str>) {
        let (status, why) = match self {
            Self::Body => (StatusCode::BAD_REQUEST, "such a request has no body"),
            Self::Hosts => (StatusCode::BAD_REQUEST, "there is more than one Host"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "this is no proxy for other servers"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no backend serves this path"),
            Self::Target => (StatusCode::BAD_REQUEST, "the request's target is not valid"),
            Self::OldHandshake => {
                let why = "an opening handshake before RFC 6455 must be the first request of its connection";
                (StatusCode::BAD_REQUEST, why)
            }
            Self::Failed(error) => (error.status(), error.reason()),
            Self::Engine(refusal) => {
                let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                return (status, refusal.to_string().into());
            }
            Self::Handshake => {
                let why = "an opening handshake must be of a protocol that is accepted";
                (StatusCode::BAD_REQUEST, why)
            }
            Self::Site(SiteFailure::TooMany) => (StatusCode::SERVICE_UNAVAILABLE, "too many requests"),
            Self::SiteTimeout | Self::Site(SiteFailure::Computation(_)) => {
                (StatusCode::GATEWAY_TIMEOUT, "the application does not answer in time")
            }
            Self::Site(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the application has failed"),
        };
        (status, why.into())
    }
}

/// Refuses two Host fields (RFC 9112 section 3.2); that of an absolute target counts (section 3.2.2).
pub(super) fn check_host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err(Refusal::Hosts);
    }
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Refusal::Target)?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}
