//! The engine by itself: a client of draft 75 is let in and echoed.

use legacy_websocket::{ConnectionId, Event, Options, Peer, Server};

fn main() {
    let mut server = Server::new(Options::default()).expect("valid options");
    let client = ConnectionId(1);
    server.open(client, Peer { address: "192.0.2.1:50000".into(), secure: false }).expect("a new id");
    let head = b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                 Host: example.com\r\nOrigin: http://example.com\r\n\r\n";
    assert!(server.receive(client, head).any(|event| matches!(event, Event::Connected { .. })));
    let answer = server.poll_transmit().expect("an answer");
    assert!(answer.bytes.starts_with(b"HTTP/1.1 101 "));
    for event in server.receive(client, b"\0hello\xff").collect::<Vec<_>>() {
        if let Event::Message { text, .. } = event {
            server.broadcast(&text, None);
        }
    }
    assert_eq!(&*server.poll_transmit().expect("a message").bytes, b"\0hello\xff");
}
