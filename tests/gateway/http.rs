//! Plain HTTP passes through.

use std::thread;
use std::time::Instant;

use crate::backend::{Backend, Upstream};
use crate::pair::{PROTOCOLS, start};
use crate::support::DEADLINE;
use crate::support::client::Client;
use crate::support::server::Server;

tests!(
    a_request_and_its_answer_pass,
    any_method_passes,
    options_of_the_whole_server_pass,
    a_body_of_known_length_passes,
    a_chunked_body_passes,
    a_connection_is_kept_alive_on_both_sides,
    a_kept_alive_connection_may_become_a_websocket,
    requests_may_be_pipelined,
    head_has_the_fields_without_the_body,
    answers_without_a_body_pass,
    a_client_of_http_1_0_is_served,
    an_answer_may_end_with_the_connection,
    events_pass_one_by_one,
    long_polls_wait_side_by_side,
    a_client_may_wait_for_100_continue,
    a_refused_expectation_passes,
    hop_by_hop_fields_do_not_pass,
    fields_pass_in_order_and_repeated,
    forwarded_fields_are_set_on_plain_requests,
    a_request_may_come_in_any_two_pieces,
    an_answer_may_come_before_the_body_is_over,
    a_malformed_head_is_refused,
    two_lengths_do_not_reach_the_backend,
    a_health_check_is_answered_by_the_gateway,
);

fn request(method: &str, path: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes()
}

/// Reads chunks until they have this many bytes.
#[track_caller]
fn chunks(client: &mut Client, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(client.read_chunk().expect("more chunks"));
    }
    all
}

#[track_caller]
fn ask(gateway: &Server, backend: &Backend, request: &[u8]) -> (Client, Upstream, crate::backend::Request) {
    let mut client = gateway.connect();
    client.send(request);
    let (upstream, request) = backend.accept_request();
    (client, upstream, request)
}

fn a_request_and_its_answer_pass() {
    let (gateway, backend) = start(&[]);
    let get = request("GET", "/a/b?c=d&e", "Accept: text/html\r\n");
    let (mut client, mut upstream, asked) = ask(&gateway, &backend, &get);
    assert_eq!(asked.line, "GET /a/b?c=d&e HTTP/1.1");
    asked.expect("Host", "example.com");
    asked.expect("Accept", "text/html");
    upstream.respond("200 Fine", "Content-Type: text/html\r\nX-Inner: 1\r\n", b"<p>\x00\xff");
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("\r\ncontent-type: text/html\r\n") && lower.contains("\r\nx-inner: 1\r\n"),
        "{head}"
    );
    assert_eq!(body, b"<p>\x00\xff");
}

fn any_method_passes() {
    let (gateway, backend) = start(&[]);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN"] {
        let (mut client, mut upstream, asked) = ask(&gateway, &backend, &request(method, "/", ""));
        assert_eq!(asked.line, format!("{method} / HTTP/1.1"));
        upstream.respond("200 OK", "Connection: close\r\n", method.as_bytes());
        assert_eq!(client.read_response().1, method.as_bytes());
    }
}

/// RFC 9110 section 9.3.7.
fn options_of_the_whole_server_pass() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, asked) =
        ask(&gateway, &backend, b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(asked.line, "OPTIONS * HTTP/1.1");
    upstream.respond("204 No Content", "Allow: GET\r\n", b"");
    let head = client.read_until(b"\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with(b"http/1.1 204 "), "{}", head.escape_ascii());
    client.send(b"GET * HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 400 "), "{}", head.escape_ascii());
}

fn a_body_of_known_length_passes() {
    let (gateway, backend) = start(&[]);
    let head = request("POST", "/", "Content-Length: 11\r\n");
    let (mut client, mut upstream, asked) = ask(&gateway, &backend, &head);
    asked.expect("Content-Length", "11");
    asked.lacks("Transfer-Encoding");
    // Each piece arrives before the next is sent.
    for piece in [&b"hello"[..], b" ", b"\x00\xff\r\n\x01"] {
        client.send(piece);
        upstream.expect(piece);
    }
    upstream.respond("201 Created", "", b"");
    assert!(client.read_response().0.starts_with("HTTP/1.1 201 "));
}

