//! End-to-end tests: start the program with options and talk to it in raw bytes.

#[path = "../support/mod.rs"]
mod support;

/// The path of a component, given its constant.
macro_rules! wasm {
    ($constant:ident) => {
        crate::file_once(concat!(stringify!($constant), ".wasm"), $constant)
    };
}

mod applications;
mod busy_workers;
mod command_line;
mod composition;
mod configuration;
mod every_protocol;
mod fairness;
mod faults;
mod frames;
mod handshakes;
mod http;
mod later_protocols;
mod limits;
mod listening;
mod log;
mod memory;
mod metrics;
mod peers;
mod policy;
mod recording;
mod stopping;
mod systemd;
mod tls;
mod try_trace;
mod workers;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// Writes a file for one test.
fn file(name: &str, content: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().into()
}

/// Writes a file once for all tests, so that none reads it while another writes it.
fn file_once(name: &'static str, content: &[u8]) -> &'static str {
    static WRITTEN: Mutex<BTreeMap<&str, &str>> = Mutex::new(BTreeMap::new());
    WRITTEN.lock().unwrap().entry(name).or_insert_with(|| file(name, content).leak())
}
