//! Requests that two servers may read in two ways: they do not reach the backend.

use crate::backend::Backend;
use crate::pair::{PROTOCOLS, gateway_with, start};
use crate::support::admin::Admin;
use crate::support::hybi::head_hybi;
use crate::support::server::Server;

tests!(
    two_hosts_are_refused,
    the_host_of_an_absolute_target_counts,
    a_path_that_leaves_its_route_is_refused,
    an_upgrade_with_a_body_is_refused,
    options_of_the_whole_server_with_a_body_are_refused,
    claims_spelt_with_underscores_do_not_pass,
);

/// The gateway answers by itself.
#[track_caller]
fn expect_refused(gateway: &Server, backend: &Backend, request: &[u8]) {
    let mut client = gateway.connect();
    client.send(request);
    let answer = client.read_until(b"\r\n");
    let shown = request.escape_ascii();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}: {shown}", answer.escape_ascii());
    assert!(!backend.is_waited_for(), "{shown}");
}

/// What each kind of client asks for, with another target and more fields.
fn requests(target: &str, fields: &str) -> Vec<Vec<u8>> {
    let plain = format!("GET /demo HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes();
    let old = PROTOCOLS.map(|protocol| protocol.request(fields));
    let aimed = |request| String::from_utf8(request).unwrap().replacen("/demo", target, 1).into_bytes();
    [plain, head_hybi(13, fields)].into_iter().chain(old).map(aimed).collect()
}

/// RFC 9112 section 3.2.
fn two_hosts_are_refused() {
    let (gateway, backend) = start(&[]);
    for request in requests("/demo", "Host: other.example\r\n") {
        expect_refused(&gateway, &backend, &request);
    }
}

/// RFC 9112 section 3.2.2.
fn the_host_of_an_absolute_target_counts() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(b"GET http://example.com:81/a HTTP/1.1\r\nHost: other.example\r\n\r\n");
    let (_upstream, asked) = backend.accept_request();
    assert_eq!(asked.line, "GET /a HTTP/1.1");
    asked.expect("Host", "example.com:81");
    asked.expect("X-Forwarded-Host", "example.com:81");
    asked.expect("X-Forwarded-Port", "81");
}

fn a_path_that_leaves_its_route_is_refused() {
    let backend = Backend::start();
    let route = format!("{{\"path\": \"/socket\", \"to\": [\"{}\"]}}", backend.url());
    let gateway = gateway_with(&["--route", &route]);
    for rest in ["/../admin", "/%2e%2E/admin", "/.%2e", "/a/./b", "/..%2fadmin", "/..;a=b/admin"] {
        for request in requests(&format!("/socket{rest}"), "") {
            expect_refused(&gateway, &backend, &request);
        }
    }
    // Nobody takes these for another path.
    let mut client = gateway.connect();
    client.send(b"GET /socket/...//.a/b..?c=/../d HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(backend.accept_request().1.line, "GET /socket/...//.a/b..?c=/../d HTTP/1.1");
}

/// Otherwise a client that does not send it makes the backend late.
fn an_upgrade_with_a_body_is_refused() {
    let (gateway, backend) = start(&["--backend-timeout", "300ms", "--metrics", "0"]);
    for field in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        expect_refused(&gateway, &backend, &head_hybi(13, field));
    }
    expect_no_failure(&gateway);
    // It is none.
    let mut client = gateway.connect();
    client.send(&head_hybi(13, "Content-Length: 0\r\n"));
    backend.accept_websocket("");
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
}

fn options_of_the_whole_server_with_a_body_are_refused() {
    let (gateway, backend) = start(&["--backend-timeout", "300ms", "--metrics", "0"]);
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let request = format!("OPTIONS * HTTP/1.1\r\nHost: example.com\r\n{field}\r\n\r\n");
        expect_refused(&gateway, &backend, request.as_bytes());
    }
    expect_no_failure(&gateway);
}

#[track_caller]
fn expect_no_failure(gateway: &Server) {
    let metrics = Admin::of(gateway).metrics();
    let failed = |(name, count): &(&String, &f64)| name.contains("backend_failures_total{") && **count > 0.0;
    assert_eq!(metrics.iter().find(failed), None);
}

/// CGI has one name for both spellings.
fn claims_spelt_with_underscores_do_not_pass() {
    let claims = "X_Forwarded_For: 192.0.2.7\r\nX-Real_IP: 192.0.2.7\r\nX_Mine: kept\r\n";
    for options in [&[][..], &["--trust-forwarded"]] {
        let (gateway, backend) = start(options);
        for request in requests("/demo", claims) {
            let mut client = gateway.connect();
            client.send(&request);
            let (_upstream, asked) = backend.accept_request();
            asked.lacks("X_Forwarded_For");
            asked.lacks("X-Real_IP");
            asked.expect("X_Mine", "kept");
            asked.expect("X-Forwarded-For", "127.0.0.1");
        }
    }
}
