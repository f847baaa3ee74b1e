//! Embeds a server: composes it with an application, or takes a composed one, and runs it on plain wasmtime with
//! wasmtime-wasi, for WASI 0.2 or 0.3. The server may only listen: it gets no files, no environment and no outgoing
//! connections.
//!
//! `cargo run --release -p wasi-host -- app.wasm --listen 127.0.0.1:8000`

use std::process::ExitCode;
use std::{env, fs};

use legacy_websocket_artifacts::{ComposeError, Wasi, compose};
use tokio::signal::ctrl_c;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Error, Result, Store};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};

struct State {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let file = arguments.first().ok_or_else(|| Error::msg("usage: wasi-host COMPONENT [OPTION]..."))?;
    let component = fs::read(file)?;
    let server = match compose(&component, Wasi::P2) {
        // It may be a server already.
        Err(ComposeError::NotAnApplication(_)) => component,
        composed => composed.map_err(Error::from)?,
    };
    let wasi = WasiCtx::builder()
        .inherit_stdio()
        // The first argument takes the place of the program's name.
        .args(&arguments)
        .allow_tcp(true)
        .socket_addr_check(|_, what| Box::pin(async move { !matches!(what, SocketAddrUse::TcpConnect) }))
        .build();
    let engine = Engine::default();
    let mut store = Store::new(&engine, State { wasi, resources: ResourceTable::new() });
    let component = Component::new(&engine, server)?;
    let ended = tokio::select! {
        // Until the server stops. If it fails, it reports the reason on standard error.
        ended = run(&mut store, &component) => ended?,
        // Dropping the call ends it at once: the server cannot close its connections in order. The end of its standard
        // input can stop it in order, with --stop-on-stdin-end.
        _ = ctrl_c() => Err(()),
    };
    Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a command of either version.
async fn run(store: &mut Store<State>, component: &Component) -> Result<Result<(), ()>> {
    let mut linker = Linker::new(store.engine());
    let ty = component.component_type();
    if ty.exports(store.engine()).any(|(name, _)| name.starts_with("wasi:cli/run@0.3.")) {
        p3::add_to_linker(&mut linker)?;
        // The application may have been built for 0.2.
        p2::add_to_linker_async(&mut linker)?;
        let command = p3::bindings::Command::instantiate_async(&mut *store, component, &linker).await?;
        store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await).await?
    } else {
        p2::add_to_linker_async(&mut linker)?;
        let command = p2::bindings::Command::instantiate_async(&mut *store, component, &linker).await?;
        command.wasi_cli_run().call_run(store).await
    }
}
