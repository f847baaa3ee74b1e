//! Requests and responses.

use socket2::{Domain, Socket, Type};

use crate::support::client::Client;
use crate::support::contains;
use crate::support::server::Server;
use crate::{get, request, serve};

tests!(
    a_get_is_answered,
    what_is_not_there_is_answered_by_the_site,
    a_body_comes_back_as_it_comes,
    a_long_response_is_streamed,
    events_come_one_by_one,
    head_has_no_body,
    a_connection_is_kept_alive,
    requests_may_be_pipelined,
    a_client_of_http_1_0_is_served,
    a_client_may_wait_for_100_continue,
    a_slow_client_gets_the_end_of_a_last_response,
    a_long_head_is_refused,
    a_head_may_come_in_pieces_before_the_response,
    a_client_that_leaves_ends_its_response,
    an_instance_goes_on_after_its_response,
);

/// More than the memory that an instance has, and than the kernel holds.
const LONG_BYTES: usize = 40 << 20;

/// More than the kernel holds.
pub(crate) const SLOW_BYTES: usize = 10_000_000;

#[track_caller]
pub(crate) fn text(client: &mut Client) -> (String, String) {
    let (head, body) = client.read_response();
    (head, String::from_utf8(body).unwrap())
}

fn a_get_is_answered(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&request("GET", "/?a=b", "X-Mine: c\r\nCookie: d=e\r\n"));
    let (head, body) = text(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("\r\ndate: "), "{head}");
    assert!(body.to_lowercase().starts_with("method::get some(scheme::http) example.com\n"), "{body}");
    for field in ["x-mine: c\n", "cookie: d=e\n", "x-forwarded-for: 127.0.0.1\n", "x-forwarded-proto: http\n"]
    {
        assert!(body.contains(field), "{body}");
    }
    // Its own, as the site's authority.
    assert!(!body.contains("\nhost: "), "{body}");
}

fn what_is_not_there_is_answered_by_the_site(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&get("/nowhere"));
    let (head, body) = text(&mut client);
    assert!(head.starts_with("HTTP/1.1 404 ") && body == "not here", "{head}{body}");
}

fn a_body_comes_back_as_it_comes(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&request("POST", "/echo", "Content-Length: 5\r\n"));
    client.send(b"hello");
    assert_eq!(text(&mut client).1, "hello");
    client.send(&request("POST", "/echo", "Transfer-Encoding: chunked\r\n"));
    client.send(b"3\r\none\r\n");
    client.read_until(b"\r\n\r\n");
    assert_eq!(client.read_chunk().unwrap(), b"one");
    client.send(b"3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.read_chunk().unwrap(), b"two");
    assert_eq!(client.read_chunk(), None);
}

fn a_long_response_is_streamed(site: &str) {
    let server = serve(site, &["--max-memory-bytes", "16777216"]);
    let mut client = server.connect();
    client.send(&get(&format!("/bytes/{LONG_BYTES}")));
    let (head, body) = client.read_response();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.iter().enumerate().all(|(place, byte)| *byte == (place % 251) as u8));
    assert_eq!(body.len(), LONG_BYTES);
}

fn events_come_one_by_one(site: &str) {
    let server = serve(site, &["--http-timeout", "300ms"]);
    let mut client = server.connect();
    client.send(&get("/events"));
    let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
    assert!(head.to_lowercase().contains("\r\ncontent-type: text/event-stream\r\n"), "{head}");
    // For longer than a response may take to begin.
    let mut other = server.connect();
    for number in 0..500 {
        client.read_until(format!("data: {number}\n\n").as_bytes());
        if number % 100 == 0 {
            other.send(&get("/count"));
            other.read_response();
        }
    }
}

fn head_has_no_body(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&request("HEAD", "/bytes/100", ""));
    let head = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
    assert!(head.to_lowercase().contains("\r\ncontent-length: 100\r\n"), "{head}");
    client.send(&request("HEAD", "/events", ""));
    client.read_until(b"\r\n\r\n");
    client.send(&get("/bytes/1"));
    assert_eq!(client.read_response().1, [0]);
}

fn a_connection_is_kept_alive(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    for number in 0..200 {
        client.send(&get(&format!("/bytes/{number}")));
        assert_eq!(client.read_response().1.len(), number);
    }
    client.send(&request("GET", "/", "Connection: close\r\n"));
    let (head, _) = text(&mut client);
    assert!(head.to_lowercase().contains("\r\nconnection: close\r\n"), "{head}");
    client.expect_end();
}

