//! WASI 0.2 hosts that run a composed server.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::Mutex;

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
