//! Plain HTTP on the same port.

use test_components::PUBLISH;

use crate::file;
use crate::support::client::Client;
use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{KEY3, frame, head76};

on_both_engines!(
    the_test_page_is_served,
    head_returns_the_fields_without_the_body,
    a_connection_is_kept_alive,
    requests_may_be_pipelined,
    any_number_of_requests_may_be_pipelined,
    a_missing_page_is_not_found,
    a_body_may_be_chunked,
    a_health_check_is_answered,
    an_invalid_request_is_refused,
    a_head_over_its_limits_is_refused,
    a_flash_policy_is_served_if_configured,
    requests_are_logged_with_debug,
);

const PAGE: &str = include_str!("../../host/src/application/page.html");

fn request(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes()
}

/// Reads a response with a body.
fn response(client: &mut Client) -> (String, String) {
    let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    (head, String::from_utf8(client.read_exact(length)).unwrap())
}

fn the_test_page_is_served(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&request("GET", "/?any=query", "Connection: close\r\n"));
    let (head, body) = response(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(body, PAGE);
    client.expect_end();
}

fn requests_are_logged_with_debug(engine: &str) {
    let server = Server::start(&["--engine", engine, "--debug"]);
    let mut client = server.connect();
    client.send(&request("GET", "/page?x=1", "Connection: close\r\n"));
    client.read_until_gone();
    let peer = client.address().to_string();
    server.wait_for_log(&["DEBUG", "request", &peer, "method=GET", "path=/page?x=1"]);
}

fn head_returns_the_fields_without_the_body(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&request("GET", "/", ""));
    let (with_body, _) = response(&mut client);
    client.send(&request("HEAD", "/", ""));
    assert_eq!(String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap(), with_body);
    client.finish();
    client.expect_end();
}

fn a_connection_is_kept_alive(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(&request("GET", "/", ""));
        let (head, body) = response(&mut client);
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
        assert_eq!(body, PAGE);
    }
    // A kept-alive connection may become a WebSocket.
    client.send(&[&head76(""), KEY3].concat());
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
}

fn requests_may_be_pipelined(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    let body = request("POST", "/", "Content-Length: 5\r\n");
    client.send(&[&request("GET", "/", "")[..], &body, b"hello", &request("GET", "/none", "")].concat());
    client.finish();
    assert_eq!(response(&mut client).1, PAGE);
    assert!(response(&mut client).0.starts_with("HTTP/1.1 405 "));
    assert!(response(&mut client).0.starts_with("HTTP/1.1 404 "));
    client.expect_end();
}

fn any_number_of_requests_may_be_pipelined(engine: &str) {
    // One connection at a time: each must be gone before the next is served.
    let server = Server::start(&["--engine", engine, "--max-connections", "1", "--workers", "1"]);
    for number in [63, 64, 65, 129, 1000] {
        let mut all = request("HEAD", "/", "").repeat(number - 1);
        all.extend(request("HEAD", "/", "Connection: close\r\n"));
        // The server must see the previous connection close first.
        let answers = (0..1000).find_map(|_| {
            let mut client = server.connect();
            client.send(&all);
            let answers = String::from_utf8(client.read_to_end()).unwrap();
            (!answers.starts_with("HTTP/1.1 503 ")).then_some(answers)
        });
        assert_eq!(answers.unwrap().matches("HTTP/1.1 200 OK").count(), number);
    }
}

fn a_missing_page_is_not_found(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    client.send(&request("GET", "/favicon.ico", ""));
    assert!(response(&mut client).0.starts_with("HTTP/1.1 404 Not Found\r\n"));
    client.send(&request("DELETE", "/", ""));
    assert!(response(&mut client).0.starts_with("HTTP/1.1 405 "));
}

