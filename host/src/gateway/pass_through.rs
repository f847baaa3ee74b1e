//! Requests that are no old client's, by hyper: plain HTTP, and opening handshakes of RFC 6455.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::Extensions;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;
use tracing::debug;

use super::backend::{Backend, BackendStream};
use super::body::{Download, Progress, Upload, download, in_time, upload};
use super::exchange::{self, ExchangeError, Why, exchange, in_words};
use super::fields;
use super::prefixed::{Passed, Prefixed};
use super::refusal::{Answer, Refusal, check_host};
use super::route::{self, Route, Unreachable};
use super::shared::{Gateway, Stage};
use super::tunnel::{self, Tunnel};
use super::web_application;
use crate::accept::incoming::Peer;
use crate::connection::socket::PeerAddress;

/// How long an unused connection to a backend is kept: less than Node's 5 s, which may end it just as it is used.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How many of them each worker keeps for a route.
const MAX_POOLED: usize = 64;

/// Passes requests through on one worker's thread.
pub(crate) struct PassThrough {
    gateway: Arc<Gateway>,
    /// One for each route: each keeps connections to its backends.
    clients: Vec<Client<Connector, Upload>>,
}

impl fmt::Debug for PassThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassThrough").finish_non_exhaustive()
    }
}

impl PassThrough {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Rc<Self> {
        let client = |route: &Arc<Route>| {
            let within = gateway.options.connect_timeout;
            Client::builder(TokioExecutor::new())
                .http1_preserve_header_case(true)
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(MAX_POOLED)
                .set_host(false)
                .build(Connector { route: Arc::clone(route), within })
        };
        let clients = gateway.routes.iter().map(client).collect();
        Rc::new(Self { gateway: Arc::clone(gateway), clients })
    }

    /// Serves a connection until it ends. Returns it if it has an opening handshake for the engine.
    pub(crate) async fn serve(self: Rc<Self>, passed: Passed) -> Option<Passed> {
        match &self.gateway.site {
            Some(site) => web_application::serve(&self.gateway, site, passed).await,
            None => {
                self.serve_backends(passed).await;
                None
            }
        }
    }

