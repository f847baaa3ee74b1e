//! The example serves a client; `tests/wasi_hosts.rs` runs the host's tests on it.

#[path = "../../client_check.rs"]
mod client_check;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use legacy_websocket_artifacts::ECHO;

#[test]
fn a_draft_76_client_is_echoed_and_closed() {
    let application = Path::new(env!("CARGO_TARGET_TMPDIR")).join("echo.wasm");
    fs::write(&application, ECHO).unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_wasi-host"));
    client_check::expect_echo(example.arg(application).args(["--listen", "127.0.0.1:0"]));
}
