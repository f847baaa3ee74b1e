//! Bodies on their way through the gateway.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Response, Version};
use legacy_websocket_shell::{LogCategory, LogPermit};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tracing::{debug, warn};

use super::backend::Backend;
use super::exchange::{Why, in_words, warn_of};
use super::fields;
use crate::accept::incoming::Peer;
use crate::connection::socket::PeerAddress;
use crate::observe::log;
use crate::site::SiteBody;

/// What of a body was just polled for: the next part, its end, or `Pending`.
type Polled = Poll<Option<hyper::Result<Frame<Bytes>>>>;

/// A body that is passed on, and somebody who is told of its parts.
#[derive(Debug)]
pub(super) struct ObservedBody<O: BodyObserver> {
    body: Incoming,
    observer: O,
}

pub(super) trait BodyObserver: Unpin {
    fn observe(&mut self, _: &Polled) {}

    /// There is no more of it, or nobody wants more.
    fn ended(&mut self) {}
}

/// The body of a backend's response.
pub(super) type Download = ObservedBody<ResponseObserver>;

/// The body of a client's request.
pub(super) type Upload = ObservedBody<Progress>;

/// Where a response comes from, and who gets it.
#[derive(Debug)]
pub(super) struct ResponseObserver {
    backend: Option<Arc<Backend>>,
    peer: PeerAddress,
}

/// How far a request has been sent.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug)]
struct State {
    /// When the last part was sent.
    last: Instant,
    /// The client has to send the next one.
    awaits_client: bool,
}

/// Makes a backend's response the client's.
pub(super) fn download(
    response: Response<Incoming>,
    backend: Option<Arc<Backend>>,
    peer: PeerAddress,
) -> Response<Download> {
    let mut response =
        response.map(|body| ObservedBody { body, observer: ResponseObserver { backend, peer } });
    fields::remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    response
}

pub(super) fn upload<O: BodyObserver>(body: Incoming, observer: O) -> ObservedBody<O> {
    ObservedBody { body, observer }
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { last: Instant::now(), awaits_client: false })))
    }

    pub(super) fn last(&self) -> Instant {
        self.state().last
    }

    pub(super) fn awaits_client(&self) -> bool {
        self.state().awaits_client
    }

    pub(super) fn advance(&self) {
        self.state().last = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyObserver for Progress {
    fn observe(&mut self, polled: &Polled) {
        let mut state = self.state();
        if polled.is_ready() {
            state.last = Instant::now();
        }
        state.awaits_client = polled.is_pending();
    }

    fn ended(&mut self) {
        self.state().awaits_client = false;
    }
}

impl BodyObserver for ResponseObserver {
    fn observe(&mut self, polled: &Polled) {
        if let (Poll::Ready(Some(Err(error))), Some(backend)) = (polled, &self.backend) {
            backend.count_failure("response");
            let what = format!("breaks off its response: {}", in_words(error));
            warn_of(backend, &self.peer.to_string(), &what);
        }
    }
}

impl<O: BodyObserver> Body for ObservedBody<O> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.observer.observe(&polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<O: BodyObserver> Drop for ObservedBody<O> {
    fn drop(&mut self) {
        self.observer.ended();
    }
}

/// The time that a request's next part may take while its response is being sent already.
#[derive(Debug)]
pub(super) struct UploadClock {
    progress: Progress,
    within: Duration,
    timer: Pin<Box<Sleep>>,
}

impl UploadClock {
    pub(super) fn new(progress: Progress, within: Duration) -> Self {
        Self { progress, within, timer: Box::pin(sleep(within)) }
    }

    /// Ready when the client has taken longer.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let (now, end) = (Instant::now(), self.progress.last() + self.within);
            match self.progress.awaits_client() {
                true if end <= now => return Poll::Ready(()),
                true => self.timer.as_mut().reset(end),
                false => self.timer.as_mut().reset(now + self.within),
            }
        }
        Poll::Pending
    }
}

/// The body of a response of the site.
#[derive(Debug)]
pub(super) struct SiteDownload {
    body: SiteBody,
    peer: Peer,
    clock: UploadClock,
}

impl SiteDownload {
    pub(super) fn new(body: SiteBody, peer: Peer, clock: UploadClock) -> Self {
        Self { body, peer, clock }
    }
}

impl Body for SiteDownload {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &polled {
            warn_of_site(&self.peer, &format!("breaks off its response: {error}"));
        }
        let goes_on = matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_))));
        if goes_on && self.clock.poll_stalled(cx).is_ready() {
            debug!(peer = %self.peer.address, "{}", Why::UploadStalled);
            return Poll::Ready(Some(Err(Why::UploadStalled.into())));
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Tells the operator what is wrong with a web application.
pub(super) fn warn_of_site(peer: &Peer, what: &str) {
    if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Backend) {
        warn!(peer = %peer.address, unlogged, "site: {what}");
    }
}

/// A response, unless it does not begin `within` that time after the last part of the request.
pub(super) async fn in_time<T>(
    asked: impl Future<Output = T>,
    progress: &Progress,
    within: Duration,
) -> Result<T, Why> {
    let mut asked = pin!(asked);
    loop {
        tokio::select! {
            biased;
            response = asked.as_mut() => return Ok(response),
            () = sleep_until(progress.last() + within) => {
                if progress.last() + within <= Instant::now() {
                    return Err(if progress.awaits_client() { Why::UploadStalled } else { Why::Timeout });
                }
            }
        }
    }
}
