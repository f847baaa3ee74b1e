//! Which backend a request goes to.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio_rustls::rustls::StreamOwned;

use crate::backend::{Backend, Request, switching};
use crate::pair::{PROTOCOLS, Pair, Protocol, gateway, gateway_with, start};
use crate::support::admin::{Admin, until};
use crate::support::client::Client;
use crate::support::hybi::head_hybi;
use crate::support::server::{Server, run};
use crate::support::tls::Certificate;
use crate::support::{DEADLINE, frame, head75};

tests!(
    backends_take_turns,
    a_dead_backend_is_passed_over,
    a_plain_client_is_told_that_the_backend_cannot_be_reached,
    a_backend_that_comes_back_is_used_again,
    a_backend_that_is_not_there_is_502,
    a_backend_that_does_not_answer_is_504,
    the_longest_prefix_wins,
    a_prefix_may_be_stripped,
    a_path_without_a_route_is_404,
    a_route_has_its_own_fields_and_binary,
    a_request_for_another_host_goes_to_the_backend_all_the_same,
    a_unix_socket_may_be_the_backend,
    a_full_backlog_is_waited_for,
    a_backend_may_speak_tls,
    a_tls_backend_is_told_of_the_end,
    a_backend_that_nobody_vouches_for_is_502,
    metrics_tell_of_backends_and_pairs,
    the_status_page_tells_of_backends,
    wrong_targets_are_told,
);

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A configuration file with these lines.
fn configured(name: &str, content: &str) -> Server {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{name}.toml"));
    std::fs::write(&path, content).unwrap();
    gateway_with(&["--config", path.to_str().unwrap()])
}

fn backends_take_turns() {
    let backends = [Backend::start(), Backend::start()];
    let [one, other] = [&backends[0], &backends[1]].map(Backend::url);
    let gateway = gateway_with(&["--to", &one, "--to", &other]);
    // Which is the first is left open.
    let mut first = gateway.connect();
    first.send(&Protocol::Draft75.request(""));
    let starts = usize::from(becomes_busy(&backends) == 1);
    let mut pairs = vec![backends[starts].accept_websocket("").0];
    for turn in 1..6 {
        let backend = &backends[(starts + turn) % 2];
        pairs.push(Pair::open(Protocol::Draft76, &gateway, backend).upstream);
    }
}

/// The number of the backend at which somebody is waiting first.
#[track_caller]
fn becomes_busy(backends: &[Backend; 2]) -> usize {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(at) = backends.iter().position(Backend::is_waited_for) {
            return at;
        }
        assert!(Instant::now() < end, "nobody connects");
        std::thread::yield_now();
    }
}

