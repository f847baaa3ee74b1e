//! Whose fault it is, and who is told.

use crate::backend::Backend;
use crate::faults::expect_descriptors;
use crate::pair::{PROTOCOLS, Pair, Protocol, gateway, gateway_with, start};
use crate::support::admin::{Admin, until};
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::tls::Certificate;

tests!(
    a_lack_of_descriptors_is_not_the_backends_fault,
    the_backend_that_was_asked_is_blamed,
    the_backend_that_is_not_connected_to_in_time_is_blamed,
    a_stalled_upload_is_the_clients_fault,
    a_backend_that_takes_no_upload_is_blamed,
    a_refused_handshake_is_logged_with_the_backend,
    a_response_that_breaks_off_is_logged_with_both_ends,
    a_worker_keeps_a_limited_number_of_connections,
);

fn get(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes()
}

#[track_caller]
fn expect_status(client: &mut Client, status: &str) {
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", head.escape_ascii());
}

/// The failures of a backend, by reason.
fn failures(admin: &Admin, url: &str) -> Vec<(String, f64)> {
    let prefix = format!("legacy_websocket_backend_failures_total{{backend=\"{url}\",reason=\"");
    let own = |(name, count): (String, f64)| {
        Some((name.strip_prefix(&prefix)?.trim_end_matches("\"}").to_owned(), count))
    };
    admin.metrics().into_iter().filter_map(own).filter(|(_, count)| *count > 0.0).collect()
}

#[track_caller]
fn expect_failure(admin: &Admin, url: &str, reason: &str) {
    assert_eq!(failures(admin, url), [(reason.to_owned(), 1.0)], "{url}");
}

fn up(url: &str) -> String {
    format!("legacy_websocket_backend_up{{backend=\"{url}\"}}")
}

fn a_lack_of_descriptors_is_not_the_backends_fault() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let requests = PROTOCOLS.map(|protocol| protocol.request("")).into_iter();
    let requests: Vec<_> = requests.chain([get("")]).collect();
    let before = gateway.descriptors();
    for request in &requests {
        expect_descriptors(&gateway, before);
        // For the client alone.
        gateway.leave_descriptors(1);
        let mut client = gateway.connect();
        client.send(request);
        expect_status(&mut client, "503");
        client.reset();
    }
    gateway.limit(rlimit::Resource::NOFILE, None);
    until(&admin, |metrics| metrics[&up(&backend.url())] == 1.0);
    assert_eq!(failures(&admin, &backend.url()), [("limits".to_owned(), requests.len() as f64)]);
    gateway.wait_for_log(&["the gateway is out of descriptors or ports", &backend.url()]);
    Pair::open(Protocol::Draft76, &gateway, &backend).talk("there is room again");
}

/// A gateway before two backends whose first turn is over.
fn second_turn(options: &[&str]) -> (Server, Admin, [Backend; 2]) {
    let backends = [Backend::start(), Backend::start()];
    let [first, second] = &backends;
    let to = ["--to", &first.url(), "--to", &second.url(), "--metrics", "0"];
    let gateway = gateway_with(&[&to, options].concat());
    let mut client = gateway.connect();
    client.send(&get(""));
    let (mut upstream, _) = first.accept_request();
    upstream.respond("200 OK", "Connection: close\r\n", b"");
    expect_status(&mut client, "200");
    let admin = Admin::of(&gateway);
    (gateway, admin, backends)
}

fn the_backend_that_was_asked_is_blamed() {
    for (answer, status, reason) in [(&b"garbage\r\n\r\n"[..], "502", "response"), (b"", "504", "timeout")] {
        // Where there is no need to wait, the first turn has more time.
        let timeout = if reason == "timeout" { "2s" } else { "1m" };
        let (gateway, admin, [first, second]) = second_turn(&["--backend-timeout", timeout]);
        let mut client = gateway.connect();
        client.send(&get(""));
        let (mut upstream, _) = second.accept_request();
        upstream.send(answer);
        expect_status(&mut client, status);
        expect_failure(&admin, &second.url(), reason);
        assert_eq!(failures(&admin, &first.url()), []);
        gateway.wait_for_log(&["WARN", &second.url(), &client.address().to_string()]);
    }
}

/// TLS with one that says nothing.
fn the_backend_that_is_not_connected_to_in_time_is_blamed() {
    let silent = Backend::start();
    let certificate = Certificate::new("gateway-silent");
    let authority = certificate.certificate.to_str().unwrap();
    let to = format!("https://{}", silent.address());
    for request in PROTOCOLS.map(|protocol| protocol.request("")) {
        let options = ["--backend-ca", authority, "--backend-timeout", "300ms", "--metrics", "0"];
        let gateway = gateway(&to, &options);
        let admin = Admin::of(&gateway);
        let mut client = gateway.connect();
        client.send(&request);
        expect_status(&mut client, "504");
        expect_failure(&admin, &to, "connect");
        assert_eq!(admin.metrics()[&up(&to)], 0.0);
    }
}

fn a_stalled_upload_is_the_clients_fault() {
    let (gateway, backend) = start(&["--backend-timeout", "300ms", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for field in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = gateway.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: example.com\r\n{field}\r\n").as_bytes());
        let (mut upstream, _) = backend.accept_request();
        client.send(b"1\r\n");
        expect_status(&mut client, "408");
        client.read_until_gone();
        upstream.read_until_gone();
    }
    assert_eq!(failures(&admin, &backend.url()), []);
}

fn a_backend_that_takes_no_upload_is_blamed() {
    let (gateway, backend) = start(&["--backend-timeout", "1s", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let mut client = gateway.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000000\r\n\r\n");
    let _upstream = backend.accept_request();
    client.flood(&[0; 65_536], 100_000_000);
    until(&admin, |_| !failures(&admin, &backend.url()).is_empty());
    expect_failure(&admin, &backend.url(), "timeout");
}

fn a_refused_handshake_is_logged_with_the_backend() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        let (mut upstream, _) = backend.accept_request();
        upstream.respond("401 Unauthorized", "", b"");
        expect_status(&mut client, "401");
        gateway.wait_for_log(&[
            "refuses the handshake with 401",
            &backend.url(),
            &client.address().to_string(),
        ]);
    }
    assert!(!gateway.log().contains("application"), "{}", gateway.log());
}

fn a_response_that_breaks_off_is_logged_with_both_ends() {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(&get(""));
    let (mut upstream, _) = backend.accept_request();
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    upstream.finish();
    client.read_until_gone();
    gateway.wait_for_log(&["breaks off its response", &backend.url(), &client.address().to_string()]);
}

fn a_worker_keeps_a_limited_number_of_connections() {
    const CLIENTS: usize = 80;
    let (gateway, backend) = start(&["--workers", "1", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gateway.connect()).collect();
    let mut upstreams: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            client.send(&get(""));
            backend.accept_request().0
        })
        .collect();
    upstreams.iter_mut().for_each(|upstream| upstream.respond("200 OK", "", b""));
    clients.iter_mut().for_each(|client| expect_status(client, "200"));
    let connections = format!("legacy_websocket_backend_connections{{backend=\"{}\"}}", backend.url());
    until(&admin, |metrics| metrics[&connections] == 64.0);
}
