//! HTTP for the operator's tools: metrics, health, and a status page.

mod hosts;
mod prometheus;
mod status;
mod visits;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use legacy_websocket_shell::{LogCategory, LogPermit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

use self::status::History;
use self::visits::Visits;
use crate::observe::log;
use crate::server::Observer;

const PAGE: &str = include_str!("admin/status.html");

/// The page loads nothing from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Time for a head, for a body (which should not be sent), and for the peer to read more of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Buffer of one connection, in bytes: requests are short.
const MAX_BUFFERED: usize = 16 * 1024;

/// How metrics and status page are served.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminOptions {
    /// Accepted host names in requests, in addition to IP addresses and `localhost`; `*` for any. A page from a foreign
    /// name that resolves to this machine (DNS rebinding) must not read the figures.
    pub hosts: Vec<String>,
    /// Concurrent connections; a further one replaces the oldest.
    pub max_connections: usize,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self { hosts: Vec::new(), max_connections: 64 }
    }
}

/// Answers on its own listener, forever: `/metrics`, `/healthz`, `/readyz`, and a page at `/`. Anyone who can connect
/// may read all of it. Runs in any tokio runtime with I/O and time, and waits for no worker: for a busy one, it shows
/// the last known figures.
pub async fn serve_admin(listener: TcpListener, observer: Observer, options: AdminOptions) {
    let admin = Arc::new(Admin { observer, options, history: Mutex::default() });
    tokio::select! {
        () = admin.keep_history() => {}
        () = Arc::clone(&admin).accept(listener) => {}
    }
}

struct Admin {
    observer: Observer,
    options: AdminOptions,
    history: Mutex<History>,
}

impl Admin {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut visits = Visits::new(self.options.max_connections);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => visits.admit(Arc::clone(&self).serve(stream)).await,
                Err(error) => {
                    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                        warn!(unlogged, "accept on the metrics listener failed: {error}");
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request: Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move { Ok::<_, Infallible>(admin.answer(&request).await) }
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(TIMEOUT));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_headers(64).max_buf_size(MAX_BUFFERED);
        if let Err(error) = http.serve_connection(TokioIo::new(Box::pin(stream)), service).await {
            debug!("metrics request failed: {error}");
        }
    }

    async fn keep_history(&self) {
        let mut ticks = interval(status::INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if let Some(snapshot) = self.observer.snapshot().await {
                self.history.lock().unwrap_or_else(PoisonError::into_inner).push(&snapshot);
            }
        }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !hosts::is_allowed(request, &self.options.hosts) {
            let why = "This is no name of the server's: ask for an IP address or localhost, or see --metrics-host.\n";
            return respond(StatusCode::FORBIDDEN, TEXT, why.into());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only.\n".into());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/" => respond(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
            path @ ("/status.json" | "/metrics") => self.figures(path).await,
            "/healthz" => respond(StatusCode::OK, TEXT, "ok\n".into()),
            "/readyz" => match self.observer.unready() {
                None => respond(StatusCode::OK, TEXT, "ready\n".into()),
                Some(why) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into()),
            },
            _ => {
                let list = "There are /, /metrics, /healthz, /readyz and /status.json.\n";
                respond(StatusCode::NOT_FOUND, TEXT, list.into())
            }
        }
    }

    async fn figures(&self, path: &str) -> Response<Full<Bytes>> {
        let Some(snapshot) = self.observer.snapshot().await else {
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no worker has answered yet\n".into());
        };
        if path == "/metrics" {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            return respond(
                StatusCode::OK,
                kind,
                prometheus::text(&snapshot, self.observer.gateway().as_ref()).into(),
            );
        }
        let connections = self.observer.connections(status::ROWS).await;
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let json = status::json(&snapshot, &self.observer, connections, &history);
        respond(StatusCode::OK, "application/json", json.into())
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