fn a_dead_backend_is_passed_over() {
    let (dead, backend) = (format!("http://{}", Backend::dead()), Backend::start());
    let gateway =
        gateway_with(&["--to", &dead, "--to", &backend.url(), "--retry-after", "1h", "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        pair.talk("there is another");
    }
    let name = |metric: &str, url: &str| format!("legacy_websocket_backend_{metric}{{backend=\"{url}\"}}");
    let metrics = until(&admin, |metrics| metrics.get(&name("up", &dead)) == Some(&0.0));
    assert_eq!(metrics[&name("up", &backend.url())], 1.0, "{metrics:#?}");
    let failures: f64 = metrics
        .iter()
        .filter(|(name, _)| {
            name.starts_with("legacy_websocket_backend_failures_total{") && name.contains(&dead)
        })
        .map(|(_, value)| value)
        .sum();
    // After the first failure nobody tries again for an hour.
    assert_eq!(failures, 1.0, "{metrics:#?}");
    gateway.wait_for_log(&[&dead]);
}

fn a_plain_client_is_told_that_the_backend_cannot_be_reached() {
    let dead = format!("http://{}", Backend::dead());
    let gateway = gateway_with(&["--to", &dead, "--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let mut client = Client::connect(gateway.address());
    client.send(&get("/"));
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.1 502 "), "{}", answer.escape_ascii());
    assert!(answer.ends_with(b"the backend cannot be reached\n"), "{}", answer.escape_ascii());
    let failures: Vec<_> =
        admin.metrics().into_keys().filter(|name| name.contains("backend_failures_total{")).collect();
    assert!(failures.len() == 1 && failures[0].contains("reason=\"connect\""), "{failures:?}");
    gateway.wait_for_log(&["cannot connect", &dead]);
}

fn a_backend_that_comes_back_is_used_again() {
    let dead = Backend::dead();
    let backend = Backend::start();
    let to = format!("http://{dead}");
    let gateway = gateway_with(&["--to", &to, "--to", &backend.url(), "--retry-after", "100ms"]);
    // The first of these connects to both.
    for _ in 0..2 {
        Pair::open(Protocol::Draft75, &gateway, &backend).close();
    }
    let back = Backend::start_on(dead);
    let end = Instant::now() + DEADLINE;
    let mut clients = Vec::new();
    while !back.is_waited_for() {
        assert!(Instant::now() < end, "nobody connects to the one that is back");
        let mut client = gateway.connect();
        client.send(&head75(""));
        // One of them accepts it.
        let both = [&back, &backend];
        let busy = loop {
            if let Some(busy) = both.iter().find(|backend| backend.is_waited_for()) {
                break busy;
            }
            assert!(Instant::now() < end, "nobody connects");
            std::thread::yield_now();
        };
        if std::ptr::eq(*busy, &raw const back) {
            break;
        }
        clients.push((busy.accept_websocket("").0, client));
    }
}

fn a_backend_that_is_not_there_is_502() {
    let gateway = gateway(&format!("http://{}", Backend::dead()), &[]);
    for protocol in PROTOCOLS {
        gateway.connect().refused(&protocol.request(""), "502");
    }
    let mut client = gateway.connect();
    client.send(&get("/"));
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 502 "));
}

fn a_backend_that_does_not_answer_is_504() {
    let (gateway, backend) = start(&["--backend-timeout", "300ms"]);
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        let (mut upstream, _) = backend.accept_request();
        let answer = client.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 504 "), "{}", answer.escape_ascii());
        upstream.read_until_gone();
    }
    let mut client = gateway.connect();
    client.send(&get("/"));
    let (_upstream, _) = backend.accept_request();
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.1 504 "), "{}", answer.escape_ascii());
}

/// Sends a request and returns the line with which it reaches this backend, first over plain HTTP, then over WebSocket.
#[track_caller]
fn arrives(gateway: &Server, backend: &Backend, path: &str) -> String {
    let mut client = gateway.connect();
    client.send(&get(path));
    let (mut upstream, plain) = backend.accept_request();
    upstream.respond("200 OK", "Connection: close\r\n", b"here");
    assert!(client.read_to_end().ends_with(b"\r\n\r\nhere"));
    let mut client = gateway.connect();
    let head = String::from_utf8(head75("")).unwrap().replace("GET /demo ", &format!("GET {path} "));
    client.send(head.as_bytes());
    let (_upstream, websocket) = backend.accept_websocket("");
    assert!(client.read_until(b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    assert_eq!(plain.line, websocket.line);
    plain.line
}

fn the_longest_prefix_wins() {
    let [root, socket, inner] = [(); 3].map(|()| Backend::start());
    let route = |path: &str, to: &Backend| format!("[[route]]\npath = \"{path}\"\nto = [\"{}\"]\n", to.url());
    let gateway = configured(
        "prefixes",
        &[route("/socket", &socket), route("/", &root), route("/socket/inner", &inner)].concat(),
    );
    for (path, backend) in [
        ("/", &root),
        ("/sock", &root),
        // Not a whole segment.
        ("/sockets", &root),
        ("/socket", &socket),
        ("/socket/", &socket),
        ("/socket?x=1", &socket),
        ("/socket/inne", &socket),
        ("/socket/inner", &inner),
        ("/socket/inner/x?y=/", &inner),
    ] {
        assert_eq!(arrives(&gateway, backend, path), format!("GET {path} HTTP/1.1"));
    }
}

fn a_prefix_may_be_stripped() {
    let backend = Backend::start();
    let gateway = configured(
        "strip",
        &format!("[[route]]\npath = \"/socket\"\nto = [\"{}\"]\nstrip = true\n", backend.url()),
    );
    for (path, stripped) in
        [("/socket", "/"), ("/socket/", "/"), ("/socket?x=1", "/?x=1"), ("/socket/a/b?x=1", "/a/b?x=1")]
    {
        assert_eq!(arrives(&gateway, &backend, path), format!("GET {stripped} HTTP/1.1"));
    }
}

fn a_path_without_a_route_is_404() {
    let backend = Backend::start();
    let gateway =
        configured("no-route", &format!("[[route]]\npath = \"/socket\"\nto = [\"{}\"]\n", backend.url()));
    for protocol in PROTOCOLS {
        gateway.connect().refused(&protocol.request(""), "404");
    }
    let mut client = gateway.connect();
    client.send(&get("/elsewhere"));
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 404 "));
    assert!(!backend.is_waited_for());
}

fn a_route_has_its_own_fields_and_binary() {
    let backend = Backend::start();
    let gateway = configured(
        "route-options",
        &format!(
            "[[route]]\npath = \"/demo\"\nto = [\"{}\"]\nbinary = \"base64\"\nbackend-host = \"inner.example\"\n\
             backend-origin = \"http://inner.example\"\n",
            backend.url()
        ),
    );
    let mut pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    pair.request.expect("Host", "inner.example");
    pair.request.expect("Origin", "http://inner.example");
    pair.upstream.send_frame(0x82, b"hi\0");
    pair.client.expect(&frame("aGkA"));
}

/// Targets come from the operator alone.
fn a_request_for_another_host_goes_to_the_backend_all_the_same() {
    let (gateway, backend) = start(&[]);
    let elsewhere = Backend::start();
    let mut client = gateway.connect();
    let authority = elsewhere.address();
    client.send(format!("GET http://{authority}/x HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    let (mut upstream, request) = backend.accept_request();
    upstream.respond("204 No Content", "", b"");
    assert!(request.line.ends_with("/x HTTP/1.1"), "{request:#?}");
    let mut client = gateway.connect();
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    let answer = client.read_until(b"\r\n");
    assert!(
        answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"),
        "{}",
        answer.escape_ascii()
    );
    assert!(!elsewhere.is_waited_for());
}

/// The test page and an echo through a gateway, of our own server as the backend.
#[track_caller]
fn serves(gateway: &Server) {
    let mut client = gateway.connect();
    client.send(&get("/"));
    let page = client.read_to_end();
    assert!(page.starts_with(b"HTTP/1.1 200 ") && page.ends_with(b"</html>\n"), "{}", page.escape_ascii());
    for protocol in PROTOCOLS {
        let mut client: Client = gateway.connect();
        client.send(&protocol.request(""));
        protocol.read_answer(&mut client);
        client.send(&protocol.text("h\u{e9}llo \u{1f600}"));
        protocol.expect_text(&mut client, "h\u{e9}llo \u{1f600}");
    }
}

fn a_unix_socket_may_be_the_backend() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-backend.sock");
    // Left over from an earlier run.
    let _ = std::fs::remove_file(&path);
    let url = format!("unix:{}", path.display());
    let _backend = Server::start_announcing(1, &["--listen", &url]);
    serves(&gateway(&url, &[]));
}

/// As over TCP, where the system waits.
fn a_full_backlog_is_waited_for() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-backlog.sock");
    let _ = std::fs::remove_file(&path);
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    listener.set_read_timeout(Some(DEADLINE)).unwrap();
    let gateway = gateway(&format!("unix:{}", path.display()), &["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    for request in PROTOCOLS.map(|protocol| protocol.request("")).into_iter().chain([get("/demo")]) {
        let fill = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&SockAddr::unix(&path).unwrap()).is_ok().then_some(socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(fill).collect();
        let mut client = gateway.connect();
        client.send(&request);
        client.wait_until_read();
        waiting.iter().for_each(|_| drop(listener.accept().unwrap()));
        let (mut upstream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            upstream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        upstream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert!(client.read_until(b"\r\n").starts_with(b"HTTP/1.1 403 "));
    }
    let metrics = admin.metrics();
    assert!(!metrics.keys().any(|name| name.contains("backend_failures_total{")), "{metrics:#?}");
}

fn a_backend_may_speak_tls() {
    let certificate = Certificate::new("gateway-backend");
    let backend = Server::start_announcing(1, &certificate.options());
    let authority = certificate.certificate.to_str().unwrap();
    serves(&gateway(&format!("https://{}", backend.address()), &["--backend-ca", authority]));
}

/// By the alert of TLS, which says that nothing was cut off, even if the client is gone without a word.
fn a_tls_backend_is_told_of_the_end() {
    let certificate = Certificate::new("gateway-end");
    let backend = Backend::start();
    let to = format!("https://{}", backend.address());
    let gateway = gateway(&to, &["--backend-ca", certificate.certificate.to_str().unwrap()]);
    for request in PROTOCOLS.map(|protocol| protocol.request("")).into_iter().chain([head_hybi(13, "")]) {
        let mut client = gateway.connect();
        client.send(&request);
        let tls = certificate.server();
        let mut stream = StreamOwned::new(tls, backend.accept().into_stream());
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(switching(&Request::parse(&head), "").as_bytes()).unwrap();
        client.read_until(b"\r\n\r\n");
        client.reset();
        stream.read_to_end(&mut head).expect("an end that is meant");
    }
}

fn a_backend_that_nobody_vouches_for_is_502() {
    let [backend, other] = ["gateway-unknown", "gateway-other"].map(Certificate::new);
    let server = Server::start_announcing(1, &backend.options());
    let to = format!("https://{}", server.address());
    let authority = other.certificate.to_str().unwrap();
    for options in [&[][..], &["--backend-ca", authority]] {
        let gateway = gateway(&to, options);
        for protocol in PROTOCOLS {
            gateway.connect().refused(&protocol.request(""), "502");
        }
    }
}

fn metrics_tell_of_backends_and_pairs() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let pairs = PROTOCOLS.map(|protocol| Pair::open(protocol, &gateway, &backend));
    let name = |metric: &str| format!("legacy_websocket_backend_{metric}{{backend=\"{}\"}}", backend.url());
    let metrics = until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == 4.0);
    assert_eq!(metrics[&name("up")], 1.0, "{metrics:#?}");
    assert_eq!(metrics[&name("connections")], 4.0, "{metrics:#?}");
    assert_eq!(metrics[&name("connects_total")], 4.0, "{metrics:#?}");
    pairs.into_iter().for_each(Pair::close);
    until(&admin, |metrics| {
        metrics["legacy_websocket_gateway_pairs"] == 0.0 && metrics[&name("connections")] == 0.0
    });
    let mut client = gateway.connect();
    client.send(&get("/"));
    let (mut upstream, _) = backend.accept_request();
    upstream.respond("200 OK", "Connection: close\r\n", b"");
    client.read_to_end();
    until(&admin, |metrics| {
        metrics.iter().any(|(name, value)| {
            name.starts_with("legacy_websocket_gateway_requests_total{")
                && name.contains("\"2")
                && *value == 1.0
        })
    });
}

fn the_status_page_tells_of_backends() {
    let (gateway, backend) = start(&["--metrics", "0"]);
    let admin = Admin::of(&gateway);
    let _pair = Pair::open(Protocol::Draft76, &gateway, &backend);
    until(&admin, |metrics| metrics["legacy_websocket_gateway_pairs"] == 1.0);
    let pages = [admin.get("/"), admin.get("/status.json")];
    assert!(pages.iter().any(|page| page.contains(&backend.url())), "{pages:#?}");
}

fn wrong_targets_are_told() {
    for to in ["", "example.com", "ftp://example.com", "http://", "unix:", "http://example.com:99999"] {
        let output = run(&["gateway", "--listen", "127.0.0.1:0", "--to", to]);
        assert!(!output.status.success(), "{to:?}");
        assert!(!output.stderr.is_empty(), "{to:?}");
    }
    let output = run(&["gateway", "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
}
