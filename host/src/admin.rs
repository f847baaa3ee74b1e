//! What an operator's tools ask over HTTP: metrics, health, and a page to look at.

mod prometheus;
mod status;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use self::status::History;
use crate::log;
use crate::log_rate_limiter::{LogCategory, LogPermit};
use crate::server::Observer;

const PAGE: &str = include_str!("admin/status.html");

/// The page takes nothing from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Time for a head, and for a body that nobody should send.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Answers on a listener of its own, for ever: `/metrics`, `/healthz`, `/readyz`, and a page at `/`. Whoever
/// can connect may read all of it. Runs where the server runs.
pub async fn serve_admin(listener: TcpListener, observer: Observer) {
    let history = Rc::new(RefCell::new(History::default()));
    spawn_local(keep_history(observer.clone(), Rc::clone(&history)));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Admission) {
                    warn!(unlogged, "accept for the metrics: {error}");
                }
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (observer, history) = (observer.clone(), Rc::clone(&history));
        let service = service_fn(move |request: Request<_>| {
            let (observer, history) = (observer.clone(), Rc::clone(&history));
            async move { Ok::<_, Infallible>(answer(&request, &observer, &history).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_headers(64);
        spawn_local(async move {
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                debug!("a request for the metrics: {error}");
            }
        });
    }
}

async fn keep_history(observer: Observer, history: Rc<RefCell<History>>) {
    let mut ticks = interval(status::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if let Some(snapshot) = observer.snapshot().await {
            history.borrow_mut().push(&snapshot);
        }
    }
}

async fn answer<B>(
    request: &Request<B>,
    observer: &Observer,
    history: &RefCell<History>,
) -> Response<Full<Bytes>> {
    let text = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, text, "GET and HEAD only.\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => respond(StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
        path @ ("/status.json" | "/metrics") => {
            let Some(snapshot) = observer.snapshot().await else {
                return respond(StatusCode::SERVICE_UNAVAILABLE, text, "stopped\n".into());
            };
            if path == "/metrics" {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                return respond(StatusCode::OK, kind, prometheus::text(&snapshot).into());
            }
            let connections = observer.connections(status::ROWS).await;
            let json = status::json(&snapshot, observer.unready(), connections, &history.borrow());
            respond(StatusCode::OK, "application/json", json.into())
        }
        "/healthz" => respond(StatusCode::OK, text, "ok\n".into()),
        "/readyz" => match observer.unready() {
            None => respond(StatusCode::OK, text, "ready\n".into()),
            Some(why) => respond(StatusCode::SERVICE_UNAVAILABLE, text, format!("{why}\n").into()),
        },
        _ => {
            let list = "There are /, /metrics, /healthz, /readyz and /status.json.\n";
            respond(StatusCode::NOT_FOUND, text, list.into())
        }
    }
}

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
