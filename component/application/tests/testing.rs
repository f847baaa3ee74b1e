//! The server for tests behaves as servers do, and its clients as browsers.
#![cfg(feature = "testing")]

use std::time::Duration;

use legacy_websocket_application::testing::{Client, Close, Limits, Options, Server};
use legacy_websocket_application::{
    Application, CloseCause, Closed, Command, CommandKind, ConnectionId, Event, Failed, Failure, Layered,
    Middleware, Next, Protocol, Recipients, Rooms,
};

const PROTOCOLS: [Protocol; 5] =
    [Protocol::Draft75, Protocol::Draft76, Protocol::Hybi7, Protocol::Hybi8, Protocol::Rfc6455];

fn has_frames(protocol: Protocol) -> bool {
    !matches!(protocol, Protocol::Draft75 | Protocol::Draft76)
}

/// Echoes; a text may be a command. Remembers what it was told.
#[derive(Debug, Default)]
struct Script {
    calls: Vec<Vec<Event>>,
    rooms: Rooms,
    late: Option<ConnectionId>,
}

impl Application for Script {
    fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
        self.calls.push(events.clone());
        let mut commands = Vec::new();
        for event in events {
            match event {
                Event::Handshake(handshake) if handshake.path() == "/no" => {
                    commands.push(handshake.reject(403, "no"));
                }
                Event::Connected(connected) => {
                    self.rooms.join(connected.path(), connected.connection);
                }
                Event::Messages(messages) => {
                    let id = messages.connection;
                    commands.extend(messages.iter().map(|text| match text {
                        "close" => Command::close_with(id, 4000, "later"),
                        "fail" => Command::close(77),
                        "all" => Command::send(Recipients::All, "all"),
                        "room" => self.rooms.send("/room", "in the room"),
                        "binary" => Command::send_binary(Recipients::One(id), [0, 255]),
                        _ => Command::send(Recipients::One(id), text),
                    }));
                }
                Event::Binary(binary) => commands.push(binary.back()),
                Event::Request(request) if request.path() == "/late" => {
                    self.late = Some(request.connection);
                    commands.push(Command::Tick(5000));
                }
                Event::Request(request) => {
                    let answer = format!("{} {}", request.method(), request.body.len());
                    commands.push(request.respond_text(200, answer));
                }
                Event::Tick(_) => {
                    let response = |id| legacy_websocket_application::Response::text(id, 200, "late");
                    commands.extend(self.late.take().map(response).map(Command::from));
                }
                Event::Closed(closed) => self.rooms.remove(&closed),
                _ => {}
            }
        }
        commands
    }
}

fn server() -> Server<Script> {
    Server::new(Script::default())
}

/// The `closed` events of a client.
fn closed(server: &Server<Script>, client: Client) -> Vec<Closed> {
    let events = server.application().calls.iter().flatten();
    let closed = events.filter_map(|event| match event {
        Event::Closed(closed) if closed.connection == client.id() => Some(closed.clone()),
        _ => None,
    });
    closed.collect()
}

#[test]
fn the_first_call_has_no_events() {
    let mut server = server();
    assert_eq!(server.application().calls, [Vec::new()]);
    server.advance(Duration::from_secs(3600));
    assert_eq!(server.application().calls.len(), 1);
}

#[test]
fn clients_of_all_protocols_talk() {
    for protocol in PROTOCOLS {
        let mut server = server();
        let anna = server.client(protocol).path("/a?b").cookie("a", "1").cookie("b", "2").connect().unwrap();
        let Some(Event::Handshake(handshake)) = server.application().calls[1].last() else { panic!() };
        assert_eq!((handshake.connection, handshake.protocol), (anna.id(), protocol));
        assert_eq!(handshake.field("Cookie").as_deref(), Some("a=1; b=2"));
        assert_eq!(handshake.head.query().as_deref(), Some("b"));
        server.say(anna, "h\u{e9}llo");
        server.say_all(anna, ["", "long ".repeat(20_000).as_str()]);
        assert_eq!(server.heard(anna), ["h\u{e9}llo", "", "long ".repeat(20_000).as_str()]);
        assert_eq!(server.heard(anna), [""; 0]);
        // The two came in one event.
        let Some(Event::Messages(messages)) = server.application().calls.last().unwrap().first() else {
            panic!()
        };
        assert_eq!(messages.ends.len(), 2);
        server.say(anna, "binary");
        if has_frames(protocol) {
            server.say_binary(anna, b"\x01\x02");
            assert_eq!(server.heard_binary(anna), [vec![0, 255], vec![1, 2]]);
            server.ping(anna, b"are you there");
            assert_eq!(server.pongs(anna), [b"are you there"]);
        } else {
            let (connection, command, why) = (anna.id(), CommandKind::SendBinary, Failure::NotText);
            assert_eq!(server.failed(), [Failed { connection, command, why }]);
        }
    }
}

