//! WASI hosts that run a composed server.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use legacy_websocket_artifacts::{Wasi, compose};

use super::optional::install;

static HOSTS: Mutex<BTreeMap<String, Vec<OsString>>> = Mutex::new(BTreeMap::new());

/// Makes `--engine NAME` run this program with its first arguments.
pub(crate) fn register(name: &str, command: Vec<OsString>) {
    HOSTS.lock().unwrap().insert(name.into(), command);
}

/// The command for `--engine` with a host's name, and the other options except `--workers`, since there is always one.
pub(crate) fn command<'n>(options: &[&'n str]) -> Option<(Command, Vec<&'n str>)> {
    let ["--engine", name, options @ ..] = options else { return None };
    let words = HOSTS.lock().unwrap().get(*name)?.clone();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("--stop-on-stdin-end");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut options = options.to_vec();
    if let Some(at) = options.iter().position(|option| *option == "--workers") {
        options.drain(at..at + 2);
    }
    Some((command, options))
}

/// Files with a composed server and the application in it.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) application: PathBuf,
    /// For WASI 0.2.
    pub(crate) server: PathBuf,
    /// For WASI 0.3.
    pub(crate) server_p3: PathBuf,
}

impl Composed {
    pub(crate) fn new(name: &str, application: &[u8]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = |suffix| folder.join(format!("{name}-{suffix}.wasm"));
        let composed =
            Self { application: path("application"), server: path("server"), server_p3: path("server-p3") };
        fs::write(&composed.application, application).unwrap();
        for (wasi, server) in [(Wasi::P2, &composed.server), (Wasi::P3, &composed.server_p3)] {
            fs::write(server, compose(application, wasi).unwrap()).unwrap();
        }
        composed
    }
}

/// The wasmtime command line, or why it is unavailable here.
pub(crate) fn wasmtime() -> Result<PathBuf, String> {
    install("install-wasmtime")
}

/// The documented command.
pub(crate) fn wasmtime_command(wasmtime: &Path, composed: &Composed) -> Result<Vec<OsString>, String> {
    Ok(run_with_wasmtime(wasmtime, "inherit-network", &composed.server))
}

/// The same for WASI 0.3.
pub(crate) fn wasmtime_p3_command(wasmtime: &Path, composed: &Composed) -> Result<Vec<OsString>, String> {
    Ok(run_with_wasmtime(wasmtime, "inherit-network", &composed.server_p3))
}

/// The same for a server beside a site.
pub(crate) fn wasmtime_http_command(wasmtime: &Path, server: &Path) -> Vec<OsString> {
    run_with_wasmtime(wasmtime, "inherit-network,http", server)
}

fn run_with_wasmtime(wasmtime: &Path, wasi: &str, server: &Path) -> Vec<OsString> {
    let options = ["run", "-S", wasi].map(OsString::from);
    [wasmtime.into()].into_iter().chain(options).chain([server.into()]).collect()
}
