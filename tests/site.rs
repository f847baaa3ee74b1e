//! `serve --http`: a web application beside WebSocket clients of every protocol, for WASI 0.3 and 0.2.

mod support;

/// Lists a module's tests.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($test), $test)),*];
    };
}

#[path = "site/failures.rs"]
mod failures;
#[path = "site/load.rs"]
mod load;
#[path = "site/policy.rs"]
mod policy;
#[path = "site/requests.rs"]
mod requests;
#[path = "site/sockets.rs"]
mod sockets;
#[path = "site/start.rs"]
mod start;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use legacy_websocket_artifacts::ECHO;
use libtest_mimic::Trial;
use test_components::{CHAT, SITE, SITE_P2};

use self::support::response::{get, request};
use self::support::server::Server;

/// A test's name, and the test, which takes the path of the site.
type Test = (&'static str, fn(&str));

const MODULES: [(&str, &[Test]); 5] = [
    ("failures", failures::TESTS),
    ("load", load::TESTS),
    ("policy", policy::TESTS),
    ("requests", requests::TESTS),
    ("sockets", sockets::TESTS),
];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    for (name, component) in
        [("p3.wasm", SITE), ("p2.wasm", SITE_P2), ("echo.wasm", ECHO), ("chat.wasm", CHAT)]
    {
        fs::write(path(name), component).unwrap();
    }
    let mut trials = Vec::new();
    for (version, site) in [("0.3", "p3.wasm"), ("0.2", "p2.wasm")] {
        for (module, tests) in MODULES {
            trials.extend(tests.iter().map(|&(name, run)| {
                Trial::test(format!("{version}::{module}::{name}"), move || {
                    run(&path(site));
                    Ok(())
                })
            }));
        }
    }
    trials.extend(start::TESTS.iter().map(|&(name, run)| {
        Trial::test(format!("start::{name}"), move || {
            run(&path("p3.wasm"));
            Ok(())
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A file of these tests.
fn path(name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("site");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name).to_str().unwrap().into()
}

/// An echo beside the site.
fn serve(site: &str, options: &[&str]) -> Server {
    Server::start(&[&["--http", site], options].concat())
}
