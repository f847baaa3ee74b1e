//! `legacy-websocket compose`: its output is served, and incompatible components are refused.

use std::path::Path;

use legacy_websocket_artifacts::{ECHO, LIBRARY};
use test_components::{CHAT, REQUIRE_COOKIE};

use crate::file;
use crate::support::server::{Server, run};
use crate::support::{ANSWER, KEY3, head75, head76};

/// A path for an output file.
fn result(name: &str) -> String {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().unwrap().into()
}

#[test]
fn a_middleware_runs_before_the_application() {
    let (chat, middleware) = (file("composed-chat.wasm", CHAT), file("cookie.wasm", REQUIRE_COOKIE));
    let stacked = result("chat-with-cookie.wasm");
    let output = run(&[
        "compose",
        &chat,
        "--with",
        &middleware,
        "--with",
        &middleware,
        "--application-only",
        "-o",
        &stacked,
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let server = Server::start(&[&stacked]);
    for head in [head75(""), head76("Cookie: pass=2009; xpass=2010\r\n")] {
        let answer = server.connect().refused(&head, "403");
        assert!(answer.ends_with("this needs a cookie\n"), "{answer}");
    }
    let mut client = server.connect();
    client.send(&[&head76("Cookie: a=b; pass=2010\r\n"), KEY3].concat());
    client.read_until(ANSWER);
    // The third connection, but the first that reaches the chat.
    client.expect_text("* you are guest 1");
    // Plain HTTP passes.
    let mut page = server.connect();
    page.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(page.read_to_end().starts_with(b"HTTP/1.1 200 "));
    client.close76();
}

#[test]
fn compose_writes_a_server() {
    let (echo, server) = (file("composed-echo.wasm", ECHO), result("echo-server.wasm"));
    let output = run(&["compose", &echo, "--output", &server]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The result is a server, no longer an application.
    let output = run(&["serve", &server, "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
}

#[test]
fn incompatible_components_are_refused() {
    let (echo, library) = (file("e.wasm", ECHO), file("l.wasm", LIBRARY));
    let (middleware, module) = (file("m.wasm", REQUIRE_COOKIE), file("core.wasm", b"\0asm\x01\0\0\0"));
    let nothing = result("nothing.wasm");
    for (arguments, reason) in [
        (&["compose", library.as_str(), "-o", &nothing][..], "l.wasm: it does not export"),
        (&["compose", &echo, "--with", &echo, "-o", &nothing], "e.wasm: it does not both import and export"),
        (&["compose", &middleware, "-o", &nothing], "m.wasm: it imports hixie:legacy-websocket/handler@"),
        (&["compose", &middleware, "--with", &middleware, "-o", &nothing], "m.wasm: it imports"),
        (&["compose", &module, "-o", &nothing], "core.wasm: not a component: it is a core module (built for"),
        (&["compose", "/no/such/file", "-o", &nothing], "/no/such/file: No such file"),
        (&["compose", &echo, "-o", "/no/such/folder/x"], "/no/such/folder/x: No such file"),
        (&["compose", &echo], "--output"),
    ] {
        let output = run(arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && log.contains(reason), "{arguments:?}: {log}");
    }
    assert!(!Path::new(&nothing).exists());
}
