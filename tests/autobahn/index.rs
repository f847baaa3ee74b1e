//! The results as a document.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{EXCEPTIONS, PROTOCOLS, SERVERS, Verdict, Verdicts};

/// Where it is kept.
const DOCUMENT: &str = "docs/autobahn.md";

/// What Autobahn calls its groups of cases.
const GROUPS: [(u32, &str); 9] = [
    (1, "framing"),
    (2, "pings and pongs"),
    (3, "reserved bits"),
    (4, "opcodes"),
    (5, "fragmentation"),
    (6, "UTF-8"),
    (7, "closing"),
    (9, "limits and performance"),
    (10, "automatic fragmentation"),
];

/// Writes the document if `AUTOBAHN_INDEX` names a file; otherwise compares it, but for the versions.
pub(super) fn keep(results: &BTreeMap<&str, Verdicts>, versions: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tables = tables(results);
    if let Some(file) = std::env::var_os("AUTOBAHN_INDEX") {
        let file = root.join(file);
        return fs::write(&file, introduction(versions) + &tables)
            .map_err(|error| format!("{}: {error}", file.display()));
    }
    let kept = fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default();
    if kept.ends_with(&tables) {
        return Ok(());
    }
    Err(format!(
        "{DOCUMENT} is out of date: write it with AUTOBAHN_INDEX={DOCUMENT}. It should end with:\n{tables}"
    ))
}

fn introduction(versions: &[String]) -> String {
    format!(
        "# The Autobahn test suite

The Autobahn test suite (crossbario/autobahn-testsuite) is the usual judge of servers of RFC 6455. `tests/autobahn.rs`
runs it against the echo: the host with both engines, and the composed servers of both versions of WASI under the
wasmtime command line. Its client also speaks hybi-10, which announces version 8, and judges it by the rules of the RFC.
This document was written by

    AUTOBAHN_INDEX={DOCUMENT} TEST_INSTALL=1 cargo test --release -p legacy-websocket-host --test autobahn

Without `AUTOBAHN_INDEX` the test compares its results with these tables. Versions: legacy-websocket {};
{}.

Groups 12 and 13, compression, are not run: the server has no extensions, and Autobahn calls these cases UNIMPLEMENTED.
The server runs with `--max-message-bytes 16777216` for group 9, which is run for RFC 6455 only.

The gateway is judged as well, without tables. Its tunnel changes no verdict for RFC 6455. Autobahn's fuzzing server as
its backend, echoed by clients of draft 76 and hybi-08: no case of groups 1 to 7 and 10 fails but the eight with binary
messages (1.2) for draft 76; they pass for a client of draft 76 that asks for subprotocol `base64`.
",
        env!("CARGO_PKG_VERSION"),
        versions.join("; "),
    )
}

fn tables(results: &BTreeMap<&str, Verdicts>) -> String {
    let mut text = String::from("\n## Verdicts\n\n| protocol | group |");
    for server in SERVERS {
        let title = match server {
            "wasmtime" => "composed, wasmtime",
            "wasmtime-0.3" => "composed, wasmtime, WASI 0.3",
            server => server,
        };
        let _ = write!(text, " {title} |");
    }
    text += "\n|---|---|---|---|---|---|\n";
    for protocol in PROTOCOLS {
        for (group, title) in GROUPS {
            let cells = SERVERS.map(|server| count(&results[server], protocol.name, group));
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _ = writeln!(text, "| {} | {group} {title} | {} |", protocol.name, cells.join(" | "));
            }
        }
    }
    text += "\n## Cases that are not OK\n\nThey are the same for every server. The first verdict is \
             about the frames, the second about the close.\n\n| protocol | case | verdicts | reason |\n|---|---|---|---|\n";
    for exception in EXCEPTIONS {
        let ((protocol, case), Verdict { behavior, close }) = (exception.key(), exception.verdict());
        let _ = writeln!(text, "| {protocol} | {case} | {behavior}, {close} | {} |", exception.reason);
    }
    text
}

/// How many cases of a group have each verdict.
fn count(verdicts: &Verdicts, protocol: &str, group: u32) -> String {
    let mut counts = BTreeMap::new();
    for ((_, _), verdict) in
        verdicts.iter().filter(|((of, case), _)| of == protocol && case.0.first() == Some(&group))
    {
        *counts.entry((*verdict != Verdict::ok(), &verdict.behavior)).or_insert(0) += 1;
    }
    let counts: Vec<_> =
        counts.into_iter().map(|((_, behavior), count)| format!("{count} {behavior}")).collect();
    counts.join(", ")
}
