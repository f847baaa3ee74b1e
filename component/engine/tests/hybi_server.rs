//! A server with clients of hybi and RFC 6455, beside those of the hixie drafts.

mod support;

use legacy_websocket::hybi::CloseCode;
use legacy_websocket::{
    ConnectionId, Destination, InvalidOptions, Limits, Misuse, Options, Peer, Protocol, Protocols,
    Recipients, Server, Undelivered,
};
use support::hybi::{frame, text};
use support::{Driver, ID, head_hybi, head75};

fn driver(options: Options) -> Driver {
    let mut driver = Driver::new(options);
    driver.receive(&head_hybi(13, ""));
    driver.bytes.clear();
    driver.events.clear();
    driver
}

fn server(protocols: &[Protocol]) -> Server {
    let mut server = Server::new(Options::default()).unwrap();
    for (number, protocol) in (1..).zip(protocols) {
        server.open(ConnectionId(number), Peer::default()).unwrap();
        let head = protocol.version().map_or(head75(""), |version| head_hybi(version.number(), ""));
        drop(server.receive(ConnectionId(number), &head));
    }
    while server.poll_transmit().is_some() {}
    server
}

fn transmissions(server: &mut Server) -> Vec<(Destination, Vec<u8>)> {
    std::iter::from_fn(|| server.poll_transmit()).map(|it| (it.to, it.bytes)).collect()
}

#[test]
fn each_version_is_accepted_and_named() {
    for (version, protocol) in [(7, "Hybi7"), (8, "Hybi8"), (13, "Rfc6455")] {
        let mut driver = Driver::new(Options::default());
        driver.receive(&head_hybi(version, "Sec-WebSocket-Protocol: chat, superchat\r\n"));
        let answer = String::from_utf8(driver.bytes.clone()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.ends_with("\r\nSec-WebSocket-Protocol: chat\r\n\r\n"));
        let connected = format!("connected {protocol} /demo Some(\"chat\")");
        assert!(driver.events.contains(&connected), "{:?}", driver.events);
        let counts = driver.server.counts();
        let connected: Vec<_> = counts.connected.iter().filter(|(_, count)| *count == 1).collect();
        assert_eq!(format!("{connected:?}"), format!("[({protocol}, 1)]"));
        driver.receive(&text("hi"));
        assert_eq!(driver.events.last().unwrap(), "message \"hi\"");
    }
}