#[test]
fn everyone_and_rooms_are_reached() {
    let mut server = server();
    let clients = PROTOCOLS.map(|protocol| server.client(protocol).path("/room").connect().unwrap());
    let outside = server.client(Protocol::Draft76).connect().unwrap();
    server.say(outside, "room");
    server.close(clients[1]);
    server.say(outside, "all");
    for (at, client) in clients.into_iter().enumerate() {
        let heard: &[&str] = if at == 1 { &["in the room"] } else { &["in the room", "all"] };
        assert_eq!(server.heard(client), heard);
    }
    assert_eq!(server.heard(outside), ["all"]);
    for client in [clients[0], clients[2], clients[3], clients[4]] {
        server.hang_up(client);
    }
    server.say(outside, "room");
    assert_eq!((server.heard(outside), server.failed()), (vec![], vec![]));
}

#[test]
fn a_client_is_refused_with_a_response() {
    for protocol in PROTOCOLS {
        let mut server = server();
        let refused = server.client(protocol).path("/no").connect().unwrap_err();
        assert_eq!((refused.status, &*refused.text()), (403, "no\n"));
        assert_eq!(refused.to_string(), "403 no");
    }
}

#[test]
fn a_client_closes() {
    for protocol in PROTOCOLS {
        let mut server = server();
        let anna = server.client(protocol).connect().unwrap();
        assert_eq!(server.closed(anna), None);
        server.close_with(anna, 4001, "bye");
        let was_clean = protocol != Protocol::Draft75;
        let code = has_frames(protocol).then_some(4001);
        let cause = if was_clean { CloseCause::ByPeer } else { CloseCause::EndOfStream };
        let reason = if has_frames(protocol) { "bye".into() } else { String::new() };
        assert_eq!(closed(&server, anna), [Closed { connection: anna.id(), cause, code, reason }]);
        assert_eq!(server.closed(anna).map(|close| (close.was_clean, close.code)), Some((was_clean, code)));
    }
}

#[test]
fn a_client_is_closed() {
    for protocol in PROTOCOLS {
        let mut server = server();
        let anna = server.client(protocol).connect().unwrap();
        server.say_all(anna, ["last", "close"]);
        assert_eq!(server.heard(anna), ["last"]);
        let close = match has_frames(protocol) {
            true => Close { code: Some(4000), reason: "later".into(), was_clean: true },
            false => Close { was_clean: protocol == Protocol::Draft76, ..Close::default() },
        };
        assert_eq!(server.closed(anna), Some(&close));
        assert_eq!(closed(&server, anna).len(), 1);
        assert_eq!(closed(&server, anna)[0].cause, CloseCause::ByUs);
    }
}

