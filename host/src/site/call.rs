//! One request, from both sides: of whoever asks, and of the instance that answers.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::TrapOrPanicError;

use super::failure::{SiteFailure, root_cause};

/// What wasmtime-wasi-http says if an instance of WASI 0.2 gives no response, also if it traps.
const NO_RESPONSE: &str = "guest never invoked `response-outparam::set` method";

/// A response, with a body that ends the call.
pub(crate) type SiteResponse = Response<SiteBody>;

/// The instance that answers.
pub(super) trait Answering: Debug + Send + Sync {
    /// Begins to answer.
    fn begin(&self, call: Arc<Call>);

    /// Whoever asked is done, or was gone before there was a response.
    fn end(&self, has_response: bool);

    /// Why it failed with this error.
    fn explain(&self, error: wasmtime::Error) -> SiteFailure;
}

/// What both sides share.
#[derive(Debug)]
pub(crate) struct Call {
    state: Mutex<CallState>,
    /// Notified when whoever asked is gone.
    gone: Notify,
    end: watch::Sender<Option<End>>,
}

/// How an instance has ended.
#[derive(Clone, Debug)]
enum End {
    Lost(SiteFailure),
    Over,
}

#[derive(Debug, Default)]
struct CallState {
    is_abandoned: bool,
    instance: Option<Arc<dyn Answering>>,
}

impl Call {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), gone: Notify::new(), end: watch::Sender::new(None) })
    }

    /// An instance takes it. The future completes when the answer is no longer of interest.
    pub(super) fn start(self: Arc<Self>, instance: Arc<dyn Answering>) -> impl Future<Output = ()> + use<> {
        {
            let mut state = self.state();
            if !state.is_abandoned {
                instance.begin(Arc::clone(&self));
            }
            state.instance = Some(instance);
        }
        async move { self.gone.notified().await }
    }

    /// The instance has ended, before whoever asked was done: it is lost if there is a failure.
    pub(super) fn end(&self, failure: Option<SiteFailure>) {
        self.end.send_replace(Some(failure.map_or(End::Over, End::Lost)));
    }

    /// Why there was an error instead of the response.
    pub(super) async fn explain(&self, error: wasmtime::Error) -> SiteFailure {
        let cause = root_cause(&*error);
        if error.is::<TrapOrPanicError>() || cause == NO_RESPONSE {
            // The instance tells why.
            let mut end = self.end.subscribe();
            return match end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) {
                Some(End::Lost(failure)) => failure,
                Some(End::Over) | None => SiteFailure::Response(cause),
            };
        }
        match &self.state().instance {
            Some(instance) => instance.explain(error),
            None => SiteFailure::Response(cause),
        }
    }

    /// Why the response that has ended is not whole.
    fn failure(&self) -> Option<SiteFailure> {
        match &*self.end.borrow() {
            Some(End::Lost(failure)) => Some(failure.clone()),
            Some(End::Over) | None => None,
        }
    }

    fn abandon(&self, has_response: bool) {
        let mut state = self.state();
        state.is_abandoned = true;
        self.gone.notify_one();
        if let Some(instance) = state.instance.take() {
            instance.end(has_response);
        }
    }

    fn state(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped by whoever asked, when the response is whole or no longer of interest.
#[derive(Debug)]
pub(crate) struct CallGuard {
    call: Arc<Call>,
    has_response: bool,
    #[expect(dead_code, reason = "held for its drop")]
    permit: OwnedSemaphorePermit,
}

impl CallGuard {
    pub(super) fn new(call: Arc<Call>, permit: OwnedSemaphorePermit) -> Self {
        Self { call, has_response: false, permit }
    }

    pub(super) fn watch(mut self, response: Response<WasiBody>) -> SiteResponse {
        self.has_response = true;
        response.map(|body| SiteBody { body, guard: Some(self) })
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.call.abandon(self.has_response);
    }
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct SiteBody {
    body: WasiBody,
    /// Until it has ended.
    guard: Option<CallGuard>,
}

/// A response's body is not whole.
#[derive(Debug, Error)]
#[error(transparent)]
pub(crate) struct BrokenOff(SiteFailure);

impl Body for SiteBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(guard) = &self.guard else { return Poll::Ready(None) };
        let call = Arc::clone(&guard.call);
        let ended = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        };
        // If the instance is lost the body just ends: the failure is told before.
        let failure = call.failure().or(ended.err().map(|error| SiteFailure::Response(error.to_string())));
        self.guard = None;
        Poll::Ready(failure.map(|failure| Err(BrokenOff(failure))))
    }

    fn is_end_stream(&self) -> bool {
        // Only its end tells whether it is whole.
        self.guard.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
