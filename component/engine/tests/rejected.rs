//! What a shell can report about a refused request, and the causes of ends that are nobody's fault.

use legacy_websocket::{CloseCause, ConnectionId, Event, Options, Peer, Server};

const ID: ConnectionId = ConnectionId(7);

const HANDSHAKE: &[u8] = b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\
    Origin: http://a\r\n\r\n";

fn server(origin: &str) -> Server {
    let options = Options { origins: vec![origin.into()], ..Options::default() };
    let mut server = Server::new(options).unwrap();
    server.advance(0);
    server.open(ID, Peer::default()).unwrap();
    server
}

fn events(server: &mut Server, input: &[u8]) -> Vec<Event<'static>> {
    server.receive(ID, input).for_each(drop);
    std::iter::from_fn(|| server.poll_event()).collect()
}

fn cause(server: &mut Server) -> Option<CloseCause> {
    std::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
        Event::Closed { cause, .. } => Some(cause),
        _ => None,
    })
}

#[test]
fn the_head_of_a_refused_request_is_kept_until_others_are_refused() {
    let mut server = server("http://b");
    events(&mut server, HANDSHAKE);
    let target = |server: &Server, id| server.rejected_head(id).map(|head| head.target().to_vec());
    assert_eq!(target(&server, ID), Some(b"/demo".into()));
    assert_eq!(target(&server, ConnectionId(8)), None);
    server.advance(1);
    server.open(ConnectionId(8), Peer::default()).unwrap();
    server.receive(ConnectionId(8), HANDSHAKE).for_each(drop);
    assert_eq!(target(&server, ConnectionId(8)), Some(b"/demo".into()));
    assert_eq!(target(&server, ID), None);
}

#[test]
fn an_unreadable_request_does_not_report_the_previous_head() {
    let mut server = server("*");
    events(&mut server, b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    server.respond(ID, 200, &[], b"").unwrap();
    events(&mut server, b"NO REQUEST\r\n\r\n");
    assert!(server.connection(ID).is_none());
    assert!(server.rejected_head(ID).is_none());
}

#[test]
fn closing_draft_75_is_reported_as_by_us() {
    let mut server = server("*");
    events(&mut server, HANDSHAKE);
    server.close(ID).unwrap();
    assert_eq!(cause(&mut server), Some(CloseCause::ByUs));
}

#[test]
fn an_idle_keep_alive_connection_ends_as_responded() {
    let mut server = server("*");
    events(&mut server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.respond(ID, 200, &[], b"").unwrap();
    let end = server.poll_timeout().unwrap();
    server.advance(end);
    assert_eq!(cause(&mut server), Some(CloseCause::Responded));
}
