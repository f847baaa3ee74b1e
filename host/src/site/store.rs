//! What an instance may use: clocks, randomness, its environment variables and the log. No files and no network.

use hyper::{Request, Response};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::memory::InstanceMemory;
use super::output;

/// How many handles an instance may have: of requests, bodies, streams, pollables.
const MAX_HANDLES: usize = 10_000;

/// Random bytes returned at once.
const MAX_RANDOM: u64 = 1 << 20;

/// The data of a store.
pub(super) struct StoreData {
    pub(super) memory: InstanceMemory,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
}

impl StoreData {
    pub(super) fn new(memory: InstanceMemory, environment: &[(String, String)]) -> Self {
        let output = output::stream();
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output.clone()).stderr(output).envs(environment).max_random_size(MAX_RANDOM);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { memory, wasi: wasi.build(), http: WasiHttpCtx::new(), hooks: Hooks, table }
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// No requests of its own.
struct Hooks;

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
