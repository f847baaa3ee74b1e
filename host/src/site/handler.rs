//! Instances for wasmtime-wasi-http, which brings requests and instances together.

use std::pin::Pin;
use std::sync::Arc;

use legacy_websocket_shell::{LogCategory, LogPermit};
use legacy_websocket_wasi::StoreData;
use tracing::warn;
use wasmtime::component::GuestTaskId;
use wasmtime::{Result, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{HandlerState, Instance, Proxy, ShouldAccept, WorkerState};

use super::call::{Answering, Call};
use super::component::SiteFactory;
use super::instance::{Expiration, InstanceState};
use super::memory::{InstanceMemory, Refused, SiteMemory, UsedUp};
use crate::observe::log;

/// Requests that an instance of WASI 0.3 answers, one after another. Those of WASI 0.2 are not made for more than one.
const MAX_REUSE: usize = 128;

/// Makes instances.
pub(super) struct Handler {
    factory: Arc<SiteFactory>,
    memory: Arc<SiteMemory>,
}

impl Handler {
    pub(super) fn new(factory: Arc<SiteFactory>, memory: Arc<SiteMemory>) -> Self {
        Self { factory, memory }
    }
}

impl HandlerState for Handler {
    type StoreData = StoreData;
    type WorkerExpiration = Expiration;
    type WorkerState = State;

    async fn instantiate(&self) -> Result<Instance<StoreData, Expiration, State>> {
        let budget = self.factory.budget();
        let refused = Arc::new(Refused::default());
        let memory =
            InstanceMemory::new(Arc::clone(&self.memory), budget.max_memory_bytes, Arc::clone(&refused))?;
        let instance = InstanceState::new(budget, Arc::clone(&refused));
        let mut store = self.factory.store(memory, &instance);
        let proxy = match self.factory.pre().instantiate_async(&mut store).await {
            Ok(proxy) => proxy,
            Err(_) if refused.all() => return Err(UsedUp.into()),
            Err(error) => return Err(wasmtime::Error::msg(instance.explain(error).to_string())),
        };
        refused.start();
        let max_requests = if matches!(proxy, Proxy::P2(_)) { 1 } else { MAX_REUSE };
        let expiration = Expiration::new(Arc::clone(&instance));
        let state = State { instance, max_requests };
        Ok(Instance { store, proxy, view: StoreData::http, expiration, state })
    }
}

/// An instance's side of its requests.
pub(super) struct State {
    instance: Arc<InstanceState>,
    max_requests: usize,
}

impl WorkerState for State {
    type StoreData = StoreData;
    type RequestData = Arc<Call>;

    /// One at a time: if it fails, nobody else notices.
    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.max_requests {
            ShouldAccept::Never
        } else if concurrent == 0 && !self.instance.is_answering() {
            ShouldAccept::Yes
        } else {
            ShouldAccept::No
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, StoreData>,
        call: Arc<Call>,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(call.start(Arc::clone(&self.instance) as _))
    }

    fn drop(&self, store: Store<StoreData>, result: Result<()>) {
        let failure = result.err().map(|error| self.instance.explain(error));
        // Before the store is dropped, and the response ends.
        let told = self.instance.over(failure.clone());
        if let (Some(failure), false) = (failure, told)
            && let Some(LogPermit { unlogged }) = log::permit(LogCategory::Instance)
        {
            warn!(unlogged, "site: an instance was lost after its response: {failure}");
        }
        drop(store);
    }
}