fn a_chunked_body_passes() {
    let (gateway, backend) = start(&[]);
    for method in ["POST", "GET"] {
        let head = request(method, "/", "Transfer-Encoding: chunked\r\n");
        let (mut client, mut upstream, asked) = ask(&gateway, &backend, &head);
        asked.expect("Transfer-Encoding", "chunked");
        asked.lacks("Content-Length");
        for piece in ["first", "second one", "third"] {
            client.send(format!("{:x};x=y\r\n{piece}\r\n", piece.len()).as_bytes());
            assert_eq!(chunks(&mut upstream, piece.len()), piece.as_bytes());
        }
        client.send(b"0\r\n\r\n");
        assert_eq!(upstream.read_chunk(), None);
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let head = client.read_until(b"\r\n\r\n").to_ascii_lowercase();
        assert!(head.starts_with(b"http/1.1 200 "), "{}", head.escape_ascii());
        for piece in ["first", "second one", "third"] {
            upstream.send(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
            assert_eq!(chunks(&mut client, piece.len()), piece.as_bytes());
        }
        upstream.send(b"0\r\n\r\n");
        assert_eq!(client.read_chunk(), None);
    }
}

fn a_connection_is_kept_alive_on_both_sides() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &request("GET", "/1", ""));
    upstream.respond("200 OK", "", b"1");
    assert_eq!(client.read_response().1, b"1");
    for number in 2..10 {
        client.send(&request("GET", &format!("/{number}"), ""));
        assert_eq!(upstream.read_request().line, format!("GET /{number} HTTP/1.1"));
        upstream.respond("200 OK", "", number.to_string().as_bytes());
        assert_eq!(client.read_response().1, number.to_string().as_bytes());
    }
    client.send(&request("GET", "/last", "Connection: close\r\n"));
    upstream.read_request();
    upstream.respond("200 OK", "", b"last");
    assert_eq!(client.read_response().1, b"last");
    client.expect_end();
}

fn a_kept_alive_connection_may_become_a_websocket() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &request("GET", "/", ""));
    upstream.respond("200 OK", "", b"page");
    client.read_response();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    client.send(&request("GET", "/", &format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{key}")));
    let mut upstream = backend.next(upstream);
    let asked = upstream.read_request();
    upstream.switch(&asked, "");
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    client.send(b"any bytes");
    upstream.expect(b"any bytes");
}

fn requests_may_be_pipelined() {
    let (gateway, backend) = start(&[]);
    let body = request("POST", "/2", "Content-Length: 5\r\n");
    let all =
        [request("GET", "/1", ""), body, b"hello".to_vec(), request("GET", "/3", "Connection: close\r\n")];
    let (mut client, mut upstream, first) = ask(&gateway, &backend, &all.concat());
    assert_eq!(first.line, "GET /1 HTTP/1.1");
    upstream.respond("200 OK", "", b"one");
    assert_eq!(upstream.read_request().line, "POST /2 HTTP/1.1");
    upstream.expect(b"hello");
    upstream.respond("200 OK", "", b"two");
    assert_eq!(upstream.read_request().line, "GET /3 HTTP/1.1");
    upstream.respond("200 OK", "", b"three");
    for body in [&b"one"[..], b"two", b"three"] {
        assert_eq!(client.read_response().1, body);
    }
    client.expect_end();
}

fn head_has_the_fields_without_the_body() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, asked) = ask(&gateway, &backend, &request("HEAD", "/big", ""));
    assert_eq!(asked.line, "HEAD /big HTTP/1.1");
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nETag: \"x\"\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n").to_ascii_lowercase();
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.contains("\r\ncontent-length: 123456\r\n") && head.contains("\r\netag: \"x\"\r\n"),
        "{head}"
    );
    // Nothing follows but the next answer.
    client.send(&request("GET", "/", "Connection: close\r\n"));
    upstream.read_request();
    upstream.respond("200 OK", "", b"next");
    assert_eq!(client.read_response().1, b"next");
}

