//! A composed server with a web application beside the application: `compose --http`.

use std::fs;
use std::path::{Path, PathBuf};

use legacy_websocket_artifacts::{ECHO, compose_with_http};
use test_components::{SITE, SITE_P2};

use crate::support::response::{get, request, requests_beside_sockets};
use crate::support::server::{Server, program};
use crate::support::{Test, hosts};

/// The name of the host.
pub(crate) const HOST: &str = "wasmtime-0.3, with a site";

pub(crate) const TESTS: &[Test] = &[
    ("requests_go_to_the_site", requests_go_to_the_site),
    ("what_a_trusted_proxy_tells_counts", what_a_trusted_proxy_tells_counts),
    ("an_absolute_target_names_the_host", an_absolute_target_names_the_host),
    ("a_handshake_may_follow_requests", a_handshake_may_follow_requests),
    ("what_fails_is_answered_and_logged", what_fails_is_answered_and_logged),
    ("no_answer_is_503_and_the_next_request_is_served", no_answer_is_503_and_the_next_request_is_served),
    ("a_thousand_requests_beside_sockets", a_thousand_requests_beside_sockets),
    ("compose_names_what_is_wrong", compose_names_what_is_wrong),
];

/// Registers the host.
pub(crate) fn install() -> Result<PathBuf, String> {
    let wasmtime = hosts::wasmtime()?;
    let server = folder().join("server.wasm");
    fs::write(&server, compose_with_http(ECHO, SITE).unwrap()).unwrap();
    hosts::register(HOST, hosts::wasmtime_http_command(&wasmtime, &server));
    Ok(wasmtime)
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("composed-site");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn requests_go_to_the_site(host: &str) {
    let server = Server::start(&["--engine", host]);
    let mut client = server.connect();
    client.send(&request("GET", "/?a=\u{e9}", "X-Mine: c\r\nX-Forwarded-For: 192.0.2.1\r\n"));
    let (head, body) = client.read_response();
    let body = String::from_utf8(body).unwrap().to_lowercase();
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains(" example.com\n"), "{head}{body}");
    assert!(body.contains("x-mine: c\n") && body.contains("x-forwarded-for: 127.0.0.1\n"), "{body}");
    // On the same connection.
    client.send(&request("POST", "/echo", "Content-Length: 100000\r\n"));
    client.send(&vec![b'x'; 100_000]);
    assert_eq!(client.read_response().1, vec![b'x'; 100_000]);
    client.send(&request("HEAD", "/bytes/1000", ""));
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 200 "));
    client.send(&[get("/nowhere"), get("/bytes/30000000")].concat());
    assert!(client.read_response().0.starts_with("HTTP/1.1 404 "));
    assert_eq!(client.read_response().1.len(), 30_000_000);
}

fn what_a_trusted_proxy_tells_counts(host: &str) {
    let server = Server::start(&["--engine", host, "--trust-forwarded"]);
    let ask = |fields: &str| {
        let mut client = server.connect();
        client.send(&request("GET", "/", fields));
        let (head, body) = client.read_response();
        format!("{head}{}", String::from_utf8(body).unwrap()).to_lowercase()
    };
    let told =
        ask("X-Forwarded-For: 192.0.2.1\r\nForwarded: host=outer;proto=https\r\nX-Forwarded-Port: 8443\r\n");
    assert!(told.contains("some(scheme::https) outer:8443\n"), "{told}");
    assert!(told.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\nx-forwarded-proto: https\n"), "{told}");
    assert!(told.contains("\nforwarded: host=outer;proto=https\n"), "{told}");
    // The default port is not part of the authority.
    let told = ask("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n");
    assert!(told.contains("some(scheme::https) example.com\n"), "{told}");
    let told = ask("Forwarded: host=\"\r\n");
    assert!(told.starts_with("http/1.1 400 "), "{told}");
}

fn an_absolute_target_names_the_host(host: &str) {
    let server = Server::start(&["--engine", host, "--host", "good.example"]);
    let mut client = server.connect();
    client.send(b"GET http://good.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let (head, body) = client.read_response();
    let body = String::from_utf8(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains(" good.example\n"), "{head}{body}");
    assert!(!body.contains("evil"), "{body}");
    // HTTP/1.0 needs no Host beside it.
    let mut client = server.connect();
    client.send(b"GET http://good.example/ HTTP/1.0\r\n\r\n");
    let (head, body) = client.read_response();
    let body = String::from_utf8(body).unwrap();
    assert!(head.contains(" 200 ") && body.contains(" good.example\n"), "{head}{body}");
}

fn a_handshake_may_follow_requests(host: &str) {
    let server = Server::start(&["--engine", host]);
    let mut client = server.connect();
    client.send(&get("/count"));
    assert_eq!(client.read_response().1, b"1");
    client.shake_hands76("ws://example.com/demo");
    client.echo("in");
}

fn what_fails_is_answered_and_logged(host: &str) {
    let server = Server::start(&["--engine", host]);
    let mut client76 = server.open76();
    let mut client = server.connect();
    for path in ["/error", "/bytes/40000000"] {
        client.send(&get(path));
        assert!(client.read_response().0.starts_with("HTTP/1.1 500 "), "{path}");
    }
    client.send(&get("/bytes/10"));
    assert_eq!(client.read_response().1.len(), 10);
    client76.echo("not disturbed");
    for why in ["reason=ErrorCode", "reason=the response is longer than 33554432 bytes"] {
        server.wait_for_log(&["status=500", why]);
    }
}

fn no_answer_is_503_and_the_next_request_is_served(host: &str) {
    let server = Server::start(&["--engine", host, "--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.send(&get("/wait"));
    assert!(client.read_response().0.starts_with("HTTP/1.1 503 "));
    let mut gone = server.connect();
    gone.send(&get("/wait"));
    drop(gone);
    let mut client = server.connect();
    client.send(&get("/bytes/10"));
    assert_eq!(client.read_response().1.len(), 10);
}

fn a_thousand_requests_beside_sockets(host: &str) {
    requests_beside_sockets(Server::start(&["--engine", host]).address());
}

fn compose_names_what_is_wrong(_: &str) {
    let path = |name: &str, bytes: &[u8]| {
        let path = folder().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let (echo, site, old) =
        (path("echo.wasm", ECHO), path("site.wasm", SITE), path("site-0.2.wasm", SITE_P2));
    let composed = folder().join("composed.wasm");
    for (site, wasi, why) in [
        (&echo, "0.3", "echo.wasm: it does not export wasi:http/handler@0.3.0"),
        (&old, "0.3", "not wasi:http/handler@0.3.0: build it for WASI 0.3"),
        (&site, "0.2", "--http requires --wasi 0.3"),
    ] {
        let mut command = program();
        command.args(["compose", "--wasi", wasi, "-o"]).arg(&composed);
        let output = command.arg(&echo).arg("--http").arg(site).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(why), "{log}");
    }
}
