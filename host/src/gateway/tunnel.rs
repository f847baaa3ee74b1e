//! Bytes both ways after a 101 of RFC 6455.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, on};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

use super::activity::Activity;
use super::backend::Backend;
use super::body::{Download, download};
use super::exchange::{ExchangeError, Why, exchange};
use super::fields;
use super::route::Route;
use super::shared::Gateway;
use crate::connection::socket::PeerAddress;

/// A client and a backend that speak to each other.
pub(super) struct Tunnel {
    client: OnUpgrade,
    server: OnUpgrade,
    backend: Arc<Backend>,
}

/// Asks a backend for the upgrade. Returns its response, and the tunnel if it agrees.
pub(super) async fn open(
    gateway: &Gateway,
    route: &Route,
    request: Request<Incoming>,
    client: OnUpgrade,
    peer: PeerAddress,
) -> Result<(Response<Download>, Option<Tunnel>), ExchangeError> {
    let options = &gateway.options;
    let (mut response, backend) =
        exchange(route, request, options.connect_timeout, options.backend_timeout).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if response.status().is_informational() {
            return Err(ExchangeError { backend: Some(backend), why: Why::Upgrade("nobody asked for it") });
        }
        return Ok((download(response, Some(backend), peer), None));
    }
    if !fields::lists(response.headers(), UPGRADE, "websocket") {
        return Err(ExchangeError { backend: Some(backend), why: Why::Upgrade("no upgrade to websocket") });
    }
    let server = on(&mut response);
    let mut response = download(response, Some(Arc::clone(&backend)), peer);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok((response, Some(Tunnel { client, server, backend })))
}

impl Tunnel {
    /// Completes when both sides have ended, or nothing has passed for the idle timeout.
    pub(super) async fn run(self, idle_timeout: Option<Duration>) {
        let Self { client, server, backend } = self;
        let (client, server) = match tokio::try_join!(client, server) {
            Ok(both) => both,
            Err(error) => return debug!(%backend, "no tunnel: {error}"),
        };
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        let ended = match idle_timeout {
            None => copy_bidirectional(&mut client, &mut server).await,
            Some(time) => {
                let activity = Activity::new();
                let (mut client, mut server) = (activity.watch(client), activity.watch(server));
                tokio::select! {
                    ended = copy_bidirectional(&mut client, &mut server) => ended,
                    () = activity.ceased(time) => return debug!(%backend, "tunnel: idle for too long"),
                }
            }
        };
        if let Err(error) = ended {
            debug!(%backend, "tunnel: {error}");
        }
    }
}
