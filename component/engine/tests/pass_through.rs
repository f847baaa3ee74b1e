//! Which connections a gateway gets back, and with which bytes.

mod support;

use legacy_websocket::step::{self, Input, Opened, Received};
use legacy_websocket::{
    CloseCause, Event, FrameError, Limits, Loss, Options, Peer, Protocol, Protocols, Server,
};
use support::{Driver, ID, KEY3, head_hybi, head75, head76};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn old_protocols() -> Protocols {
    Protocol::ALL.into_iter().filter(|protocol| *protocol != Protocol::Rfc6455).collect()
}

fn gateway() -> Options {
    Options {
        pass_through: true,
        protocols: old_protocols(),
        health_path: Some("/healthz".into()),
        ..Options::default()
    }
}

/// The events after some input, and what was given back.
fn received(options: &Options, input: &[u8]) -> (Vec<String>, Option<Vec<u8>>) {
    let mut driver = Driver::new(options.clone());
    driver.receive(input);
    (driver.news().into_iter().map(Into::into).collect(), driver.passed)
}

#[test]
fn what_is_not_ours_is_given_back_as_it_came() {
    let strict = Options {
        origins: vec!["http://b".into()],
        hosts: vec!["b".into()],
        trust_forwarded: true,
        ..gateway()
    };
    for request in [
        GET,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / whatever\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /form HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/?b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS /healthz HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n",
        b"GET / HTTP/1.1\r\nForwarded: =\r\nX-Forwarded-Host: :\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 12\r\n\r\n",
        b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 07\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Draft: 4\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        &[&head_hybi(13, "")[..], b"\x81\x80\0\0\0\0"].concat(),
    ] {
        let given_back = (vec!["passed".into()], Some(request.to_vec()));
        assert_eq!(received(&strict, request), given_back, "{}", request.escape_ascii());
    }
}

