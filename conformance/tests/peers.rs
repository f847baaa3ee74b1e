//! Other people's servers against the corpus, over real sockets: `check` as its users run it. Their failures are
//! listed in `known-failures.toml`, with reasons.

#[path = "../../tests/support/optional.rs"]
#[allow(dead_code, reason = "shared with the tests of the host")]
mod optional;
#[path = "../../tests/support/peer.rs"]
#[allow(dead_code, reason = "shared with the tests of the host")]
mod peer;

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Arguments;

const BOTH: &[&str] = &["draft75", "draft76"];

/// The name, and the protocols it speaks of those that the list of known failures covers.
const PEERS: [(&str, &[&str]); 13] = [
    ("websocket-driver", BOTH),
    ("perl-protocol-websocket", BOTH),
    ("ruby-websocket", BOTH),
    ("netty", BOTH),
    ("em-websocket", BOTH),
    ("websocket.io", BOTH),
    ("eventlet", BOTH),
    ("ws", &["draft76"]),
    ("tornado", &["draft76"]),
    ("txws", &["draft76"]),
    ("websocketpp", &["draft76"]),
    ("mochiweb", &["draft76"]),
    ("lighttpd", &["draft76"]),
];

fn main() {
    // The others take long to install, or fail depending on how reads happen to be split.
    let all = std::env::var("PEERS").is_ok_and(|peers| peers == "all");
    let some = &PEERS[..if all { PEERS.len() } else { 2 }];
    let trials = some.iter().map(|&(name, protocols)| {
        let installed = peer::install(name).map(|()| PathBuf::from(name));
        optional::trial(name, &installed, move |_| hold(name, protocols))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// It fails exactly the known failures. The report stays in the build folder.
fn hold(name: &str, protocols: &[&str]) {
    let peer = peer::Peer::start(name).unwrap_or_else(|error| panic!("{error}"));
    let reports = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(["check", &format!("ws://{}/echo", peer.address()), "--echo", "--name", name])
        .args(protocols.iter().flat_map(|protocol| ["--protocol", protocol]))
        .args(["--jobs", "32", "--patience", "5000", "--max-differs", "0", "--known"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("known-failures.toml"))
        .arg("--json")
        .arg(reports.join(format!("{name}.json")))
        .output()
        .expect("the checker runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let news = text.lines().filter(|line| !line.starts_with("known")).collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{news}\n{}", String::from_utf8_lossy(&output.stderr));
}
