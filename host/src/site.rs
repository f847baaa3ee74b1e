//! Web applications: components of `wasi:http`, each request in a sandbox of its own.
//!
//! ```text
//!   PassThrough ─ request ─→ Site ─→ ProxyHandler (wasmtime-wasi-http) ─→ an instance, on the site's own threads
//!               ←─ response, its body as it comes ──────────────────────────┘
//! ```

mod call;
mod component;
mod failure;
mod handler;
mod instance;
mod memory;
mod options;
mod output;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::Request;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{InstantiationError, ProxyHandler};

pub(crate) use self::call::SiteBody;
use self::call::{Call, CallGuard, SiteResponse};
pub(crate) use self::component::SiteFactory;
pub(crate) use self::failure::SiteFailure;
use self::handler::Handler;
use self::memory::{SiteMemory, UsedUp};
pub(crate) use self::options::{SiteError, SiteOptions};

/// A web application. Any number of threads may ask it.
pub(crate) struct Site {
    /// Of the version that gets new requests; earlier ones end with their last response.
    current: RwLock<ProxyHandler<Handler>>,
    memory: Arc<SiteMemory>,
    requests: Arc<Semaphore>,
    max_requests: usize,
    timeout: Duration,
    /// Its own, so that whatever it computes delays no WebSocket. `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

impl Site {
    /// Starts its threads.
    ///
    /// # Errors
    /// [`SiteError::Thread`].
    pub(crate) fn new(factory: Arc<SiteFactory>, options: &SiteOptions) -> Result<Arc<Self>, SiteError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("site")
            .enable_all()
            .build()
            .map_err(SiteError::Thread)?;
        let memory = SiteMemory::new(options.max_total_memory_bytes);
        let handler = ProxyHandler::new(Handler::new(factory, Arc::clone(&memory)));
        let max_requests = options.max_requests.min(Semaphore::MAX_PERMITS);
        Ok(Arc::new(Self {
            current: RwLock::new(handler),
            memory,
            requests: Arc::new(Semaphore::new(max_requests)),
            max_requests,
            timeout: options.timeout,
            runtime: Some(runtime),
        }))
    }

    /// New requests go to this version from now on.
    pub(crate) fn replace(&self, factory: Arc<SiteFactory>) {
        let handler = ProxyHandler::new(Handler::new(factory, Arc::clone(&self.memory)));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    /// How long a response may take to begin.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The linear memory of its instances.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.taken()
    }

    /// The requests that it is answering, those included whose response is being sent.
    pub(crate) fn open(&self) -> usize {
        self.max_requests.saturating_sub(self.requests.available_permits())
    }

    /// Asks it. Whoever drops this, or the response's body, cancels the request.
    pub(crate) async fn ask(&self, request: Request<WasiBody>) -> Result<SiteResponse, SiteFailure> {
        let permit = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| SiteFailure::TooMany)?;
        let call = Call::new();
        let guard = CallGuard::new(Arc::clone(&call), permit);
        let mut request = request;
        loop {
            let freed = self.memory.freed();
            let error = match self.run(Arc::clone(&call), request).await {
                Ok(response) if response.status().is_informational() => {
                    return Err(SiteFailure::Response("an informational status".into()));
                }
                Ok(response) => return Ok(guard.watch(response)),
                Err(error) => error,
            };
            let refused = match error.downcast::<InstantiationError<Arc<Call>>>() {
                Ok(refused) if refused.error.is::<UsedUp>() => refused,
                Ok(refused) => return Err(SiteFailure::Response(format!("{:#}", refused.error))),
                Err(error) => return Err(call.explain(error).await),
            };
            // As soon as another instance ends.
            request = refused.request.into_inner().unwrap_or_else(PoisonError::into_inner);
            freed.await;
        }
    }

    async fn run(
        &self,
        call: Arc<Call>,
        request: Request<WasiBody>,
    ) -> Result<hyper::Response<WasiBody>, wasmtime::Error> {
        let handler = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut handled = pin!(handler.handle(call, request));
        poll_fn(|cx| {
            // It starts tasks, which belong there.
            let _inside = self.runtime.as_ref().map(|runtime| runtime.enter());
            handled.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Waits for nothing: one that computes may do so for long.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
