//! What the backend is asked for an old client's opening handshake, and how its answer reaches the client.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::backend::{Backend, Request};
use crate::pair::{PROTOCOLS, Pair, Protocol, gateway, plain_answer, start};
use crate::support::hybi::head_hybi;
use crate::support::{contains, head75, head76};

tests!(
    the_backend_is_asked_as_rfc_6455_says,
    each_key_is_new,
    the_clients_fields_reach_the_backend,
    hop_by_hop_fields_and_the_drafts_own_do_not,
    the_resource_name_is_the_clients,
    forwarded_fields_are_set,
    forwarded_fields_of_a_trusted_peer_are_kept,
    the_host_of_an_absolute_target_counts,
    host_and_origin_may_be_set,
    the_client_is_answered_as_its_protocol_says,
    the_backends_fields_reach_the_client,
    a_subprotocol_is_offered_as_it_came,
    the_whole_line_is_the_answer_to_a_hixie_client,
    a_backend_that_chooses_none_is_forgiven,
    a_hybi_client_is_told_the_backends_choice,
    a_refusal_reaches_the_client,
    a_redirect_reaches_the_client,
    a_refusal_may_be_chunked,
    a_refusal_may_end_with_the_connection,
    the_client_is_not_answered_before_the_backend_is,
);

/// A request of draft 76 that has been sent on.
#[track_caller]
fn ask(options: &[&str], fields: &str) -> Request {
    let (gateway, backend) = start(options);
    Pair::open_with(Protocol::Draft76, &gateway, &backend, fields, "").request
}

fn the_backend_is_asked_as_rfc_6455_says() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let mut pair = Pair::open(protocol, &gateway, &backend);
        let request = &pair.request;
        assert_eq!(request.line, "GET /demo HTTP/1.1");
        request.expect("Host", "example.com");
        request.expect("Origin", "http://example.com");
        request.expect("Sec-WebSocket-Version", "13");
        assert!(request.field("Upgrade").eq_ignore_ascii_case("websocket"), "{request:#?}");
        assert!(request.field("Connection").eq_ignore_ascii_case("upgrade"), "{request:#?}");
        let key = BASE64_STANDARD.decode(request.field("Sec-WebSocket-Key")).expect("base64");
        assert_eq!(key.len(), 16);
        request.lacks("Sec-WebSocket-Extensions");
        request.lacks("Sec-WebSocket-Protocol");
        pair.talk("h\u{e9} \u{20ac} \u{1f600}");
    }
}

fn each_key_is_new() {
    let (gateway, backend) = start(&[]);
    let pairs = [7, 8, 7].map(|version| Pair::open(Protocol::Hybi(version), &gateway, &backend));
    let keys = pairs.map(|pair| pair.request.field("Sec-WebSocket-Key"));
    // The client's own key is that of the RFC's example.
    assert!(!keys.iter().any(|key| key == "dGhlIHNhbXBsZSBub25jZQ=="), "{keys:?}");
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
}

fn the_clients_fields_reach_the_backend() {
    let (gateway, backend) = start(&[]);
    let fields = [
        ("Cookie", "a=1; b=\"2\""),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("User-Agent", "Old/1.0 (TV; 2011)"),
        ("Accept-Language", "de, en;q=0.5"),
        ("X-Requested-With", "something else"),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    for protocol in PROTOCOLS {
        let pair = Pair::open_with(protocol, &gateway, &backend, &lines, "");
        for (name, value) in fields {
            pair.request.expect(name, value);
        }
    }
}

fn hop_by_hop_fields_and_the_drafts_own_do_not() {
    let (gateway, backend) = start(&[]);
    let fields = "Keep-Alive: 115\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Hop: 1\r\n\
                  Proxy-Authorization: Basic dXNlcjpwYXNz\r\n";
    let head = String::from_utf8(Protocol::Draft76.request(fields)).unwrap();
    let mut client = gateway.connect();
    client.send(head.replace("Connection: Upgrade", "Connection: Upgrade, X-Hop").as_bytes());
    let (_upstream, request) = backend.accept_websocket("");
    for name in ["Keep-Alive", "Proxy-Connection", "TE", "X-Hop", "Proxy-Authorization", "Trailer"] {
        request.lacks(name);
    }
    for name in ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2", "Sec-WebSocket-Draft", "Sec-WebSocket-Location"]
    {
        request.lacks(name);
    }
    let hybi =
        Pair::open_with(Protocol::Hybi(8), &gateway, &backend, "Sec-WebSocket-Extensions: x-kept\r\n", "");
    hybi.request.lacks("Sec-WebSocket-Origin");
    hybi.request.lacks("Sec-WebSocket-Extensions");
}

fn the_resource_name_is_the_clients() {
    let (gateway, backend) = start(&[]);
    for (path, sent) in [
        ("/", "/"),
        ("/?", "/?"),
        ("/a//b/.../c?x=1&y=%20/../?&z=http://[::1]/", "/a//b/.../c?x=1&y=%20/../?&z=http://[::1]/"),
        ("/%E2%82%AC", "/%E2%82%AC"),
        // Not every server takes bytes that are not ASCII.
        ("/h\u{e9}/\u{20ac}", "/h%C3%A9/%E2%82%AC"),
    ] {
        let mut client = gateway.connect();
        let head = String::from_utf8(head75("")).unwrap();
        client.send(head.replace("GET /demo ", &format!("GET {path} ")).as_bytes());
        let (_upstream, request) = backend.accept_websocket("");
        assert_eq!(request.line, format!("GET {sent} HTTP/1.1"));
        let answer = String::from_utf8(client.read_until(b"\r\n\r\n")).unwrap();
        let location = format!("\r\nWebSocket-Location: ws://example.com{path}\r\n");
        assert!(answer.contains(&location), "{answer}");
    }
}

/// What a client might claim, and a proxy says.
const FORWARDED: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n\
                         X-Forwarded-Port: 8443\r\n";

fn forwarded_fields_are_set() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        for claim in ["", FORWARDED] {
            let pair = Pair::open_with(protocol, &gateway, &backend, claim, "");
            pair.request.expect("X-Forwarded-For", "127.0.0.1");
            pair.request.expect("X-Forwarded-Proto", "http");
            pair.request.expect("X-Forwarded-Host", "example.com");
            // That of Host.
            pair.request.expect("X-Forwarded-Port", "80");
        }
    }
}

