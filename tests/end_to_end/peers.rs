//! Limits per peer address, and the PROXY protocol, which carries that address.

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::tls::Certificate;
use crate::support::{head75, on_both_engines};

const LOCATION: &str = "ws://example.com/demo";

on_both_engines!(
    connections_are_limited_per_address,
    an_idle_connection_is_closed_for_a_new_one_of_its_peer,
    an_idle_connection_is_closed_when_the_server_is_full,
    new_connections_are_rate_limited_per_address,
    the_proxy_header_names_the_peer,
    the_proxy_header_reports_tls,
    a_missing_proxy_header_is_refused,
    limits_apply_to_the_peer_not_the_proxy,
);

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine, "--debug"], options].concat())
}

fn connections_are_limited_per_address(engine: &str) {
    let server = start(engine, &["--max-connections-per-peer", "2"]);
    let (mut one, mut two) = (server.open75(), server.open76());
    let mut third = server.connect();
    third.refused(&head75(""), "429");
    server.wait_for_log(&["refused", &third.address().to_string(), "429"]);
    let mut other = Client::connect_from([127, 0, 0, 2], server.address());
    other.shake_hands75(LOCATION);
    for client in [&mut one, &mut two, &mut other] {
        client.echo("in");
    }
}

const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n";
const UPLOAD: &[u8] =
    b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// Requests the page over a kept-alive connection.
fn ask(client: &mut Client) {
    client.send(REQUEST);
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 200 "));
}

fn an_idle_connection_is_closed_for_a_new_one_of_its_peer(engine: &str) {
    let options = ["--max-connections-per-peer", "4", "--workers", "2", "--handshake-timeout", "1h"];
    let server = start(engine, &options);
    let mut other = Client::connect_from([127, 0, 0, 2], server.address());
    ask(&mut other);
    let [mut first, mut second, mut third, mut fourth] = [(); 4].map(|()| server.connect());
    for client in [&mut first, &mut second, &mut third, &mut fourth] {
        ask(client);
    }
    // Another request makes this the most recently active connection.
    ask(&mut first);
    let mut socket = server.open76();
    second.expect_end();
    drop(second);
    let mut another = server.open75();
    third.expect_end();
    drop(third);
    // A connection with a request in progress is not idle.
    for client in [&mut first, &mut fourth] {
        client.send(UPLOAD);
        assert_eq!(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    server.connect().refused(&head75(""), "429");
    for client in [&mut first, &mut fourth] {
        client.send(b"hello");
        assert!(client.read_until(b"only.\n").starts_with(b"HTTP/1.1 405 "));
    }
    for client in [&mut socket, &mut another] {
        client.echo("stays");
    }
    ask(&mut other);
}

fn an_idle_connection_is_closed_when_the_server_is_full(engine: &str) {
    let server = start(engine, &["--max-connections", "2", "--workers", "2", "--handshake-timeout", "1h"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    ask(&mut first);
    ask(&mut second);
    let mut socket = server.connect();
    first.expect_end();
    drop(first);
    socket.shake_hands76(LOCATION);
    let mut another = server.connect();
    second.expect_end();
    drop(second);
    another.shake_hands75(LOCATION);
    server.connect().refused(&head75(""), "503");
    for client in [&mut socket, &mut another] {
        client.echo("stays");
    }
    drop((socket, another));
    assert!(server.stop().contains("connections=4"));
}

fn new_connections_are_rate_limited_per_address(engine: &str) {
    let server = start(engine, &["--max-handshakes-per-peer", "1"]);
    let mut first = server.open76();
    // The peer is allowed one a second; this is far more, even on a slow machine.
    let refused = (0..50).any(|_| {
        let mut client = server.connect();
        client.send(&head75(""));
        client.read_until(b"\r\n").starts_with(b"HTTP/1.1 429 ")
    });
    assert!(refused);
    Client::connect_from([127, 0, 0, 2], server.address()).shake_hands75(LOCATION);
    first.echo("stays");
}

/// A version 2 header for a TCP client of 192.0.2.7.
fn block(more: &[u8]) -> Vec<u8> {
    let content = [b"\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50", more].concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], &content].concat()
}

fn the_proxy_header_names_the_peer(engine: &str) {
    let server = start(engine, &["--proxy-protocol", "--workers", "3", "--worker-fill", "0"]);
    // More connections, so that some are handed over to another worker than the accepting one.
    let mut others = Vec::new();
    for header in [b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n".to_vec(), block(b"")] {
        others.extend([server.connect(), server.connect()]);
        let mut client = server.connect();
        // The header precedes the handshake, as from a proxy.
        client.send(&header);
        client.shake_hands76(LOCATION);
        client.echo("in");
        client.close76();
    }
    server.wait_for_logs(&["connected", "peer=192.0.2.7:12345"], 2);
    let mut check = server.connect();
    check.send(b"PROXY UNKNOWN\r\n");
    check.shake_hands75(LOCATION);
    server.wait_for_log(&["connected", &check.address().to_string()]);
}

fn the_proxy_header_reports_tls(engine: &str) {
    let server = start(engine, &["--proxy-protocol"]);
    let mut client = server.connect();
    client.send(&block(b"\x20\x00\x05\x01\x00\x00\x00\x00"));
    client.shake_hands76("wss://example.com/demo");
    // TLS may follow the header, too.
    let certificate = Certificate::new(&format!("proxied-{engine}"));
    let server = start(engine, &[&["--proxy-protocol"], &certificate.options()[..]].concat());
    let mut client = Client::connect(server.addresses()[1]);
    client.send(&block(b""));
    client.start_tls(certificate.client()).unwrap();
    client.shake_hands76("wss://example.com/demo");
    server.wait_for_log(&["connected", "peer=192.0.2.7:12345"]);
}

fn a_missing_proxy_header_is_refused(engine: &str) {
    let server = start(engine, &["--proxy-protocol", "--handshake-timeout", "300ms"]);
    let mut plain = server.connect();
    plain.send(&head75(""));
    assert_eq!(plain.read_until_gone(), b"");
    server.wait_for_log(&["no PROXY header", &plain.address().to_string()]);
    let mut silent = server.connect();
    silent.send(b"PROXY TCP4");
    assert_eq!(silent.read_until_gone(), b"");
    server.wait_for_log(&["no PROXY header", "not in time", &silent.address().to_string()]);
    // Without --proxy-protocol, the header is an invalid request.
    let server = start(engine, &[]);
    server.connect().refused(b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n\r\n", "505");
}

fn limits_apply_to_the_peer_not_the_proxy(engine: &str) {
    let server = start(engine, &["--proxy-protocol", "--max-connections-per-peer", "1"]);
    let mut clients = Vec::new();
    for peer in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let mut client = server.connect();
        client.send(format!("PROXY TCP4 {peer} 127.0.0.1 1 80\r\n").as_bytes());
        client.shake_hands75(LOCATION);
        clients.push(client);
    }
    let mut again = server.connect();
    again.send(b"PROXY TCP4 192.0.2.2 127.0.0.1 2 80\r\n");
    again.refused(&head75(""), "429");
    for client in &mut clients {
        client.echo("in");
    }
}
