//! Properties of any input: no panic, chunking does not matter, nothing follows our FF 00, limits are kept.

mod support;

use std::collections::BTreeSet;

use legacy_websocket::{
    ConnectedCounts, ConnectionId, Destination, Disposition, Event, Limits, Loss, Options, Peer, Protocol,
    Server,
};
use proptest::prelude::*;
use support::hybi::{self, pongs_apart};
use support::{Driver, ID, KEY3, head_hybi, head75, head76};

/// Bytes that are likely to reach interesting states.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        8 => "[a-zé€😀\\x00]{0,12}".prop_map(|text| [b"\0", text.as_bytes(), b"\xff"].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| [b"\0", &bytes[..], b"\xff"].concat()),
        1 => prop::collection::vec(0x80_u8..=0xff, 0..4),
        1 => (any::<u8>(), 0_u8..8, any::<u8>()).prop_map(|(kind, length, byte)| {
            let mut frame = vec![kind, length];
            frame.extend(std::iter::repeat_n(byte, usize::from(length)));
            frame
        }),
        1 => Just(b"\xff\x00".to_vec()),
    ];
    let hybi_frame = prop_oneof![
        8 => "[a-zé€😀\\x00]{0,12}".prop_map(|said| hybi::text(&said)),
        2 => (prop::sample::select(&[0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x89, 0x8a][..]), "[a-zé]{0,5}")
            .prop_map(|(first, payload)| hybi::frame(first, payload.as_bytes())),
        1 => "[a-z]{0,5}".prop_map(|reason| hybi::frame(0x88, &[b"\x03\xe8", reason.as_bytes()].concat())),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop_oneof![
        2 => prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat()),
        1 => prop::collection::vec(hybi_frame, 0..12).prop_map(|frames| frames.concat()),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just([&head76("")[..], KEY3].concat()),
        2 => Just(head75("")),
        4 => prop::sample::select(&[7, 8, 13][..]).prop_map(|version| head_hybi(version, "")),
        1 => Just(b"<policy-file-request/>\0".to_vec()),
        1 => "[ -~]{0,40}".prop_map(|value| head76(&format!("Cookie: {value}\r\n"))),
        1 => (0_usize..30).prop_map(|length| {
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes()
        }),
        2 => chunks().prop_map(|chunks| {
            [b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &chunks[..]].concat()
        }),
        1 => Just(
            b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"
                .to_vec()
        ),
        1 => Just(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD http://a HTTP/1.0\r\n\r\n".to_vec()),
        1 => "[\\[\\]:%a0-9]{0,9}".prop_map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()),
        1 => "[ -~]{0,40}".prop_map(|value| head76(&format!("Forwarded: for={value}\r\n"))),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

/// A body in chunks, most of them with the right size.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let extension = prop_oneof![3 => Just(String::new()), 1 => "( ?;[ -~]{0,8})?"];
    let wrong = prop_oneof![9 => Just(0_usize), 1 => 1_usize..3];
    let chunk = ("[a-z\\r\\n\\x00]{1,12}", extension, wrong)
        .prop_map(|(data, extension, wrong)| format!("{:x}{extension}\r\n{data}\r\n", data.len() + wrong));
    let trailers = prop_oneof![3 => Just(String::new()), 1 => "(a: [ -~]{0,8}\r\n){1,3}"];
    (prop::collection::vec(chunk, 0..5), trailers)
        .prop_map(|(chunks, trailers)| [&chunks.concat(), "0\r\n", &trailers, "\r\n"].concat().into_bytes())
}

fn options() -> impl Strategy<Value = Options> {
    (any::<[bool; 6]>(), 1_usize..40).prop_map(|([skip, authorise, echo, policy, trust, pass], max)| {
        Options {
            trust_forwarded: trust,
            skip_reserved_frames: skip,
            authorise,
            pass_through: pass,
            protocols: Protocol::ALL.into_iter().filter(|it| !pass || *it != Protocol::Rfc6455).collect(),
            echo,
            health_path: Some("/healthz".into()),
            flash_policy: policy.then(|| "<cross-domain-policy/>".into()),
            limits: Limits { max_message_bytes: max, ..Limits::default() },
            ..Options::default()
        }
    })
}

/// Feeds the input in the given pieces to an application that accepts everything.
fn run(options: &Options, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut driver = Driver::new(options.clone());
    let mut rest = input;
    for cut in cuts.iter().copied().chain([usize::MAX]) {
        let (part, later) = rest.split_at(cut.min(rest.len()));
        rest = later;
        let told = driver.events.len();
        driver.receive_and_answer(part, |driver| answer_all(driver, told));
    }
    outcome(driver)
}

/// Events, what was written, the end, and what was given back.
type Outcome = (Vec<String>, (Vec<u8>, Vec<u8>), Option<String>, Option<Vec<u8>>);

fn outcome(driver: Driver) -> Outcome {
    (driver.events, pongs_apart(&driver.bytes), driver.end, driver.passed)
}