fn forwarded_fields_of_a_trusted_peer_are_kept() {
    let request = ask(&["--trust-forwarded"], FORWARDED);
    request.expect("X-Forwarded-For", "192.0.2.7, 127.0.0.1");
    for (name, value) in
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example"), ("X-Forwarded-Port", "8443")]
    {
        let first = request.field(name);
        assert_eq!(first.split(", ").next(), Some(value), "{name} in {request:#?}");
    }
    ask(&["--trust-forwarded"], "").expect("X-Forwarded-For", "127.0.0.1");
}

fn host_and_origin_may_be_set() {
    let options = ["--backend-host", "inner.example:8080", "--backend-origin", "https://inner.example"];
    let request = ask(&options, "");
    request.expect("Host", "inner.example:8080");
    request.expect("Origin", "https://inner.example");
    request.expect("X-Forwarded-Host", "example.com");
}

fn the_host_of_an_absolute_target_counts() {
    let (gateway, backend) = start(&["--host", "good.example"]);
    let mut client = gateway.connect();
    let head = String::from_utf8(head_hybi(8, "")).unwrap();
    let head = head
        .replace(" /demo ", " http://good.example/demo ")
        .replace("example.com\r\nU", "evil.example\r\nU");
    client.send(head.as_bytes());
    let (_, request) = backend.accept_request();
    request.expect("Host", "good.example");
    request.expect("X-Forwarded-Host", "good.example");
}

fn the_client_is_answered_as_its_protocol_says() {
    let (gateway, backend) = start(&[]);
    for protocol in PROTOCOLS {
        let pair = Pair::open(protocol, &gateway, &backend);
        match plain_answer(protocol) {
            Some(plain) => assert_eq!(pair.answer.as_bytes(), plain),
            None => {
                let accept = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
                assert!(pair.answer.contains(accept), "{}", pair.answer);
            }
        }
    }
}

fn the_backends_fields_reach_the_client() {
    let (gateway, backend) = start(&[]);
    let answers = "Set-Cookie: id=1; Path=/; HttpOnly\r\nSet-Cookie: lang=de\r\nServer: inner/1.0\r\nX-Inner: yes\r\n\
                   Keep-Alive: timeout=5\r\n";
    for protocol in PROTOCOLS {
        let mut pair = Pair::open_with(protocol, &gateway, &backend, "", answers);
        let answer = &pair.answer;
        for field in ["Set-Cookie: id=1; Path=/; HttpOnly", "Set-Cookie: lang=de", "X-Inner: yes"] {
            let (name, value) = field.split_once(": ").unwrap();
            let is_it = |line: &str| {
                line.split_once(": ").is_some_and(|it| it.0.eq_ignore_ascii_case(name) && it.1 == value)
            };
            assert!(answer.lines().any(is_it), "no {field} in {answer}");
        }
        let lower = answer.to_ascii_lowercase();
        assert!(!lower.contains("\r\nkeep-alive:"), "{answer}");
        // The accept value is the gateway's own business.
        assert_eq!(lower.matches("sec-websocket-accept").count(), usize::from(is_hybi(protocol)), "{answer}");
        assert_eq!(lower.matches("\r\nupgrade:").count(), 1, "{answer}");
        pair.talk("after the cookies");
    }
}

fn is_hybi(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Hybi(_))
}

fn a_subprotocol_is_offered_as_it_came() {
    let (gateway, backend) = start(&[]);
    for (protocol, line) in [
        (Protocol::Draft75, "WebSocket-Protocol: chat"),
        (Protocol::Draft76, "Sec-WebSocket-Protocol: chat, superchat"),
        (Protocol::Hybi(8), "Sec-WebSocket-Protocol: chat, superchat"),
    ] {
        let pair = Pair::open_with(
            protocol,
            &gateway,
            &backend,
            &format!("{line}\r\n"),
            "Sec-WebSocket-Protocol: chat\r\n",
        );
        pair.request.expect("Sec-WebSocket-Protocol", line.split_once(": ").unwrap().1);
        pair.request.lacks("WebSocket-Protocol");
    }
}