fn requests_may_be_pipelined(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&[get("/bytes/3"), get("/nowhere"), get("/bytes/2")].concat());
    assert_eq!(client.read_response().1, [0, 1, 2]);
    assert!(text(&mut client).0.starts_with("HTTP/1.1 404 "));
    assert_eq!(client.read_response().1, [0, 1]);
}

fn a_client_of_http_1_0_is_served(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(b"GET /bytes/3 HTTP/1.0\r\n\r\n");
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.0 200 ") && answer.ends_with(b"\r\n\r\n\0\x01\x02"));
}

fn a_client_may_wait_for_100_continue(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&request("POST", "/echo", "Content-Length: 2\r\nExpect: 100-continue\r\n"));
    let head = client.read_until(b"\r\n\r\n");
    // That for WASI 0.3 begins its response before it reads the body.
    if head.starts_with(b"HTTP/1.1 200 ") {
        return;
    }
    assert_eq!(head, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"ok");
    assert_eq!(text(&mut client).1, "ok");
}

/// The server is faster, and has more to send than the kernel takes.
fn a_slow_client_gets_the_end_of_a_last_response(site: &str) {
    let server = serve(site, &[]);
    let path = format!("/bytes/{SLOW_BYTES}");
    let mut client = slow(&server);
    client.send(&request("GET", &path, "Connection: close\r\n"));
    assert_eq!(client.read_response().1.len(), SLOW_BYTES);
    client.expect_end();
    let mut client = slow(&server);
    client.send(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    client.read_until(b"\r\n\r\n");
    assert_eq!(client.read_to_end().len(), SLOW_BYTES);
}

/// A client that has little space for what it has not read.
pub(crate) fn slow(server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address().into()).unwrap();
    Client::with(socket.into())
}

fn a_long_head_is_refused(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&get("/bytes/1"));
    client.read_response();
    let of_length = |length: usize| {
        let rest = length - request("GET", "/bytes/2", "A: \r\n").len();
        request("GET", "/bytes/2", &format!("A: {}\r\n", "a".repeat(rest)))
    };
    client.send(&of_length(16_384));
    assert_eq!(client.read_response().1, [0, 1]);
    client.send(&of_length(16_385));
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", answer.escape_ascii());
}

fn a_head_may_come_in_pieces_before_the_response(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    for _ in 0..3 {
        client
            .send(&[get("/bytes/1").as_slice(), b"GET /bytes/2 HTTP/1.1\r\nHost: example.com\r\n"].concat());
        assert_eq!(client.read_response().1, [0]);
        client.send(b"\r\n");
        assert_eq!(client.read_response().1, [0, 1]);
        // Its body is in the same segment, and so is a request.
        let posts = [
            request("POST", "/echo", "Transfer-Encoding: chunked\r\n"),
            b"2\r\nok\r\n0\r\n\r\n".to_vec(),
            request("POST", "/echo", "Content-Length: 3\r\n"),
            b"yesGET /bytes/3 HTTP/1.1\r".to_vec(),
        ];
        client.send(&posts.concat());
        assert_eq!(text(&mut client).1, "ok");
        assert_eq!(text(&mut client).1, "yes");
        client.send(b"\nHost: example.com\r\n\r\n");
        assert_eq!(client.read_response().1, [0, 1, 2]);
    }
}

fn a_client_that_leaves_ends_its_response(site: &str) {
    let server = serve(site, &["--metrics", "0"]);
    let admin = crate::support::admin::Admin::of(&server);
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&get("/events"));
        client.read_until(b"data: 1\n\n");
    }
    assert_eq!(admin.metrics()["legacy_websocket_site_requests"], 10.0);
    drop(clients);
    crate::support::admin::until(&admin, |metrics| {
        metrics["legacy_websocket_site_requests"] == 0.0
            && metrics["legacy_websocket_site_memory_bytes"] == 0.0
    });
    let log = server.log();
    assert!(!contains(log.as_bytes(), b"WARN") && !contains(log.as_bytes(), b"ERROR"), "{log}");
}

fn an_instance_goes_on_after_its_response(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&get("/after/late"));
    assert_eq!(text(&mut client).1, "before");
    server.wait_for_log(&["site: late"]);
}
