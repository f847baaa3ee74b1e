//! The third-party servers of `tests/peers/README.md`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use super::optional::script;

/// A running peer. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// Installs the peer if necessary and starts it.
    ///
    /// # Errors
    /// The peer is unavailable; the script has written the reason to standard error.
    pub(crate) fn start(name: &str) -> Result<Self, String> {
        let mut child = script("peers/run")
            .args([Path::new(name), &folder()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix("/echo\n"));
        match address.and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Self { child, address }),
            None => Err(format!("{name}: {line:?}, {}", child.wait().unwrap())),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes its standard input and waits for it to exit.
    pub(crate) fn stop(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The peer may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs a peer without starting it.
pub(crate) fn install(name: &str) -> Result<(), String> {
    let status = script("peers/run")
        .args([Path::new("--install"), Path::new(name), &folder()])
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} cannot be installed: {status}")),
        Err(error) => Err(error.to_string()),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers")
}