/// The value of the answer's field that names the subprotocol.
fn subprotocol(pair: &Pair) -> Option<&str> {
    pair.answer.lines().find_map(|line| {
        line.strip_prefix("Sec-WebSocket-Protocol: ").or_else(|| line.strip_prefix("WebSocket-Protocol: "))
    })
}

fn the_whole_line_is_the_answer_to_a_hixie_client() {
    let (gateway, backend) = start(&[]);
    for (protocol, name) in
        [(Protocol::Draft75, "WebSocket-Protocol"), (Protocol::Draft76, "Sec-WebSocket-Protocol")]
    {
        for line in ["chat", "superchat, chat", "superchat chat"] {
            let asks = format!("{name}: {line}\r\n");
            let pair =
                Pair::open_with(protocol, &gateway, &backend, &asks, "Sec-WebSocket-Protocol: chat\r\n");
            assert_eq!(subprotocol(&pair), Some(line), "{}", pair.answer);
        }
    }
}

fn a_backend_that_chooses_none_is_forgiven() {
    let (gateway, backend) = start(&[]);
    let asks = "Sec-WebSocket-Protocol: superchat, chat\r\n";
    let mut pair = Pair::open_with(Protocol::Draft76, &gateway, &backend, asks, "");
    assert_eq!(subprotocol(&pair), Some("superchat, chat"), "{}", pair.answer);
    gateway.wait_for_log(&["subprotocol"]);
    pair.talk("all the same");
}

fn a_hybi_client_is_told_the_backends_choice() {
    let (gateway, backend) = start(&[]);
    let asks = "Sec-WebSocket-Protocol: superchat, chat\r\n";
    for version in [7, 8] {
        let protocol = Protocol::Hybi(version);
        let pair = Pair::open_with(protocol, &gateway, &backend, asks, "Sec-WebSocket-Protocol: chat\r\n");
        assert_eq!(subprotocol(&pair), Some("chat"), "{}", pair.answer);
        let pair = Pair::open_with(protocol, &gateway, &backend, asks, "");
        assert_eq!(subprotocol(&pair), None, "{}", pair.answer);
    }
}

/// What an old client gets if the backend answers its opening handshake with these bytes.
#[track_caller]
fn refused(protocol: Protocol, backend_says: &[u8]) -> String {
    let (gateway, backend) = start(&[]);
    let mut client = gateway.connect();
    client.send(&protocol.request(""));
    let (mut upstream, _) = backend.accept_request();
    upstream.send(backend_says);
    upstream.finish();
    String::from_utf8(client.read_to_end()).unwrap()
}

fn a_refusal_reaches_the_client() {
    for protocol in PROTOCOLS {
        for (status, field) in [
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"inner\""),
            ("403 Forbidden", "X-Why: no"),
            ("404 Not Found", "Set-Cookie: seen=1"),
            ("429 Too Many Requests", "Retry-After: 5"),
            ("500 Internal Server Error", "X-Why: broken"),
        ] {
            let says = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n{field}\r\n\r\nnot today"
            );
            let answer = refused(protocol, says.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {} ", &status[..3])), "{answer}");
            let lower = answer.to_ascii_lowercase();
            assert!(lower.contains(&format!("\r\n{}\r\n", field.to_ascii_lowercase())), "{answer}");
            assert!(lower.contains("\r\ncontent-type: text/plain\r\n"), "{answer}");
            assert!(lower.contains("\r\ncontent-length: 9\r\n"), "{answer}");
            assert!(lower.contains("\r\nconnection: close\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nnot today"), "{answer}");
        }
    }
}

fn a_redirect_reaches_the_client() {
    let says = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere?x=1\r\nContent-Length: 0\r\n\r\n";
    let answer = refused(Protocol::Draft76, says);
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nlocation: /elsewhere?x=1\r\n"), "{answer}");
}

fn a_refusal_may_be_chunked() {
    let says =
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n6\r\n today\r\n0\r\n\r\n";
    let answer = refused(Protocol::Draft76, says);
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nnot today"), "{answer}");
}

fn a_refusal_may_end_with_the_connection() {
    let answer = refused(Protocol::Draft76, b"HTTP/1.0 403 Forbidden\r\n\r\nnot today");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nnot today"), "{answer}");
}

fn the_client_is_not_answered_before_the_backend_is() {
    let backend = Backend::start();
    let gateway = gateway(&backend.url(), &[]);
    let mut client = gateway.connect();
    // key3 comes later, as behind a proxy.
    client.send(&head76(""));
    let (mut upstream, request) = backend.accept_request();
    upstream.switch(&request, "X-Late: 1\r\n");
    let answer = client.read_until(b"\r\n\r\n");
    assert!(contains(&answer.to_ascii_lowercase(), b"\r\nx-late: 1\r\n"), "{}", answer.escape_ascii());
    client.send(crate::support::KEY3);
    client.expect(crate::support::ANSWER);
}