#[test]
fn a_version_that_is_off_is_told_which_are_on() {
    for (protocols, version, answer) in [
        (
            &[Protocol::Draft76, Protocol::Hybi8, Protocol::Rfc6455][..],
            7,
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13, 8\r\n",
        ),
        (&[Protocol::Rfc6455], 14, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        (&[Protocol::Draft75, Protocol::Draft76], 13, "Upgrade: WebSocket\r\n"),
    ] {
        let protocols = protocols.iter().copied().collect();
        let mut driver = Driver::new(Options { protocols, ..Options::default() });
        driver.receive(&head_hybi(version, ""));
        let bytes = String::from_utf8(driver.bytes).unwrap();
        assert!(
            bytes.starts_with(&format!("HTTP/1.1 426 Upgrade Required\r\n{answer}Content-Type")),
            "{bytes}"
        );
    }
    let mut driver =
        Driver::new(Options { protocols: [Protocol::Rfc6455].into_iter().collect(), ..Options::default() });
    driver.receive(&head75(""));
    assert!(driver.bytes.starts_with(b"HTTP/1.1 426 "));
    let none = Options { protocols: Protocols::from_iter([]), ..Options::default() };
    assert_eq!(Server::new(none).err(), Some(InvalidOptions::NoProtocol));
}

#[test]
fn host_origin_and_subprotocols_are_checked() {
    let options = || Options {
        hosts: vec!["example.com".into()],
        origins: vec!["http://example.com".into()],
        subprotocols: vec!["b".into(), "c".into()],
        ..Options::default()
    };
    for (head, outcome) in [
        (head_hybi(13, ""), "connected Rfc6455 /demo None"),
        (head_hybi(13, "Sec-WebSocket-Protocol: a, c, b\r\n"), "connected Rfc6455 /demo Some(\"c\")"),
        (head_hybi(13, "Sec-WebSocket-Protocol: a, d\r\n"), "rejected 403 the subprotocol is not accepted"),
        (head_hybi(8, "Sec-WebSocket-Origin: http://evil\r\n"), "rejected 403 Origin is not accepted"),
        (head_hybi(13, "Sec-WebSocket-Origin: http://evil\r\n"), "connected Rfc6455 /demo None"),
        (replace(head_hybi(13, ""), "Host: example.com", "Host: evil"), "rejected 403 Host is not accepted"),
        (head_hybi(13, "Host: b\r\n"), "rejected 400 a field that may come once came twice"),
    ] {
        let mut driver = Driver::new(options());
        driver.receive(&head);
        assert!(driver.events.iter().any(|event| event == outcome), "{outcome}: {:?}", driver.events);
    }
}

fn replace(head: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(head).unwrap().replace(from, to).into_bytes()
}

#[test]
fn an_application_may_choose_any_subprotocol_that_was_asked_for() {
    for (chosen, result) in
        [("a", Ok(())), ("b", Ok(())), ("c", Err(Misuse::Invalid)), ("a, b", Err(Misuse::Invalid))]
    {
        let mut driver = Driver::new(Options { authorise: true, ..Options::default() });
        driver.receive(&[head_hybi(13, "Sec-WebSocket-Protocol: a, b\r\n"), text("early")].concat());
        assert_eq!(driver.events.last().unwrap(), "handshake Rfc6455 Some(\"a\")");
        assert_eq!(driver.server.accept(ID, Some(chosen), &[]), result);
        driver.drain();
        if result.is_ok() {
            assert_eq!(driver.events.last().unwrap(), "message \"early\"");
            assert_eq!(driver.server.connection(ID).unwrap().subprotocol().as_deref(), Some(chosen));
        }
    }
}

#[test]
fn a_broadcast_has_the_frames_of_each_client() {
    use Protocol::{Draft75, Hybi7, Rfc6455};
    let id = ConnectionId;
    let mut server = server(&[Rfc6455, Hybi7]);
    assert_eq!(server.broadcast("a", None), 2);
    assert_eq!(server.broadcast("b", Some(id(2))), 1);
    assert_eq!(
        transmissions(&mut server),
        [(Destination::All, b"\x81\x01a".into()), (Destination::AllBut(id(2)), b"\x81\x01b".into())]
    );

    let mut server = self::server(&[Draft75, Rfc6455, Draft75, Hybi7]);
    assert_eq!(server.broadcast("a", None), 4);
    assert_eq!(server.broadcast("a", None), 4);
    assert_eq!(server.broadcast("b", Some(id(2))), 3);
    assert_eq!(server.broadcast("c", Some(id(9))), 4);
    assert_eq!(server.counts().messages_sent, 15);
    let (hixie, hybi) = (Destination::Many(vec![id(1), id(3)]), Destination::Many(vec![id(2), id(4)]));
    assert_eq!(
        transmissions(&mut server),
        [
            (hixie.clone(), b"\0a\xff\0a\xff".to_vec()),
            (hybi.clone(), b"\x81\x01a\x81\x01a".to_vec()),
            (hixie.clone(), b"\0b\xff".to_vec()),
            (Destination::One(id(4)), b"\x81\x01b".to_vec()),
            (hixie.clone(), b"\0c\xff".to_vec()),
            (hybi, b"\x81\x01c".to_vec()),
        ]
    );
    // Those that leave no longer count.
    server.close(id(2)).unwrap();
    server.close(id(4)).unwrap();
    while server.poll_transmit().is_some() {}
    assert_eq!(server.broadcast("d", None), 2);
    assert_eq!(transmissions(&mut server), [(Destination::All, b"\0d\xff".into())]);
}

#[test]
fn binary_messages_go_both_ways_except_in_hixie_drafts() {
    let mut driver = driver(Options::default());
    driver.receive(&[frame(0x02, b"\xff"), frame(0x80, b"\0")].concat());
    assert_eq!(driver.events, ["binary \\xff\\x00"]);
    driver.server.send_binary(ID, b"\0\xff").unwrap();
    driver.drain();
    assert_eq!(driver.bytes, b"\x82\x02\0\xff");
    let mut server = server(&[Protocol::Draft75]);
    assert_eq!(server.send_binary(ConnectionId(1), b""), Err(Misuse::Unsupported));
    assert_eq!(server.send_binary(ConnectionId(2), b""), Err(Misuse::UnknownConnection));
}

#[test]
fn a_binary_broadcast_leaves_out_hixie_clients() {
    let mut server = server(&[Protocol::Draft75, Protocol::Rfc6455, Protocol::Draft76, Protocol::Hybi8]);
    let id = ConnectionId;
    let mut failed = Vec::new();
    let mut send = |to| server.send_binary_to(&to, b"\xff", |undelivered| failed.push(undelivered));
    assert_eq!(send(Recipients::All), 2);
    assert_eq!(send(Recipients::AllBut(id(2))), 1);
    assert_eq!(send(Recipients::AllBut(id(1))), 2);
    assert_eq!(send(Recipients::Many(vec![id(1), id(2), id(9)])), 1);
    let undelivered = |connection, why| Undelivered { connection: id(connection), why };
    assert_eq!(failed, [undelivered(1, Misuse::Unsupported), undelivered(9, Misuse::UnknownConnection)]);
    assert_eq!(server.counts().messages_sent, 6);
    let bytes = b"\x82\x01\xff".to_vec();
    let both = Destination::Many(vec![id(2), id(4)]);
    assert_eq!(
        transmissions(&mut server),
        [
            (both.clone(), bytes.clone()),
            (Destination::One(id(4)), bytes.clone()),
            (both, bytes.clone()),
            (Destination::One(id(2)), bytes),
        ]
    );
}

#[test]
fn an_echo_echoes_both_kinds() {
    let mut driver = driver(Options { echo: true, ..Options::default() });
    driver.receive(&[text("hi"), frame(0x82, b"\xff"), frame(0x89, b"?"), frame(0x88, b"")].concat());
    assert_eq!(driver.bytes, b"\x81\x02hi\x82\x01\xff\x8a\x01?\x88\x00");
    assert_eq!(driver.end.as_deref(), Some("Finish"));
    assert_eq!(driver.server.counts().messages_sent, 2);
}

#[test]
fn what_comes_with_the_peers_close_is_answered_before_ours() {
    let mut driver = driver(Options::default());
    let bytes = [text("last"), frame(0x88, b"\x0f\xa0bye"), text("ignored")].concat();
    driver.receive_and_answer(&bytes, |driver| driver.server.send(ID, "answer").unwrap());
    assert_eq!(driver.bytes, b"\x81\x06answer\x88\x02\x0f\xa0");
    assert_eq!(
        driver.events,
        ["message \"last\"", "state Connected -> Closed", "closed ByPeer 4000 \"bye\""]
    );
}

#[test]
fn what_comes_before_an_error_is_answered_before_our_close() {
    let mut driver = driver(Options::default());
    let bytes = [text("last"), b"\x81\x02hi".to_vec()].concat();
    driver.receive_and_answer(&bytes, |driver| driver.server.send(ID, "answer").unwrap());
    assert_eq!(driver.bytes, b"\x81\x06answer\x88\x02\x03\xea");
    assert_eq!(driver.events.last().unwrap(), "closed Frame(Unmasked)");
}

#[test]
fn our_close_says_why_and_waits_for_the_peers() {
    let mut driver = driver(Options::default());
    driver.server.close_with(ID, CloseCode::new(4001).unwrap(), "kicked").unwrap();
    driver.drain();
    assert_eq!(driver.bytes, b"\x88\x08\x0f\xa1kicked");
    // No early FIN: these clients answer.
    assert_eq!(driver.server.poll_timeout(), Some(2000));
    driver.receive(&[text("crossed"), frame(0x88, b"\x0f\xa1")].concat());
    assert_eq!(driver.events, ["message \"crossed\"", "state Connected -> Closed", "closed ByUs 4001 \"\""]);
    assert_eq!((driver.bytes.len(), driver.end.as_deref()), (10, Some("Finish")));
}

#[test]
fn a_silent_client_is_pinged_and_then_dropped() {
    let limits = Limits { ping_interval: 1000, ..Limits::default() };
    let mut driver = driver(Options { limits, ..Options::default() });
    for now in [1000, 2500] {
        driver.server.advance(now);
        driver.drain();
        assert_eq!(driver.bytes, b"\x89\x00");
        driver.bytes.clear();
        // Its pong is half an interval late, and so is what follows.
        driver.server.advance(now + 500);
        drop(driver.server.receive(ID, &frame(0x8a, b"")));
        driver.drain();
    }
    // What we send says nothing of the client.
    driver.server.advance(3900);
    driver.server.send(ID, "x").unwrap();
    driver.drain();
    driver.bytes.clear();
    driver.server.advance(4000);
    driver.server.advance(4999);
    driver.drain();
    assert_eq!(driver.bytes, b"\x89\x00");
    driver.bytes.clear();
    // A pong may be in the input of the turn in which the time is over.
    driver.server.advance(5000);
    driver.drain();
    assert_eq!(driver.bytes, b"");
    driver.server.advance(5001);
    driver.drain();
    assert_eq!(driver.bytes, b"\x88\x02\x03\xe9");
    assert_eq!(driver.events.last().unwrap(), "closed PingTimeout");
}

#[test]
fn a_server_that_was_paused_gives_its_clients_time_to_answer() {
    let limits = Limits { ping_interval: 1000, ..Limits::default() };
    let mut driver = driver(Options { limits, ..Options::default() });
    for now in [50_000, 100_000, 150_000] {
        driver.server.advance(now);
        driver.drain();
        assert_eq!(driver.bytes, b"\x89\x00");
        driver.bytes.clear();
        // The pong waited in the kernel as well.
        driver.server.advance(now + 20_000);
        drop(driver.server.receive(ID, &frame(0x8a, b"")));
        driver.server.advance(now + 20_500);
        driver.drain();
        assert_eq!(driver.bytes, b"");
    }
    assert!(driver.events.iter().all(|event| !event.starts_with("closed")), "{:?}", driver.events);
}

/// Without a bound on the retries this takes minutes.
#[test]
fn an_echo_takes_a_long_read_of_empty_texts_before_a_wrong_one_once() {
    const COUNT: usize = 200_000;
    let mut driver = driver(Options { echo: true, ..Options::default() });
    let input = [text("").repeat(COUNT), frame(0x81, b"\xff")].concat();
    driver.receive(&input);
    assert_eq!(driver.bytes.len(), 2 * COUNT + 4);
    assert_eq!(driver.events.last().unwrap(), "closed Frame(NotUtf8)");
}

#[test]
fn a_client_whose_memory_is_needed_is_told() {
    let limits = Limits { max_buffered_bytes: 4096, max_message_bytes: 4096, ..Limits::default() };
    let mut server = Server::new(Options { limits, ..Options::default() }).unwrap();
    for id in [1, 2].map(ConnectionId) {
        server.open(id, Peer { address: "peer".into(), secure: false }).unwrap();
        drop(server.receive(id, &head_hybi(13, "")));
    }
    while server.poll_transmit().is_some() {}
    let begun = [&b"\x01\xfe\x0b\xb8\0\0\0\0"[..], &[b'a'; 2900]].concat();
    drop(server.receive(ConnectionId(1), &begun));
    server.advance(5000);
    drop(server.receive(ConnectionId(2), &begun));
    assert_eq!(transmissions(&mut server), [(Destination::One(ConnectionId(1)), b"\x88\x02\x03\xf1".into())]);
}

#[test]
fn the_interval_counts_from_the_opening_handshake() {
    let limits = Limits { ping_interval: 1000, ..Limits::default() };
    let mut driver = Driver::new(Options { authorise: true, limits, ..Options::default() });
    driver.receive(&head_hybi(13, ""));
    driver.server.advance(5000);
    driver.server.accept(ID, None, &[]).unwrap();
    driver.drain();
    driver.bytes.clear();
    for (now, ping) in [(5999, &b""[..]), (6000, b"\x89\x00")] {
        driver.server.advance(now);
        driver.drain();
        assert_eq!(driver.bytes, ping);
    }
}

#[test]
fn a_client_without_messages_may_be_dropped_instead_of_pinged() {
    let limits = Limits { ping_interval: 1000, idle_timeout: 1000, ..Limits::default() };
    let mut driver = driver(Options { limits, ..Options::default() });
    driver.server.advance(1000);
    driver.drain();
    assert_eq!(driver.bytes, b"\x88\x02\x03\xe9");
    assert_eq!(driver.events.last().unwrap(), "closed IdleTimeout");
}

#[test]
fn pings_can_be_off_and_hixie_clients_get_none() {
    let mut off =
        driver(Options { limits: Limits { ping_interval: 0, ..Limits::default() }, ..Options::default() });
    off.server.advance(1_000_000);
    off.drain();
    assert!(off.bytes.is_empty() && off.server.poll_timeout().is_none());
    assert_eq!(server(&[Protocol::Draft75]).poll_timeout(), None);
}

#[test]
fn a_message_must_come_in_time_whatever_comes_between_its_fragments() {
    let limits = Limits { message_timeout: 1000, ..Limits::default() };
    let mut driver = driver(Options { limits, ..Options::default() });
    drop(driver.server.receive(ID, &[text("whole"), frame(0x01, b"a")].concat()));
    for now in (100..1000).step_by(100) {
        driver.server.advance(now);
        drop(driver.server.receive(ID, &[frame(0x89, b""), frame(0x00, b"b")].concat()));
    }
    driver.drain();
    assert!(driver.end.is_none());
    driver.bytes.clear();
    driver.server.advance(1000);
    driver.drain();
    assert_eq!(
        (&driver.bytes[..], driver.events.last().unwrap().as_str()),
        (&b"\x88\x02\x03\xf0"[..], "closed MessageTimeout")
    );
}

#[test]
fn incomplete_messages_count_as_buffered_and_the_slowest_gives_way() {
    let limits = Limits { max_message_bytes: 100, max_buffered_bytes: 150, ..Limits::default() };
    let mut server = Server::new(Options { limits, ..Options::default() }).unwrap();
    for id in [1, 2].map(ConnectionId) {
        server.open(id, Peer::default()).unwrap();
        drop(server.receive(id, &head_hybi(13, "")));
    }
    let bytes = frame(0x81, &[b'a'; 90]);
    drop(server.receive(ConnectionId(1), &bytes[..86]));
    assert_eq!(server.counts().buffered_bytes, 80);
    // Whole messages need no room.
    drop(server.receive(ConnectionId(2), &[text(&"b".repeat(100)), bytes.clone()].concat()));
    assert!(server.connection(ConnectionId(1)).is_some());
    drop(server.receive(ConnectionId(2), &[bytes.clone(), bytes[..86].to_vec()].concat()));
    assert!(server.connection(ConnectionId(1)).is_none() && server.connection(ConnectionId(2)).is_some());
    drop(server.receive(ConnectionId(2), &bytes[86..]));
    assert_eq!(server.counts().buffered_bytes, 0);
}
