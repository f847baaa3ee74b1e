//! Peers that fill the memory for unfinished messages harm only themselves.

use legacy_websocket::{ConnectionId, Event, Options, Peer, Server};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\
    Origin: http://a\r\n\r\n";

#[test]
fn a_text_can_be_completed_though_others_fill_the_memory() {
    let options = Options::default();
    let limits = options.limits;
    let mut server = Server::new(options).unwrap();
    let mut held = Vec::from(b"half ");
    for id in 1..100 {
        let id = ConnectionId(id);
        server.open(id, Peer { address: "peer".into(), secure: false }).unwrap();
        for bytes in [REQUEST, &[0], &held] {
            drop(server.receive(id, bytes));
        }
        let room = limits.max_buffered_bytes - server.counts().buffered_bytes;
        held = b"a".repeat(room.min(limits.max_message_bytes));
    }
    assert_eq!(server.counts().buffered_bytes, limits.max_buffered_bytes);
    while server.poll_event().is_some() {}
    let events: Vec<_> = server.receive(ConnectionId(1), b"and half\xff").collect();
    assert!(matches!(&events[..], [Event::Message { text, .. }] if text == "half and half"), "{events:?}");
}