fn answers_without_a_body_pass() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &request("GET", "/", ""));
    for (at, (status, field)) in
        [("204 No Content", "X-Inner: 1"), ("304 Not Modified", "ETag: \"x\"")].into_iter().enumerate()
    {
        if at > 0 {
            client.send(&request("GET", "/", ""));
            upstream.read_request();
        }
        upstream.send(format!("HTTP/1.1 {status}\r\n{field}\r\n\r\n").as_bytes());
        let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap().to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {} ", &status[..3])), "{head}");
        assert!(head.contains(&format!("\r\n{}\r\n", field.to_ascii_lowercase())), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
}

fn a_client_of_http_1_0_is_served() {
    let (gateway, backend) = start(&[]);
    for fields in ["", "Host: example.com\r\n"] {
        let get = format!("GET /old HTTP/1.0\r\n{fields}\r\n");
        let (mut client, mut upstream, asked) = ask(&gateway, &backend, get.as_bytes());
        assert!(asked.line.starts_with("GET /old HTTP/1."), "{asked:#?}");
        // It does not know chunks.
        upstream
            .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        assert!(answer.contains(" 200 ") && answer.ends_with("\r\n\r\nonetwo"), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
    }
}

fn an_answer_may_end_with_the_connection() {
    let (gateway, backend) = start(&[]);
    let (mut client, mut upstream, _) =
        ask(&gateway, &backend, &request("GET", "/", "Connection: close\r\n"));
    upstream.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil ");
    upstream.send(b"the end");
    upstream.finish();
    let head = client.read_until(b"\r\n\r\n").to_ascii_lowercase();
    let rest = client.read_to_end();
    if crate::support::contains(&head, b"\r\ntransfer-encoding: chunked\r\n") {
        assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "{}", rest.escape_ascii());
    } else {
        assert_eq!(rest, b"until the end");
    }
}

fn events_pass_one_by_one() {
    let (gateway, backend) = start(&["--backend-timeout", "1s"]);
    let get = request("GET", "/events", "Accept: text/event-stream\r\n");
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &get);
    upstream
        .send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.read_until(b"\r\n\r\n");
    for number in 0..200 {
        let event = format!("id: {number}\ndata: h\u{e9}llo\n\n");
        upstream.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        assert_eq!(chunks(&mut client, event.len()), event.as_bytes());
    }
}

fn long_polls_wait_side_by_side() {
    let (gateway, backend) = start(&[]);
    let polls: Vec<_> = (0..50)
        .map(|number| ask(&gateway, &backend, &request("GET", &format!("/poll/{number}"), "")))
        .collect();
    // Answered in the opposite order.
    for (number, (mut client, mut upstream, asked)) in polls.into_iter().enumerate().rev() {
        assert_eq!(asked.line, format!("GET /poll/{number} HTTP/1.1"));
        upstream.respond("200 OK", "Connection: close\r\n", number.to_string().as_bytes());
        assert_eq!(client.read_response().1, number.to_string().as_bytes());
    }
}

fn a_client_may_wait_for_100_continue() {
    let (gateway, backend) = start(&[]);
    let head = request("POST", "/", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &head);
    upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"hello");
    upstream.expect(b"hello");
    upstream.respond("200 OK", "", b"thanks");
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 200 ") && body == b"thanks", "{head}");
}

fn a_refused_expectation_passes() {
    let (gateway, backend) = start(&[]);
    let head = request("POST", "/", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &head);
    upstream.respond("413 Content Too Large", "Connection: close\r\n", b"no");
    let mut head = client.read_until(b"\r\n\r\n");
    if head.starts_with(b"HTTP/1.1 100 ") {
        // The gateway may ask for the body before the backend has decided.
        head = client.read_until(b"\r\n\r\n");
    }
    assert!(head.starts_with(b"HTTP/1.1 413 "), "{}", head.escape_ascii());
    client.expect(b"no");
}

fn hop_by_hop_fields_do_not_pass() {
    let (gateway, backend) = start(&[]);
    let fields = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 300\r\nProxy-Connection: keep-alive\r\n\
                  X-Kept: 1\r\n";
    let (mut client, mut upstream, asked) = ask(&gateway, &backend, &request("GET", "/", fields));
    for name in ["X-Hop", "Keep-Alive", "Proxy-Connection"] {
        asked.lacks(name);
    }
    asked.expect("X-Kept", "1");
    upstream.respond(
        "200 OK",
        "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\n",
        b"",
    );
    let head = client.read_response().0.to_ascii_lowercase();
    assert!(!head.contains("\r\nx-hop:") && !head.contains("\r\nkeep-alive:"), "{head}");
    assert!(head.contains("\r\nx-kept: 1\r\n"), "{head}");
}

