//! The composed echo on the wasmtime command line.

use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use legacy_websocket_artifacts::{ECHO, Wasi, compose};

use crate::process::Role;

/// Execs the server in place of this process, so that the process measured is the server; returns only on error.
pub(crate) fn exec(role: Role, wasi: Wasi) -> Box<dyn Error> {
    if role != Role::Echo {
        return "the composed server only echoes".into();
    }
    match prepare(wasi) {
        Ok(mut command) => command.exec().into(),
        Err(why) => why,
    }
}

fn prepare(wasi: Wasi) -> Result<Command, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let install = Command::new(root.join("tests/install-wasmtime"))
        .arg(root.join("target/wasmtime"))
        .stderr(Stdio::inherit())
        .output()?;
    let server = root.join(match wasi {
        Wasi::P2 => "target/bench-echo.wasm",
        Wasi::P3 => "target/bench-echo-p3.wasm",
    });
    fs::write(&server, compose(ECHO, wasi)?)?;
    let mut command = Command::new(String::from_utf8(install.stdout)?.trim());
    command.args(["run", "-S", "inherit-network"]).arg(server);
    // Exits with the load generator, as the other servers do.
    command.args(["--listen", "127.0.0.1:0", "--stop-on-stdin-end", "--max-connections", "100000"]);
    Ok(command)
}
