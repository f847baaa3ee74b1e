//! The program as a user runs it: started with options, spoken to in raw bytes.

#[path = "../support/mod.rs"]
mod support;

/// Makes each of these functions a test on both engines.
macro_rules! on_both_engines {
    ($($test:ident),* $(,)?) => {
        mod component {
            $(#[test] fn $test() { super::$test("component"); })*
        }
        mod native {
            $(#[test] fn $test() { super::$test("native"); })*
        }
    };
}

mod command_line;
mod faults;
mod frames;
mod handshakes;
mod http;
mod limits;
mod policy;
mod stopping;

use std::fs;
use std::path::PathBuf;

/// A file for one test.
fn file(name: &str, content: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().into()
}
