//! Requests that no client of WebSocket sends, for a web application in this process.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HOST, HeaderValue, ORIGIN, UPGRADE};
use hyper::http::uri::Scheme;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use legacy_websocket::{Forwarded, PlainRequest, RequestOrigin};
use tokio_io_timeout::TimeoutStream;
use tracing::debug;
use wasmtime_wasi_http::Error as WasiError;

use super::body::{Progress, SiteDownload, UploadClock, in_time, upload, warn_of_site};
use super::exchange::{ExchangeError, Why, in_words};
use super::fields;
use super::head_gate::{Exchange, HeadGate};
use super::prefixed::{Passed, Prefixed};
use super::refusal::{Answer, Refusal, check_host, line};
use super::shared::{Gateway, Stage};
use crate::accept::incoming::Peer;
use crate::connection::socket::Socket;
use crate::site::Site;

/// Serves a connection until it ends, or has an opening handshake for the engine.
pub(super) async fn serve(
    gateway: &Arc<Gateway>,
    site: &Arc<Site>,
    Passed { socket, received, peer }: Passed,
) -> Option<Passed> {
    let exchange = Exchange::new();
    let service = {
        let (gateway, site, exchange) = (Arc::clone(gateway), Arc::clone(site), Arc::clone(&exchange));
        service_fn(move |request: Request<Incoming>| {
            let (gateway, site, exchange) = (Arc::clone(&gateway), Arc::clone(&site), Arc::clone(&exchange));
            Box::pin(async move {
                let answer = answer(&gateway, &site, request, peer).await;
                Ok::<_, Infallible>(answer.map(|body| Tracked { body, exchange }))
            })
        })
    };
    let gate = HeadGate::new(Prefixed::new(received, socket), exchange, gateway.policy.limits.max_head_bytes);
    let mut stream = TimeoutStream::new(gate);
    stream.set_write_timeout(Some(gateway.write_timeout));
    let mut http = gateway.http();
    // There is nobody else to set a date; and clients of the time know fields in title case.
    http.auto_date_header(true).title_case_headers(true);
    let mut connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut stage = gateway.stage();
    let mut stops = false;
    let ended = loop {
        tokio::select! {
            // First: it may hold a request already when the server stops.
            biased;
            // It ends when all is written, and shut down unless there is a handshake.
            ended = &mut connection => break ended,
            _ = stage.wait_for(|stage| *stage >= Stage::Stopping), if !stops => {
                stops = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = gateway.aborted() => return None,
        }
    };
    if let Err(error) = ended {
        debug!(peer = %peer.address, "connection passed through: {}", in_words(&error));
        return None;
    }
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    let nothing = Prefixed::new(Vec::new(), Socket::Taken);
    let (connection, mut received) = stream.as_mut().get_pin_mut().take_handshake(nothing)?;
    let (rest, socket) = connection.into_parts();
    received.extend_from_slice(&rest);
    Some(Passed { socket, received, peer })
}

async fn answer(gateway: &Gateway, site: &Site, request: Request<Incoming>, peer: Peer) -> Response<Answer> {
    let answer = match ask(gateway, site, request, &peer).await {
        Ok(response) => response,
        Err(refusal) => {
            report(gateway, &refusal, &peer);
            refusal.answer()
        }
    };
    gateway.metrics.count_request(answer.status().as_u16());
    answer
}

async fn ask(
    gateway: &Gateway,
    site: &Site,
    mut request: Request<Incoming>,
    peer: &Peer,
) -> Result<Response<Answer>, Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Method);
    }
    if fields::lists(request.headers(), UPGRADE, "websocket") {
        return Err(Refusal::Handshake);
    }
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return Err(Refusal::Engine(legacy_websocket::Refusal::HostAbsent));
    }
    check_host(&mut request)?;
    if is_health_check(gateway, &request) {
        return Ok(Response::new(line("ok")));
    }
    let forwarded = gateway.forwarding.read(request.headers()).map_err(Refusal::Engine)?;
    let url = checked_url(gateway, &request, &forwarded, peer)?;
    let secure = url.scheme() == Some(&Scheme::HTTPS);
    *request.uri_mut() = url;
    fields::prepare_for_site(request.headers_mut(), peer, &gateway.forwarding, &forwarded, secure);
    *request.version_mut() = Version::HTTP_11;
    let progress = Progress::new();
    let request = request.map(|body| {
        let body = upload(body, progress.clone());
        body.map_err(WasiError::Hyper).boxed_unsync()
    });
    let asked = in_time(site.ask(request), &progress, site.timeout()).await;
    let mut response = asked.map_err(refuse)?.map_err(Refusal::Site)?;
    fields::remove_hop_by_hop(response.headers_mut());
    let clock = UploadClock::new(progress, site.timeout());
    Ok(response.map(|body| Either::Left(Either::Right(SiteDownload::new(body, *peer, clock)))))
}

/// For load balancers, as the engine answers them in a connection's first request.
fn is_health_check<B>(gateway: &Gateway, request: &Request<B>) -> bool {
    let is_it = gateway.policy.health_path.as_deref() == Some(request.uri().path());
    match *request.method() {
        Method::GET | Method::HEAD => is_it,
        Method::OPTIONS => is_it && !request.headers().contains_key(ORIGIN),
        _ => false,
    }
}

/// The URL that the client has asked for, if Host and Origin are accepted.
fn checked_url<B>(
    gateway: &Gateway,
    request: &Request<B>,
    forwarded: &Forwarded,
    peer: &Peer,
) -> Result<Uri, Refusal> {
    let (headers, method) = (request.headers(), request.method());
    // As the engine does.
    let has_effect = !matches!(*method, Method::GET | Method::HEAD);
    if has_effect && headers.get_all(ORIGIN).iter().nth(1).is_some() {
        return Err(Refusal::Engine(legacy_websocket::Refusal::DuplicateField));
    }
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    let (method, host, origin, secure) = (method.as_str(), value(HOST), value(ORIGIN), peer.secure);
    let plain = PlainRequest { method, host, origin, forwarded, secure };
    let RequestOrigin { secure, authority, .. } =
        gateway.policy.check_request(&plain).map_err(Refusal::Engine)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let url = Uri::builder().scheme(if secure { "https" } else { "http" });
    let url = url.authority(authority.as_deref().unwrap_or("localhost")).path_and_query(path).build();
    url.map_err(|_| Refusal::Target)
}

/// Why there was no response in time.
fn refuse(why: Why) -> Refusal {
    match why {
        Why::UploadStalled => Refusal::Failed(ExchangeError { backend: None, why }),
        _ => Refusal::SiteTimeout,
    }
}

/// Tells the operator what is wrong with the site.
fn report(gateway: &Gateway, refusal: &Refusal, peer: &Peer) {
    let (name, what) = match refusal {
        Refusal::Site(failure) => (failure.name(), failure.to_string()),
        Refusal::SiteTimeout => ("timeout", "does not answer in time".into()),
        _ => return,
    };
    gateway.metrics.count_failure(name);
    warn_of_site(peer, &what);
}

/// A response's body, whose end is the exchange's.
#[derive(Debug)]
struct Tracked {
    body: Answer,
    exchange: Arc<Exchange>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = <Answer as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.exchange.end_response();
    }
}
