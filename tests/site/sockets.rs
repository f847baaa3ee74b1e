//! WebSocket clients beside the site.

use crate::requests::{SLOW_BYTES, slow};
use crate::support::client::Client;
use crate::support::hybi::{TEXT, head_hybi, masked};
use crate::support::server::Server;
use crate::support::{ANSWER, KEY3, answer75, answer76, contains, frame, head75, head76};
use crate::{get, path, request, serve};

tests!(
    every_protocol_is_the_applications,
    an_application_gets_no_requests,
    a_kept_connection_may_become_a_websocket,
    a_post_may_come_before_a_websocket,
    a_post_that_is_not_read_may_come_before_a_websocket,
    a_handshake_waits_for_the_response,
    a_handshake_may_come_in_pieces_before_the_response,
    a_protocol_that_is_not_accepted_is_refused,
    an_unknown_version_is_not_the_sites,
);

fn every_protocol_is_the_applications(site: &str) {
    let server = serve(site, &[]);
    let (mut old, mut older, mut new) =
        (server.open76(), server.open75(), Client::open_hybi(server.address(), 13));
    let mut plain = server.connect();
    for number in 0..100 {
        plain.send(&get("/bytes/1000"));
        for client in [&mut old, &mut older] {
            client.echo(&number.to_string());
        }
        new.send(&masked(TEXT, b"new"));
        new.expect_frame(TEXT, b"new");
        assert_eq!(plain.read_response().1.len(), 1000);
    }
    old.close76();
}

fn an_application_gets_no_requests(site: &str) {
    // It would answer with its page.
    let server = Server::start(&[&path("chat.wasm"), "--http", site]);
    let mut guest = server.open76();
    guest.read_until(&frame("* you are guest 1"));
    let mut plain = server.connect();
    plain.send(&get("/bytes/2"));
    assert_eq!(plain.read_response().1, [0, 1]);
    guest.send(&frame("hello"));
    guest.expect(&frame("guest 1: hello"));
}

fn a_kept_connection_may_become_a_websocket(site: &str) {
    let server = serve(site, &["--workers", "2"]);
    let plain = |client: &mut Client| {
        for path in ["/bytes/10", "/nowhere"] {
            client.send(&get(path));
            client.read_response();
        }
    };
    let mut client = server.connect();
    plain(&mut client);
    client.send(&[head76(""), KEY3.into()].concat());
    client.expect(&answer76("ws://example.com/demo", ""));
    client.expect(ANSWER);
    client.echo("76");
    client.close76();

    // In pieces.
    let mut client = server.connect();
    plain(&mut client);
    for byte in head75("") {
        client.send(&[byte]);
    }
    client.expect(&answer75("ws://example.com/demo", ""));
    client.echo("75");

    let mut client = server.connect();
    plain(&mut client);
    client.send(&[head_hybi(13, ""), masked(TEXT, b"with it")].concat());
    let answer = client.read_until(b"\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    client.expect_frame(TEXT, b"with it");
}

fn a_post_may_come_before_a_websocket(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&request("POST", "/echo", "Content-Length: 5\r\n"));
    client.send(b"hello");
    assert_eq!(client.read_response().1, b"hello");
    client.send(&request("POST", "/echo", "Transfer-Encoding: chunked\r\n"));
    client.send(b"5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.read_response().1, b"hello");
    client.send(&head75(""));
    client.expect(&answer75("ws://example.com/demo", ""));
    client.echo("after");
}

fn a_post_that_is_not_read_may_come_before_a_websocket(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&[&request("POST", "/nowhere", "Content-Length: 5\r\n")[..], b"hello"].concat());
    assert!(client.read_response().0.starts_with("HTTP/1.1 404 "));
    client.shake_hands76("ws://example.com/demo");
    client.echo("after");
    client.close76();
}

/// With more frames than are read at once, and a response that the client is slow to read.
fn a_handshake_waits_for_the_response(site: &str) {
    let server = serve(site, &[]);
    let frames = frame(&"a".repeat(1000)).repeat(10);
    for (bytes, mut client) in [(10, server.connect()), (SLOW_BYTES, slow(&server))] {
        client.send(&[get(&format!("/bytes/{bytes}")), head75(""), frames.clone()].concat());
        assert_eq!(client.read_response().1.len(), bytes);
        client.expect(&answer75("ws://example.com/demo", ""));
        client.expect(&frames);
        client.echo("after");
    }
}

fn a_handshake_may_come_in_pieces_before_the_response(site: &str) {
    let server = serve(site, &[]);
    let handshake = head75("");
    // Each place where a line begins.
    for (end, _) in handshake.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let (first, rest) = handshake.split_at(end + 1);
        let mut client = server.connect();
        client.send(&[&get("/bytes/10"), first].concat());
        assert_eq!(client.read_response().1.len(), 10);
        client.send(rest);
        client.expect(&answer75("ws://example.com/demo", ""));
        client.echo("75");
    }
}

fn a_protocol_that_is_not_accepted_is_refused(site: &str) {
    let server = serve(site, &["--protocol", "draft76"]);
    let mut client = server.connect();
    client.send(&get("/bytes/10"));
    client.read_response();
    client.send(&head_hybi(13, ""));
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 400 ") && contains(&body, b"opening handshake"), "{head}");
    client.expect_end();
}

fn an_unknown_version_is_not_the_sites(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    let answer = client.refused(&head_hybi(14, ""), "426");
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13"), "{answer}");
}
