//! Embeds a server: composes it with an application and runs it on plain wasmtime with wasmtime-wasi. The server may
//! only listen: it gets no files, no environment and no outgoing connections.
//!
//! `cargo run --release -p wasi-host -- app.wasm --listen 127.0.0.1:8000`

use std::process::ExitCode;
use std::{env, fs};

use legacy_websocket_artifacts::{Wasi, compose};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Error, Result, Store};
use wasmtime_wasi::p2::{add_to_linker_sync, bindings::sync::Command};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct State {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let application =
        arguments.first().ok_or_else(|| Error::msg("usage: wasi-host APPLICATION [OPTION]..."))?;
    let server = compose(&fs::read(application)?, Wasi::P2).map_err(Error::from)?;

    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    add_to_linker_sync(&mut linker)?;
    let wasi = WasiCtx::builder()
        .inherit_stdio()
        // The first argument takes the place of the program's name.
        .args(&arguments)
        .allow_tcp(true)
        .socket_addr_check(|_, what| Box::pin(async move { !matches!(what, SocketAddrUse::TcpConnect) }))
        .build();
    let mut store = Store::new(&engine, State { wasi, resources: ResourceTable::new() });
    let component = Component::new(&engine, server)?;
    let command = Command::instantiate(&mut store, &component, &linker)?;
    // Runs until the server stops. If it fails, it reports the reason on standard error.
    let ended = command.wasi_cli_run().call_run(&mut store)?;
    Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