#[test]
fn handshakes_of_old_protocols_are_answered_or_refused_here() {
    let only_75 = Options { protocols: [Protocol::Draft75].into_iter().collect(), ..gateway() };
    let head76 = [&head76("")[..], KEY3].concat();
    for (request, event, if_only_75) in [
        (head75(""), "connected Draft75", "connected Draft75"),
        (head76, "connected Draft76", "rejected 426"),
        (head_hybi(7, ""), "connected Hybi7", "rejected 426"),
        (head_hybi(8, ""), "connected Hybi8", "rejected 426"),
        (b"POST / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n".to_vec(), "rejected 405", "rejected 405"),
        (b"GET / HTTP/1.1\r\nSec-WebSocket-Key1: 1 2\r\n\r\n".to_vec(), "rejected 400", "rejected 400"),
        (b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 8\r\n\r\n".to_vec(), "rejected 400", "rejected 426"),
        (b"GET\r\n\r\n".to_vec(), "rejected 400", "rejected 400"),
        ([b"GET /", &[b'a'; 20_000][..]].concat(), "rejected 431", "rejected 431"),
    ] {
        for (options, expected) in [(&gateway(), event), (&only_75, if_only_75)] {
            let (events, passed) = received(options, &request);
            let shown = request[..request.len().min(80)].escape_ascii();
            assert!(events[0].starts_with(expected), "{shown}: {events:?}");
            assert_eq!(passed, None);
        }
    }
}

#[test]
fn rfc_6455_is_ours_if_it_is_accepted() {
    let options = Options { protocols: Protocols::default(), ..gateway() };
    let (events, passed) = received(&options, &head_hybi(13, ""));
    assert!(events[0].starts_with("connected Rfc6455") && passed.is_none(), "{events:?}");
    let (events, _) = received(&options, b"GET / HTTP/1.1\r\nSec-WebSocket-Version: 13\r\n\r\n");
    assert!(events[0].starts_with("rejected 400"), "{events:?}");
}

#[test]
fn who_speaks_rfc_6455_refuses_versions_that_nobody_speaks() {
    let options = Options { protocols: Protocols::default(), ..gateway() };
    let (events, passed) = received(&options, &head_hybi(14, ""));
    assert!(passed.is_none() && events.iter().any(|event| event.contains("426")), "{events:?}");
}

#[test]
fn a_request_after_a_health_check_is_given_back_without_it() {
    let health = b"GET /healthz?x HTTP/1.1\r\nHost: elsewhere\r\n\r\n";
    let mut driver = Driver::new(Options { hosts: vec!["a".into()], ..gateway() });
    driver.receive(&[health, GET, b"more"].concat());
    driver.receive(b" and more");
    assert!(driver.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(driver.passed.unwrap(), [GET, b"more and more"].concat());
    assert_eq!(driver.events.last().unwrap(), "passed");
    // The same in reads of their own.
    let mut driver = Driver::new(gateway());
    driver.receive(health);
    driver.receive(GET);
    assert_eq!(driver.passed.as_deref(), Some(GET));
}

#[test]
fn several_reads_before_the_events_are_polled_are_given_back_together() {
    let mut server = Server::new(gateway()).unwrap();
    server.open(ID, Peer::default()).unwrap();
    for read in [&GET[..5], &GET[5..], b"", b"one", b"two"] {
        server.receive(ID, read).for_each(drop);
    }
    server.defer(ID, b"three");
    server.receive(ID, b"four").for_each(drop);
    server.receive_eof(ID);
    assert!(server.has_events() && server.connection(ID).is_some());
    let Some(Event::Passed { connection: ID, bytes }) = server.poll_event() else { panic!() };
    assert_eq!(bytes, [GET, b"onetwothreefour"].concat());
    assert!(server.poll_event().is_none() && server.connection(ID).is_none());
    let counts = server.counts();
    assert_eq!((counts.open, counts.buffered_bytes), (0, 0));
    // No deadline is left behind.
    assert!(server.take_deferred().is_none());
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(server.receive(ID, GET).count(), 0);
}

#[test]
fn a_step_gives_back_a_connection_with_all_input_of_its_call_whatever_the_budget() {
    let mut server = step::Server::new(gateway()).unwrap();
    server.set_budget(1);
    let opened = |connection| Input::Opened(Opened { connection, peer: "peer".into(), secure: false });
    let received = |connection, bytes: &[u8]| Input::Received(Received { connection, bytes: bytes.into() });
    let step = server.turn(
        0,
        &[
            opened(1),
            opened(2),
            received(1, GET),
            // This uses up the budget.
            received(2, &[&head75("")[..], b"\0a\xff\0b\xff"].concat()),
            received(1, b"one"),
            Input::Ended(1),
        ],
    );
    let Some(step::Event::Passed(passed)) = step.events.last() else { panic!("{step:?}") };
    assert_eq!((passed.connection, &passed.bytes), (1, &[GET, b"one"].concat()));
    assert!(!step.paused.contains(&1) && server.connections().iter().all(|status| status.connection == 2));
}

#[test]
fn a_connection_that_is_lost_or_too_much_to_hold_is_closed_instead() {
    let limits = Limits { max_message_bytes: 64, max_buffered_bytes: 64, ..Limits::default() };
    for lost in [true, false] {
        let mut server = Server::new(Options { limits, ..gateway() }).unwrap();
        server.open(ID, Peer::default()).unwrap();
        server.receive(ID, GET).for_each(drop);
        let mut events: Vec<_> = if lost {
            server.lost(ID, Loss::Reset);
            Vec::new()
        } else {
            server.receive(ID, &[b'x'; 64]).collect()
        };
        events.extend(std::iter::from_fn(|| server.poll_event()));
        let Some(Event::Closed { cause, .. }) = events.last() else { panic!("{events:?}") };
        let expected = if lost { CloseCause::Reset } else { CloseCause::Frame(FrameError::NoRoom) };
        assert_eq!(*cause, expected);
        assert_eq!(server.counts().buffered_bytes, 0);
    }
}