fn fields_pass_in_order_and_repeated() {
    let (gateway, backend) = start(&[]);
    let fields = "Cookie: a=1\r\nX-Many: 1\r\nX-Many: 2\r\nX-Latin: h\u{e9}\r\nX-Empty:\r\n";
    let (mut client, mut upstream, asked) = ask(&gateway, &backend, &request("GET", "/", fields));
    asked.expect("Cookie", "a=1");
    asked.expect("X-Many", "1, 2");
    asked.expect("X-Empty", "");
    // The two bytes of UTF-8, as they came.
    asked.expect("X-Latin", "h\u{c3}\u{a9}");
    upstream.respond("200 OK", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", b"");
    let head = client.read_response().0.to_ascii_lowercase();
    let cookies: Vec<_> = head.lines().filter(|line| line.starts_with("set-cookie: ")).collect();
    assert_eq!(cookies, ["set-cookie: a=1", "set-cookie: b=2"], "{head}");
}

fn forwarded_fields_are_set_on_plain_requests() {
    let claim = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let (gateway, backend) = start(&[]);
    let (_client, _upstream, asked) = ask(&gateway, &backend, &request("GET", "/", claim));
    asked.expect("X-Forwarded-For", "127.0.0.1");
    asked.expect("X-Forwarded-Proto", "http");
    let (gateway, backend) = start(&["--trust-forwarded"]);
    let (_client, _upstream, asked) = ask(&gateway, &backend, &request("GET", "/", claim));
    asked.expect("X-Forwarded-For", "192.0.2.7, 127.0.0.1");
    // As the engine refuses an opening handshake with it.
    let mut client = gateway.connect();
    client.send(&request("GET", "/", "X-Forwarded-Port: x\r\n"));
    assert!(client.read_response().0.starts_with("HTTP/1.1 400 "));
}

fn a_request_may_come_in_any_two_pieces() {
    let (gateway, backend) = start(&[]);
    let post = [&request("POST", "/x", "Content-Length: 5\r\nConnection: close\r\n")[..], b"hello"].concat();
    for at in 1..post.len() {
        let mut client = gateway.connect();
        client.send(&post[..at]);
        client.wait_until_read();
        client.send(&post[at..]);
        let (mut upstream, asked) = backend.accept_request();
        assert_eq!(asked.line, "POST /x HTTP/1.1");
        upstream.expect(b"hello");
        upstream.respond("200 OK", "Connection: close\r\n", b"hi");
        assert_eq!(client.read_response().1, b"hi", "split at {at}");
    }
    // Byte by byte.
    let mut client = gateway.connect();
    for byte in &post {
        client.send(&[*byte]);
        client.wait_until_read();
    }
    let (mut upstream, _) = backend.accept_request();
    upstream.expect(b"hello");
}

fn an_answer_may_come_before_the_body_is_over() {
    let (gateway, backend) = start(&[]);
    let head = request("POST", "/", "Content-Length: 1000000\r\n");
    let (mut client, mut upstream, _) = ask(&gateway, &backend, &head);
    client.send(b"only the beginning");
    upstream.expect(b"only the beginning");
    upstream.respond("403 Forbidden", "Connection: close\r\n", b"enough");
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 403 ") && body == b"enough", "{head}");
}

fn a_malformed_head_is_refused() {
    let (gateway, backend) = start(&[]);
    for head in [&b"nonsense\r\n\r\n"[..], b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"] {
        let mut client = gateway.connect();
        client.send(head);
        let answer = client.read_until_gone();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
    }
    assert!(!backend.is_waited_for());
}

/// What is read in two ways lets one request hide in another.
fn two_lengths_do_not_reach_the_backend() {
    let (gateway, backend) = start(&[]);
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Content-Length: +5\r\n",
        "Content-Length : 5\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(&[&request("POST", "/", fields)[..], b"0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"].concat());
        if is_passed_on(&client, &backend) {
            let (_, asked) = backend.accept_request();
            // Of the two, chunks count (RFC 9112 section 6.3), and the length must be gone.
            assert!(
                asked.find("Content-Length").is_none() || asked.find("Transfer-Encoding").is_none(),
                "{fields}: {asked:#?}"
            );
        } else {
            let answer = client.read_until(b"\r\n");
            assert!(answer.starts_with(b"HTTP/1.1 4"), "{fields}: {}", answer.escape_ascii());
        }
    }
}

/// Whether a request reaches the backend; otherwise the gateway answers it.
#[track_caller]
fn is_passed_on(client: &Client, backend: &Backend) -> bool {
    let end = Instant::now() + DEADLINE;
    while !client.is_readable() {
        if backend.is_waited_for() {
            return true;
        }
        assert!(Instant::now() < end, "nobody answers");
        thread::yield_now();
    }
    false
}

fn a_health_check_is_answered_by_the_gateway() {
    let (gateway, backend) = start(&["--health-path", "/healthz"]);
    let mut client = gateway.connect();
    client.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"ok\n"), "{}", answer.escape_ascii());
    assert!(!backend.is_waited_for());
    for protocol in PROTOCOLS {
        let pair = crate::pair::Pair::open(protocol, &gateway, &backend);
        pair.close();
    }
}
