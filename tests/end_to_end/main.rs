//! The program as a user runs it: started with options, spoken to in raw bytes.

#[path = "../support/mod.rs"]
mod support;

mod applications;
mod command_line;
mod composition;
mod configuration;
mod faults;
mod frames;
mod handshakes;
mod http;
mod limits;
mod metrics;
mod peers;
mod policy;
mod recording;
mod stopping;
mod systemd;
mod tls;
mod workers;

use std::fs;
use std::path::PathBuf;

/// A file for one test.
fn file(name: &str, content: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().into()
}