/// Takes up to `share` events off the input, and defers the rest. Returns the number of bytes consumed.
fn receive_some(driver: &mut Driver, input: &[u8], share: usize) -> usize {
    if let Some(passed) = &mut driver.passed {
        passed.extend_from_slice(input);
        return input.len();
    }
    let told = driver.events.len();
    let mut events = driver.server.receive(ID, input);
    for _ in 0..share {
        driver.events.extend(events.next().map(|event| support::show(&event)));
    }
    let rest = events.stop();
    answer_all(driver, told);
    input.len() - rest.len()
}

/// Echoes each message, and accepts every request and handshake.
fn answer_all(driver: &mut Driver, mut told: usize) {
    loop {
        for event in driver.events.split_off(told) {
            if let Some(text) = event.strip_prefix("message ") {
                driver
                    .server
                    .send(ID, text)
                    .expect("a message can be answered, even if the peer ends behind it");
            }
            driver.events.push(event);
        }
        told = driver.events.len();
        // A pipelined request is reported once the one before it has been answered.
        let accepted = driver.server.accept(ID, None, &[]);
        let answered = driver.server.respond(ID, 200, &[], b"ok");
        driver.drain();
        if answered.is_err() && accepted.is_err() {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_chunking_gives_the_same_events_and_bytes(
        options in options(),
        request in request(),
        frames in frames(),
        cuts in prop::collection::vec(0_usize..50, 0..20),
    ) {
        let input = [request, frames].concat();
        let whole = run(&options, &input, &[]);
        prop_assert_eq!(&run(&options, &input, &cuts), &whole);
        prop_assert_eq!(&run(&options, &input, &vec![1; input.len()]), &whole);
    }

    #[test]
    fn take_messages_gives_the_same_messages_as_the_events(
        options in options(),
        head in prop::sample::select(vec![head75(""), head_hybi(13, "")]),
        parts in prop::collection::vec(frames(), 0..6),
        cut in 0_usize..4,
    ) {
        let mut one_by_one = Driver::new(options.clone());
        let mut at_once = Driver::new(options);
        let parts = [vec![head], parts].concat();
        let input = parts.concat();
        let cut = input.len().saturating_sub(cut);
        for part in [&input[..cut], &input[cut..]] {
            for driver in [&mut one_by_one, &mut at_once] {
                driver.server.advance(0);
            }
            let expected: Vec<_> = one_by_one.server.receive(ID, part).map(|event| support::show(&event)).collect();
            prop_assert_eq!(support::receive_at_once(&mut at_once.server, part), expected);
            one_by_one.drain();
            at_once.drain();
            prop_assert_eq!(&one_by_one.bytes, &at_once.bytes);
            prop_assert_eq!(one_by_one.server.counts(), at_once.server.counts());
        }
    }

    #[test]
    fn a_bounded_turn_gives_the_same_events_and_bytes(
        options in options(),
        request in request(),
        frames in frames(),
        share in 1_usize..6,
        cut in 0_usize..80,
    ) {
        let input = [request, frames].concat();
        let mut driver = Driver::new(options.clone());
        driver.server.set_bounded(true);
        let (first, second) = input.split_at(cut.min(input.len()));
        for part in [first, second] {
            driver.server.advance(0);
            let taken = receive_some(&mut driver, part, share);
            driver.server.defer(ID, &part[taken..]);
        }
        while let Some(mut deferred) = driver.server.take_deferred() {
            driver.server.advance(0);
            let taken = receive_some(&mut driver, deferred.bytes(), share);
            deferred.consume(taken);
            driver.server.put_back(deferred);
        }
        driver.server.advance(0);
        driver.drain();
        prop_assert_eq!(outcome(driver), run(&options, &input, &[]));
    }

    #[test]
    fn nothing_follows_our_closing_handshake(frames in frames(), at in 0_usize..8, more in frames()) {
        let mut driver = Driver::new(Options { echo: true, skip_reserved_frames: true, ..Options::default() });
        driver.receive(&head76(""));
        driver.receive(KEY3);
        let start = driver.bytes.len();
        let (before, after) = frames.split_at(at.min(frames.len()));
        driver.receive(before);
        let _ = driver.server.close(ID);
        driver.drain();
        let _ = driver.server.send(ID, "late");
        driver.server.broadcast("late", None);
        driver.receive(after);
        driver.receive(&more);
        let sent = &driver.bytes[start..];
        let closing = sent.windows(2).position(|pair| pair == [0xff, 0x00] || pair == [0x00, 0x00]);
        // FF 00 also occurs between two messages (FF | 00 text), so look frame by frame.
        let mut rest = sent;
        while let [0x00, text @ ..] = rest {
            let end = text.iter().position(|byte| *byte == 0xff).expect("a whole frame");
            rest = &text[end + 1..];
        }
        prop_assert!(rest.is_empty() || rest == [0xff, 0x00], "{:?} {:?}", closing, rest);
    }

    #[test]
    fn every_connection_ends_once_and_is_silent_afterwards(
        steps in prop::collection::vec((0_u64..4, 0_u8..10, request(), frames()), 1..60),
        idle in 0_u64..100,
        pass_through: bool,
    ) {
        let limits = Limits {
            max_message_bytes: 64,
            max_buffered_bytes: 64,
            idle_timeout: idle,
            ..Limits::default()
        };
        let mut server = Server::new(Options { limits, pass_through, ..Options::default() }).unwrap();
        let mut log = Log::default();
        let mut now = 0;
        for (id, what, request, frames) in steps {
            let id = ConnectionId(id);
            match what {
                0 | 1 => drop(server.open(id, Peer::default())),
                2 | 3 => log.events(server.receive(id, &request)),
                4 | 5 => log.events(server.receive(id, &frames)),
                6 => drop(server.close(id)),
                7 => drop(server.broadcast("all", Some(id))),
                8 => server.receive_eof(id),
                _ if id.0 == 0 => server.lost(id, Loss::Reset),
                _ => {
                    now = server.poll_timeout().unwrap_or(now);
                    server.advance(now);
                }
            }
            log.drain(&mut server);
            let reached = server.connections().filter(|connection| connection.can_send());
            prop_assert_eq!(reached.map(|connection| connection.id()).collect::<BTreeSet<_>>(),
                log.joined.iter().copied().collect::<BTreeSet<_>>());
            prop_assert!(server.counts().buffered_bytes <= 64);
            prop_assert_eq!(server.counts().open, log.open.len());
        }
        server.shutdown();
        while let Some(at) = server.poll_timeout() {
            server.advance(at);
        }
        log.drain(&mut server);
        prop_assert_eq!(log.open.len(), 0);
        let counts = server.counts();
        prop_assert_eq!((counts.connected, counts.buffered_bytes), (ConnectedCounts::default(), 0));
    }
}

/// More messages than are validated together, long ones between short ones, and invalid text at the very end.
#[test]
fn take_messages_gives_the_same_messages_for_many_messages() {
    let texts = (0..3000_usize).map(|number| match number % 500 {
        499 => "long é".repeat(number),
        _ => "€uro ".repeat(number % 7),
    });
    let mut input: Vec<u8> = texts.flat_map(|text| [b"\0", text.as_bytes(), b"\xff"].concat()).collect();
    for last in [
        &b""[..],
        b"\0\xc3\xff\0\xa9\xff",
        b"\0\xe2\x82\xff",
        &[&b"\0\x80"[..], &[b'x'; 100], b"\xff"].concat(),
    ] {
        input.extend(last);
        let mut drivers = [(); 2].map(|()| Driver::new(Options::default()));
        for driver in &mut drivers {
            driver.receive(&head75(""));
        }
        let [one_by_one, at_once] = &mut drivers;
        let expected: Vec<_> =
            one_by_one.server.receive(ID, &input).map(|event| support::show(&event)).collect();
        assert!(support::receive_at_once(&mut at_once.server, &input) == expected);
        assert!(expected.len() >= 3000);
    }
}

/// Checks the order of each connection's events and transmissions. An id may be opened again once it has ended.
#[derive(Default)]
struct Log {
    open: Vec<ConnectionId>,
    /// The members of a broadcast.
    joined: Vec<ConnectionId>,
    finished: Vec<ConnectionId>,
}

impl Log {
    fn events<'i>(&mut self, events: impl Iterator<Item = Event<'i>>) {
        for event in events {
            match event {
                Event::StateChanged { connection, old: legacy_websocket::State::Unknown, .. } => {
                    assert!(!self.open.contains(&connection));
                    self.open.push(connection);
                }
                Event::Closed { connection, .. } => {
                    assert!(self.open.contains(&connection), "closed twice");
                    self.open.retain(|open| *open != connection);
                    self.finished.push(connection);
                }
                Event::Passed { connection, .. } => {
                    assert!(self.open.contains(&connection), "given back twice");
                    self.open.retain(|open| *open != connection);
                }
                Event::StateChanged { connection, .. }
                | Event::Message { connection, .. }
                | Event::Connected { connection, .. }
                | Event::Rejected { connection, .. }
                | Event::Request { connection, .. } => assert!(self.open.contains(&connection)),
                _ => {}
            }
        }
    }

    fn drain(&mut self, server: &mut Server) {
        self.events(std::iter::from_fn(|| server.poll_event()));
        while let Some(transmission) = server.poll_transmit() {
            let to = match transmission.to {
                Destination::One(id) => vec![id],
                Destination::Many(ids) => ids,
                Destination::All => self.joined.clone(),
                Destination::AllBut(but) => self.joined.iter().copied().filter(|id| *id != but).collect(),
            };
            for id in to {
                match transmission.then {
                    Disposition::Join => {
                        assert!(!self.joined.contains(&id), "joined twice");
                        self.joined.push(id);
                    }
                    Disposition::Leave => {
                        assert!(self.joined.contains(&id), "left without having joined");
                        self.joined.retain(|joined| *joined != id);
                    }
                    then if then.is_end() => self.joined.retain(|joined| *joined != id),
                    _ => {}
                }
                let ended = transmission.then.is_end();
                assert!(self.open.contains(&id) || self.finished.contains(&id));
                if ended {
                    self.finished.retain(|finished| *finished != id);
                }
            }
        }
        assert!(self.finished.is_empty(), "closed, but the socket was not ended");
    }
}