fn a_body_may_be_chunked(engine: &str) {
    let server = Server::start(&[wasm!(PUBLISH), "--engine", engine]);
    let mut socket = server.open76();
    let mut client = server.connect();
    client.send(&request("POST", "/publish", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"));
    assert_eq!(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    for part in ["3;x=", "y\r\nIt ", "\r\n6\r", "\nrains.", "\r\n0\r\nTrailer: x\r\n", "\r\n"] {
        client.send(part.as_bytes());
    }
    assert_eq!(response(&mut client).1, "sent to 1\n");
    socket.read_until(&frame("It rains."));
    // The connection stays usable after a chunked body.
    let chunked = request("POST", "/publish", "Transfer-Encoding: chunked\r\nConnection: close\r\n");
    client.send(&[&chunked[..], b"4\r\nAgai\r\n1\r\nn\r\n0\r\n\r\n"].concat());
    assert_eq!(response(&mut client).1, "sent to 1\n");
    socket.read_until(&frame("Again"));
    client.expect_end();
}

fn a_health_check_is_answered(engine: &str) {
    let request_raw = |server: &Server, head: &str| {
        let mut client = server.connect();
        client.send(head.as_bytes());
        String::from_utf8(client.read_to_end()).unwrap()
    };
    // An application that would answer 404.
    let server = Server::start(&[wasm!(PUBLISH), "--engine", engine, "--host", "example.com"]);
    let answer = request_raw(&server, "OPTIONS / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let preflight = "OPTIONS / HTTP/1.0\r\nHost: example.com\r\nOrigin: http://example.com\r\n\r\n";
    assert!(request_raw(&server, preflight).starts_with("HTTP/1.1 404 "));
    let by_address = "GET /healthz HTTP/1.0\r\nHost: 192.0.2.1\r\n\r\n";
    assert!(request_raw(&server, by_address).starts_with("HTTP/1.1 403 "));
    let options = ["--engine", engine, "--host", "example.com", "--health-path", "/healthz"];
    let server = Server::start(&[&[wasm!(PUBLISH)], &options[..]].concat());
    assert!(request_raw(&server, by_address).starts_with("HTTP/1.1 200 "));
    let mut client = server.connect();
    client.send(b"HEAD /healthz HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Length: 3\r\n"), "{head}");
    client.send(&request("POST", "/healthz", ""));
    assert!(response(&mut client).0.starts_with("HTTP/1.1 404 "));
}

fn an_invalid_request_is_refused(engine: &str) {
    let server = Server::start(&["--engine", engine, "--max-message-bytes", "1000"]);
    let chunked = request("POST", "/", "Transfer-Encoding: chunked\r\n");
    server.connect().refused(&[&chunked[..], b"3e9\r\n"].concat(), "413");
    server.connect().refused(&[&chunked[..], b"2\r\nabc\r\n"].concat(), "400");
    server.connect().refused(&request("POST", "/", "Transfer-Encoding: gzip, chunked\r\n"), "501");
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    server.connect().refused(&[&request("POST", "/", both)[..], b"0\r\n\r\n"].concat(), "400");
    for length in ["1001", "99999999999999999999999999"] {
        server.connect().refused(&request("POST", "/", &format!("Content-Length: {length}\r\n")), "413");
    }
    server.connect().refused(&request("POST", "/", "Content-Length: -1\r\n"), "400");
    server.connect().refused(b"nonsense\r\n\r\n", "400");
    server.connect().refused(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", "400");
}

fn a_head_over_its_limits_is_refused(engine: &str) {
    let server = Server::start(&["--engine", engine, "--max-fields", "3", "--max-head-bytes", "200"]);
    let mut client = server.connect();
    client.send(&request("GET", "/", "A: 1\r\nB: 2\r\n"));
    assert!(response(&mut client).0.starts_with("HTTP/1.1 200 "));
    server.connect().refused(&request("GET", "/", "A: 1\r\nB: 2\r\nC: 3\r\n"), "431");
    server.connect().refused(&request("GET", "/", &format!("A: {}\r\n", "a".repeat(200))), "431");
}

fn a_flash_policy_is_served_if_configured(engine: &str) {
    let policy = r#"<cross-domain-policy><allow-access-from domain="*" to-ports="*"/></cross-domain-policy>"#;
    let path = file(&format!("policy-{engine}.xml"), policy.as_bytes());
    let server = Server::start(&["--engine", engine, "--flash-policy", &path]);
    let mut client = server.connect();
    client.send(b"<policy-file-");
    client.send(b"request/>\0");
    assert_eq!(client.read_to_end(), [policy.as_bytes(), b"\0"].concat());
    let server = Server::start(&["--engine", engine]);
    server.connect().refused(b"<policy-file-request/>\0", "400");
}
