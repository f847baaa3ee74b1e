//! The composed echo on the wasmtime command line.

use std::error::Error;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use legacy_websocket_artifacts::{ECHO, Wasi, compose};
use test_components::{BARE_ECHO_P3, FAULTY_APPLICATION};

use crate::process::{Kind, Role};

/// Execs the server in place of this process, so that the process measured is the server; returns only on error.
pub(crate) fn exec(kind: Kind, role: Role) -> Box<dyn Error> {
    let application = match role {
        Role::Echo => ECHO,
        Role::Soak => FAULTY_APPLICATION,
        _ => return "the composed servers are for echo and soak".into(),
    };
    match prepare(kind, application) {
        Ok(mut command) => command.exec().into(),
        Err(why) => why,
    }
}

fn prepare(kind: Kind, application: &[u8]) -> Result<Command, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let install = Command::new(root.join("tests/install-wasmtime"))
        .arg(root.join("target/wasmtime"))
        .stderr(Stdio::inherit())
        .output()?;
    let (file, component) = match kind {
        Kind::WasmtimeP3 => ("bench-echo-p3.wasm", compose(application, Wasi::P3)?),
        Kind::BareWasmtimeP3 => ("bench-bare-echo-p3.wasm", BARE_ECHO_P3.into()),
        _ => ("bench-echo.wasm", compose(application, Wasi::P2)?),
    };
    let server = root.join("target").join(file);
    fs::write(&server, component)?;
    let mut command = Command::new(String::from_utf8(install.stdout)?.trim());
    command.args(["run", "-S", "inherit-network"]).arg(server);
    // Exits with the load generator, as the other servers do.
    command.args(["--listen", "127.0.0.1:0", "--stop-on-stdin-end", "--max-connections", "100000"]);
    Ok(command)
}