    async fn serve_backends(self: Rc<Self>, Passed { socket, received, peer }: Passed) {
        let mut stage = self.gateway.stage();
        let tunnel = Rc::new(RefCell::new(None));
        let service = {
            let (this, tunnel) = (Rc::clone(&self), Rc::clone(&tunnel));
            service_fn(move |request| {
                let (this, tunnel) = (Rc::clone(&this), Rc::clone(&tunnel));
                async move { Ok::<_, Infallible>(this.answer(request, peer, &tunnel).await) }
            })
        };
        let mut stream = TimeoutStream::new(Prefixed::new(received, socket));
        stream.set_write_timeout(Some(self.gateway.write_timeout));
        let http = self.gateway.http();
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service).with_upgrades();
        let mut connection = pin!(connection);
        let mut stops = false;
        let ended = loop {
            tokio::select! {
                // First: it may hold a request already when the server stops.
                biased;
                ended = connection.as_mut() => break ended,
                _ = stage.wait_for(|stage| *stage >= Stage::Stopping), if !stops => {
                    stops = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = self.gateway.aborted() => return,
            }
        };
        if let Err(error) = ended {
            debug!(peer = %peer.address, "connection passed through: {}", in_words(&error));
        }
        let tunnel: Option<Tunnel> = tunnel.take();
        if let Some(tunnel) = tunnel {
            let _counted = self.gateway.metrics.tunnel();
            tokio::select! {
                () = tunnel.run(self.gateway.options.tunnel_idle_timeout) => {}
                _ = self.gateway.aborted() => {}
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        tunnel: &RefCell<Option<Tunnel>>,
    ) -> Response<Answer> {
        let answer = match self.ask(request, peer, tunnel).await {
            Ok(answer) => answer,
            Err(refusal) => {
                if let Refusal::Failed(error) = &refusal {
                    error.report(&peer.address.to_string());
                }
                refusal.answer()
            }
        };
        self.gateway.metrics.count_request(answer.status().as_u16());
        answer
    }

    async fn ask(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        tunnel: &RefCell<Option<Tunnel>>,
    ) -> Result<Response<Answer>, Refusal> {
        if request.method() == Method::CONNECT {
            return Err(Refusal::Method);
        }
        if is_old_handshake(&request) {
            return Err(Refusal::OldHandshake);
        }
        check_host(&mut request)?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let (at, path) = route::find(&self.gateway.routes, &target)?;
        let route = &self.gateway.routes[at];
        let upgrades = fields::lists(request.headers(), UPGRADE, "websocket")
            && fields::lists(request.headers(), CONNECTION, "upgrade");
        // If the client stalled a body, the backend would seem to be late.
        if (upgrades || path == "*") && !request.body().is_end_stream() {
            return Err(Refusal::Body);
        }
        let client = upgrades.then(|| hyper::upgrade::on(&mut request));
        let forwarding = &self.gateway.forwarding;
        let forwarded = forwarding.read(request.headers()).map_err(Refusal::Engine)?;
        fields::prepare(request.headers_mut(), route, &peer, forwarding, &forwarded);
        *request.version_mut() = Version::HTTP_11;
        if let Some(client) = client {
            let headers = request.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            *request.uri_mut() = path.parse().map_err(|_| Refusal::Target)?;
            let (answer, opened) = tunnel::open(&self.gateway, route, request, client, peer.address).await?;
            *tunnel.borrow_mut() = opened;
            return Ok(answer.map(of_backend));
        }
        let body = request.body();
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            // Of a GET, hyper would take no body without this.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if path == "*" {
            if request.method() != Method::OPTIONS {
                return Err(Refusal::Target);
            }
            // The pool would ask for `/`.
            let options = &self.gateway.options;
            let (response, backend) =
                exchange(route, request, options.connect_timeout, options.backend_timeout).await?;
            return Ok(download(response, Some(backend), peer.address).map(of_backend));
        }
        // The authority names the pool of connections; the connector takes them to the route's backends.
        *request.uri_mut() = format!("http://backend{path}").parse().map_err(|_| Refusal::Target)?;
        Ok(self.send(at, request, peer.address).await?.map(of_backend))
    }

    /// Sends a request on a connection that may have been used before.
    async fn send(
        &self,
        at: usize,
        request: Request<Incoming>,
        peer: PeerAddress,
    ) -> Result<Response<Download>, ExchangeError> {
        let progress = Progress::new();
        let mut request = request.map(|body| upload(body, progress.clone()));
        let mut connection = capture_connection(&mut request);
        let mut asked = pin!(self.clients[at].request(request));
        let failed =
            |connection: &CaptureConnection, why| ExchangeError { backend: backend_of(connection), why };
        let response = tokio::select! {
            biased;
            response = asked.as_mut() => Some(response),
            // To connect has a time of its own.
            _ = connection.wait_for_connection_metadata() => None,
        };
        progress.advance();
        let response = match response {
            Some(response) => response,
            None => in_time(asked, &progress, self.gateway.options.backend_timeout)
                .await
                .map_err(|why| failed(&connection, why))?,
        };
        let response = response.map_err(|error| explain(error, backend_of(&connection)))?;
        if response.status().is_informational() {
            return Err(failed(&connection, Why::Upgrade("nobody asked for it")));
        }
        let backend = response.extensions().get::<Arc<Backend>>().cloned();
        Ok(download(response, backend, peer))
    }
}

fn of_backend(body: Download) -> Answer {
    Either::Left(Either::Left(body))
}

/// The backend at the other end; `None` if there is no connection yet.
fn backend_of(connection: &CaptureConnection) -> Option<Arc<Backend>> {
    let mut extensions = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.remove()
}

fn explain(error: hyper_util::client::legacy::Error, backend: Option<Arc<Backend>>) -> ExchangeError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = cause {
        if let Some(Unreached(failed)) = one.downcast_ref::<Unreached>()
            && let Some(failed) = failed.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            return failed.into();
        }
        if let Some(error) = one.downcast_ref::<hyper::Error>() {
            return ExchangeError { backend, why: exchange::response_error(error) };
        }
        cause = one.source();
    }
    ExchangeError { backend, why: Why::Response(in_words(&error)) }
}

/// An opening handshake of a draft: the engine reads only the first request of a connection.
fn is_old_handshake<B>(request: &Request<B>) -> bool {
    const KEY1: HeaderName = HeaderName::from_static("sec-websocket-key1");
    let headers = request.headers();
    if !fields::lists(headers, UPGRADE, "websocket") {
        return false;
    }
    match headers.get(SEC_WEBSOCKET_VERSION) {
        Some(version) => matches!(version.as_bytes(), b"7" | b"8"),
        None => headers.contains_key(KEY1) || !headers.contains_key(SEC_WEBSOCKET_KEY),
    }
}

/// Connects hyper's client to the backends of a route, in turn.
#[derive(Clone, Debug)]
struct Connector {
    route: Arc<Route>,
    within: Duration,
}

/// Which backend could not be reached, on its way through hyper's error.
#[derive(Debug, thiserror::Error)]
#[error("unreachable")]
struct Unreached(Mutex<Option<Unreachable>>);

impl Service<Uri> for Connector {
    type Response = TokioIo<BackendStream>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<BackendStream>, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { route, within } = self.clone();
        Box::pin(async move {
            let connected = route.connect(within, None).await;
            connected.map(TokioIo::new).map_err(|failed| Unreached(Mutex::new(Some(failed))))
        })
    }
}