#[test]
fn connections_end_in_other_ways() {
    for protocol in PROTOCOLS {
        let limits = Limits { ping_interval: 10_000, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let mut server = Server::with_options(Script::default(), options).unwrap();
        let clients = [(); 4].map(|()| server.client(protocol).connect().unwrap());
        let [gone, reset, vanished, patient] = clients;
        server.hang_up(gone);
        server.reset(reset);
        server.vanish(vanished);
        server.advance(Duration::from_secs(60));
        server.say(patient, "all");
        let cause =
            |client| closed(&server, client).into_iter().map(|closed| closed.cause).collect::<Vec<_>>();
        assert_eq!((cause(gone), cause(reset)), (vec![CloseCause::EndOfStream], vec![CloseCause::Reset]));
        let timeout = if has_frames(protocol) { vec![CloseCause::PingTimeout] } else { vec![] };
        assert_eq!((cause(vanished), cause(patient)), (timeout, vec![]));
        assert_eq!((server.heard(vanished), server.heard(patient)), (vec![], vec!["all".to_owned()]));
    }
}

#[test]
fn wrong_bytes_end_a_connection() {
    let mut server = server();
    let anna = server.client(Protocol::Rfc6455).connect().unwrap();
    server.say_bytes(anna, b"\x81\x02hi".to_vec());
    assert_eq!(server.closed(anna).and_then(|close| close.code), Some(1002));
    assert!(matches!(closed(&server, anna)[0].cause, CloseCause::BadFrame(_)));
}

#[test]
fn failures_are_events() {
    let mut server = server();
    let anna = server.client(Protocol::Draft75).connect().unwrap();
    server.say(anna, "fail");
    let failed = Failed { connection: 77, command: CommandKind::Close, why: Failure::UnknownConnection };
    assert_eq!(server.failed(), [failed]);
    assert_eq!(server.application().calls.last().unwrap(), &[Event::Failed(failed)]);
}

#[test]
fn http_is_answered_now_or_later() {
    let mut server = server();
    let answer = server.request("POST", "/").field("X", "y").body("abc").send();
    assert_eq!((answer.status, &*answer.text()), (200, "POST 3"));
    assert_eq!(answer.field("content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(server.request("HEAD", "/").send().text(), "");
    let late = server.request("GET", "/late").start();
    server.advance(Duration::from_millis(4999));
    assert_eq!(server.response(late), None);
    server.advance(Duration::from_millis(1));
    assert_eq!(server.response(late).map(|response| response.text().into_owned()).as_deref(), Some("late"));
    assert_eq!(closed(&server, late).len(), 1);
}

#[test]
fn hosts_origins_and_peers_are_those_of_the_client() {
    let options = Options { origins: vec!["http://ours".into()], ..Options::default() };
    let mut server = Server::with_options(Script::default(), options).unwrap();
    for protocol in PROTOCOLS {
        assert_eq!(server.client(protocol).connect().unwrap_err().status, 403);
        let ours =
            server.client(protocol).field("Origin", "http://ours").field("Host", "a").peer("198.51.100.7:1");
        let client = ours.subprotocol("chat").connect().unwrap();
        let events = server.application().calls.iter().flatten();
        let mut connected = events.filter_map(|event| match event {
            Event::Connected(connected) if connected.connection == client.id() => Some(connected),
            _ => None,
        });
        let connected = connected.next().unwrap();
        assert_eq!(
            (connected.peer.as_str(), connected.subprotocol.as_deref()),
            ("198.51.100.7:1", Some("chat"))
        );
        assert_eq!(connected.field("Host").as_deref(), Some("a"));
    }
}

#[test]
fn clients_act_together() {
    for protocol in PROTOCOLS {
        let mut server = server();
        let [anna, bob] = [(); 2].map(|()| server.client(protocol).connect().unwrap());
        let calls = server.application().calls.len();
        server.together(|server| {
            server.say(anna, "all");
            server.say(bob, "last");
            server.close(bob);
            server.request("GET", "/").start();
            assert_eq!(server.heard(anna), [""; 0]);
        });
        let texts = |event: &Event| matches!(event, Event::Messages(_) | Event::Request(_));
        assert_eq!(server.application().calls[calls].iter().filter(|event| texts(event)).count(), 3);
        assert_eq!((server.heard(anna), closed(&server, bob).len()), (vec!["all".to_owned()], 1));
    }
}

#[test]
#[should_panic(expected = "no time passes")]
fn no_time_passes_together() {
    server().together(|server| server.advance(Duration::from_secs(1)));
}

#[test]
fn ticks_are_on_time_after_many_events() {
    /// Its first call fails more often than a turn has events for. After that it counts ticks.
    #[derive(Default)]
    struct Busy(usize);

    impl Application for Busy {
        fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
            let mut commands = Vec::new();
            if events.is_empty() {
                commands = vec![Command::close(77); 10_000];
                commands.push(Command::Tick(10));
            }
            if events.iter().any(|event| matches!(event, Event::Tick(_))) {
                self.0 += 1;
                commands.push(Command::Tick(10));
            }
            commands
        }
    }

    let mut server = Server::new(Busy::default());
    server.advance(Duration::from_millis(100));
    assert_eq!((server.application().0, server.failed().len()), (10, 10_000));
}

#[test]
fn origins_of_all_protocols_are_read() {
    /// Lets nobody in whose page is not ours.
    #[derive(Default)]
    struct Ours;

    impl Middleware for Ours {
        fn handle(&mut self, mut events: Vec<Event>, next: &mut Next<'_>) -> Vec<Command> {
            let mut refusals = Vec::new();
            events.retain(|event| match event {
                Event::Handshake(handshake)
                    if handshake.origin().as_deref() != Some("http://example.com") =>
                {
                    refusals.push(handshake.reject(403, "not from here"));
                    false
                }
                _ => true,
            });
            let mut commands = next.run(events);
            commands.extend(refusals);
            commands
        }
    }

    let mut server = Server::new(Layered::<Ours, Script>::default());
    for protocol in PROTOCOLS {
        let ours = server.client(protocol).connect().unwrap();
        server.say(ours, "hi");
        assert_eq!(server.heard(ours), ["hi"]);
        let other = server.client(protocol).field("Origin", "http://example.net").connect().unwrap_err();
        assert_eq!(other.status, 403);
    }
}

#[test]
#[should_panic(expected = "this client's connection is over")]
fn nobody_speaks_after_the_end() {
    let mut server = server();
    let anna = server.client(Protocol::Draft76).connect().unwrap();
    server.close(anna);
    server.say(anna, "hi");
}

#[test]
#[should_panic(expected = "the application answers every failure")]
fn an_endless_cycle_of_failures_is_found() {
    #[derive(Default)]
    struct Stubborn;

    impl Application for Stubborn {
        fn handle(&mut self, _: Vec<Event>) -> Vec<Command> {
            vec![Command::close(1)]
        }
    }

    let _ = Server::new(Stubborn);
}
