//! What a web application may use of WASI: clocks, randomness, its environment variables and output. No files, no
//! network and no requests of its own.
//!
//! A crate of its own: wasmtime's bindings of all of WASI are generic over the data of a store, and take minutes to
//! compile for one.

use std::fmt;

use http::{Request, Response};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Result};
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p2, p3,
};

/// How many handles an instance may have: of requests, bodies, streams, pollables.
const MAX_HANDLES: usize = 10_000;

/// Random bytes returned at once.
const MAX_RANDOM: u64 = 1 << 20;

/// The version of WASI that a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Version {
    /// It exports `wasi:http/incoming-handler@0.2.x`.
    P2,
    /// It exports `wasi:http/handler@0.3.x`.
    P3,
}

/// Links a web application. Components for 0.3 still import much of 0.2, so both get both.
///
/// # Errors
/// What it lacks, or imports and nobody provides.
pub fn link(engine: &Engine, component: &Component, version: Version) -> Result<ProxyPre<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    p2::add_only_http_to_linker_async(&mut linker)?;
    p3::add_to_linker(&mut linker)?;
    let pre = linker.instantiate_pre(component)?;
    match version {
        Version::P2 => p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2),
        Version::P3 => p3::bindings::ServicePre::new(pre).map(ProxyPre::P3),
    }
}

/// The data of an instance's store.
pub struct StoreData {
    limiter: Box<dyn ResourceLimiter + Send + Sync>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
}

impl fmt::Debug for StoreData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreData").finish_non_exhaustive()
    }
}

impl StoreData {
    /// `output` takes standard output and error.
    pub fn new(
        limiter: Box<dyn ResourceLimiter + Send + Sync>,
        output: impl StdoutStream + Clone + 'static,
        environment: &[(String, String)],
    ) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output.clone()).stderr(output).envs(environment).max_random_size(MAX_RANDOM);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { limiter, wasi: wasi.build(), http: WasiHttpCtx::new(), hooks: Hooks, table }
    }

    /// The limits of its memory and tables.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut *self.limiter
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
