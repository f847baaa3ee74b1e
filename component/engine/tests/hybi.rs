//! A session of hybi or RFC 6455 as a client sees it: frames in, events and frames out.

mod support;

use std::hint::black_box;
use std::time::Instant;

use legacy_websocket::hybi::{CloseCode, Event, Session, Version};
use legacy_websocket::{FrameError, Limits, Misuse, Options};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::hybi::{Run, differ, frame, run, text};
use support::{Driver, head_hybi};

const MAX: usize = 1 << 20;

/// The same at every chunking.
fn read(bytes: &[u8]) -> Run {
    read_within(MAX, bytes)
}

fn read_within(max: usize, bytes: &[u8]) -> Run {
    let whole = run(bytes, usize::MAX, max, false);
    for chunk in (1..bytes.len()).take(40) {
        for fast in [false, true] {
            assert_eq!(run(bytes, chunk, max, fast), whole, "{chunk} bytes a read");
        }
    }
    assert_eq!(run(bytes, usize::MAX, max, true), whole);
    whole
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let run = read(bytes);
    assert_eq!(run.error, None);
    run.events
}

/// Which error, and which code our close frame has.
fn refusal(bytes: &[u8]) -> (FrameError, u16) {
    refusal_within(MAX, bytes)
}

fn refusal_within(max: usize, bytes: &[u8]) -> (FrameError, u16) {
    let run = read_within(max, bytes);
    let [.., 0x88, 2, high, low] = run.out[..] else { panic!("{:x?}", run.out) };
    (run.error.unwrap(), u16::from_be_bytes([high, low]))
}

fn said(text: &str) -> Event {
    Event::Text(text.into())
}

fn session() -> (Session, Vec<u8>) {
    (Session::new(Version::V13, MAX), Vec::new())
}

#[test]
fn the_rfcs_examples_of_frames() {
    let single = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(events(single), [said("Hello")]);
    assert_eq!(events(&[frame(0x01, b"Hel"), frame(0x80, b"lo")].concat()), [said("Hello")]);
    assert_eq!(events(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [Event::Pong(b"Hello".into())]);
    for length in [256, 65_536] {
        assert_eq!(events(&frame(0x82, &vec![7; length])), [Event::Binary(vec![7; length])]);
    }
}

#[test]
fn messages_of_any_length_arrive() {
    for length in [0, 1, 3, 125, 126, 511, 512, 513, 4095, 4097, 65_535, 65_536, 100_000] {
        let long = "é".repeat(length / 2) + &"a".repeat(length % 2);
        assert_eq!(events(&[text(&long), text("b")].concat()), [said(&long), said("b")], "{length}");
    }
}

#[test]
fn a_ping_is_answered_at_once_even_between_fragments() {
    let run = read(&[frame(0x01, b"a"), frame(0x89, b"?"), frame(0x8a, b""), frame(0x80, b"b")].concat());
    assert_eq!(run.events, [Event::Ping(b"?".into()), Event::Pong(Vec::new()), said("ab")]);
    assert_eq!(run.out, b"\x8a\x01?");
}

#[test]
fn fragments_may_cut_a_character_and_be_empty() {
    let bytes = "€😀".as_bytes();
    let mut frames = frame(0x01, b"");
    for byte in bytes {
        frames.extend(frame(0x00, &[*byte]));
    }
    frames.extend(frame(0x80, b""));
    assert_eq!(events(&frames), [said("€😀")]);
}

#[test]
fn what_the_protocol_does_not_allow_is_a_protocol_error() {
    for (bytes, error) in [
        (b"\x81\x05Hello".to_vec(), FrameError::Unmasked),
        (frame(0xc1, b"a"), FrameError::ReservedBit),
        (frame(0xa1, b"a"), FrameError::ReservedBit),
        (frame(0x91, b"a"), FrameError::ReservedBit),
        (frame(0x83, b""), FrameError::ReservedOpcode(3)),
        (frame(0x8b, b""), FrameError::ReservedOpcode(11)),
        (frame(0x09, b""), FrameError::FragmentedControl),
        (frame(0x08, b""), FrameError::FragmentedControl),
        (frame(0x89, &[0; 126]), FrameError::LongControl),
        (b"\x81\xfe\x00\x01".to_vec(), FrameError::LongLength),
        (frame(0x80, b"a"), FrameError::NothingToContinue),
        (frame(0x00, b"a"), FrameError::NothingToContinue),
        ([frame(0x01, b"a"), text("b")].concat(), FrameError::Interleaved),
        ([frame(0x02, b"a"), frame(0x02, b"b")].concat(), FrameError::Interleaved),
        (frame(0x88, b"\x03"), FrameError::HalfCloseCode),
        (frame(0x88, b"\x03\xed"), FrameError::CloseCode(1005)),
    ] {
        assert_eq!(refusal(&bytes), (error, 1002));
        let behind = read(&[text("a"), bytes, text("b")].concat());
        assert_eq!((behind.events, behind.error), (vec![said("a")], Some(error)));
    }
}

#[test]
fn text_is_refused_at_the_first_byte_that_cannot_be_utf8() {
    let invalid = [b"ab\xe2\x82", &b"\xff"[..], &[b'c'; 1000]].concat();
    let whole = frame(0x81, &invalid);
    for end in 11..whole.len() {
        let run = run(&whole[..end], 1, MAX, false);
        // A header of 8 bytes, and the fifth of the payload.
        assert_eq!(run.error, (end > 12).then_some(FrameError::NotUtf8), "{end}");
    }
    assert_eq!(refusal(&whole), (FrameError::NotUtf8, 1007));
    assert_eq!(refusal(&frame(0x81, b"a\xe2\x82")), (FrameError::NotUtf8, 1007));
    assert_eq!(refusal(&[frame(0x01, b"\xe2"), frame(0x80, b"a")].concat()), (FrameError::NotUtf8, 1007));
    assert_eq!(refusal(&frame(0x88, b"\x03\xe8\xff")), (FrameError::NotUtf8, 1007));
    assert_eq!(events(&frame(0x82, b"\xff")), [Event::Binary(b"\xff".into())]);
}

#[test]
fn texts_that_are_valid_only_together_are_not() {
    for frames in [[frame(0x81, b"a\xe2"), frame(0x81, b"\x82\xacb")], [frame(0x81, b"\xf0\x9f"), text("b")]]
    {
        assert_eq!(refusal(&[text("x"), frames.concat()].concat()), (FrameError::NotUtf8, 1007));
    }
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    assert_eq!(read_within(5, &text("Hello")).events, [said("Hello")]);
    assert_eq!(refusal_within(5, &text("Hello!")[..2]), (FrameError::TooLong, 1009));
    let fragments = [frame(0x02, b"abc"), frame(0x00, b"de"), frame(0x80, b"")].concat();
    assert_eq!(read_within(5, &fragments).events, [Event::Binary(b"abcde".into())]);
    let long = [frame(0x02, b"abc"), frame(0x80, b"def")].concat();
    assert_eq!(refusal_within(5, &long[..long.len() - 7]), (FrameError::TooLong, 1009));
    // Half a character counts.
    let cut = [frame(0x01, b"ab\xe2\x82"), frame(0x00, b"\xac")].concat();
    assert_eq!(refusal_within(4, &cut), (FrameError::TooLong, 1009));
    assert_eq!(refusal(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), (FrameError::TooLong, 1009));
    // Control frames are no messages.
    assert_eq!(read_within(5, &frame(0x89, &[0; 125])).events, [Event::Ping(vec![0; 125])]);
}

#[test]
fn only_what_is_incomplete_is_held_and_within_its_room() {
    for first in [0x81, 0x82] {
        let (mut session, mut out) = session();
        let bytes = [frame(first, &[b'a'; 1000]), frame(first, &[b'b'; 1000])].concat();
        let mut input = &bytes[..1900];
        assert!(session.receive(&mut input, 900, &mut out).unwrap().is_some());
        assert_eq!((session.held(), session.is_between_messages()), (0, true));
        assert_eq!(session.receive(&mut input, 900, &mut out), Ok(None));
        assert!((884..=900).contains(&session.held()) && !session.is_between_messages());
        // The last part completes it, and nothing more is held.
        assert!(session.receive(&mut &bytes[1900..], 900, &mut out).unwrap().is_some());
        assert_eq!(session.held(), 0);
        let mut input = &bytes[..910];
        assert_eq!(session.receive(&mut input, 900, &mut out), Err(FrameError::NoRoom));
        assert_eq!((session.held(), session.can_send()), (0, true));
        // A whole fragment is not a whole message.
        let mut session = Session::new(Version::V13, MAX);
        let fragment = frame(first & 0x0f, &[b'a'; 901]);
        assert_eq!(session.receive(&mut &fragment[..], 900, &mut out), Err(FrameError::NoRoom));
        // What a control frame holds comes on top of the message that it is in.
        let mut session = Session::new(Version::V13, MAX);
        let bytes = [frame(first & 0x0f, &[b'a'; 850]), frame(0x89, &[0; 100])].concat();
        assert_eq!(session.receive(&mut &bytes[..bytes.len() - 40], 900, &mut out), Err(FrameError::NoRoom));
    }
}

#[test]
fn the_peers_close_is_answered_with_its_code_and_nothing_behind_it_is_read() {
    for (payload, code, reason, answer) in [
        (&b"\x0f\xa0bye"[..], CloseCode::new(4000), "bye", &b"\x88\x02\x0f\xa0"[..]),
        (b"\x03\xe8", Some(CloseCode::NORMAL), "", b"\x88\x02\x03\xe8"),
        (b"", None, "", b"\x88\x00"),
    ] {
        let run = read(&[text("a"), frame(0x88, payload), text("b"), vec![0xff]].concat());
        assert_eq!(run.events, [said("a"), Event::Close { code, reason: reason.into() }]);
        assert_eq!((run.error, &run.out[..]), (None, answer));
    }
}

#[test]
fn an_answer_can_be_sent_before_the_close_frame_that_is_owed_but_not_behind_it() {
    let (mut session, mut out) = session();
    let bytes = frame(0x88, b"\x03\xe9");
    session.receive(&mut &bytes[..], MAX, &mut out).unwrap();
    assert!(out.is_empty() && session.can_send() && !session.is_closed());
    session.send_text("late", &mut out).unwrap();
    // The peer's code counts.
    session.close(CloseCode::POLICY_VIOLATION, "", &mut out);
    assert_eq!(out, b"\x81\x04late\x88\x02\x03\xe9");
    assert!(session.is_closed());
    session.finish(&mut out);
    session.close(CloseCode::NORMAL, "", &mut out);
    assert_eq!(session.send_text("a", &mut out), Err(Misuse::WrongState));
    assert_eq!(session.send_binary(b"a", &mut out), Err(Misuse::WrongState));
    assert_eq!(session.send_ping(b"a", &mut out), Err(Misuse::WrongState));
    assert_eq!(out.len(), 10);
}

#[test]
fn after_our_close_messages_still_arrive_and_nothing_is_sent() {
    let (mut session, mut out) = session();
    session.close(CloseCode::GOING_AWAY, "bye", &mut out);
    assert_eq!(out, b"\x88\x05\x03\xe9bye");
    out.clear();
    let bytes = [text("a"), frame(0x89, b"?"), frame(0x88, b"\x03\xe9"), text("b")].concat();
    let mut input = &bytes[..];
    let mut events = Vec::new();
    while let Some(event) = session.receive(&mut input, MAX, &mut out).unwrap() {
        assert_eq!(session.is_closed(), matches!(event, Event::Close { .. }));
        events.push(event);
    }
    let close = Event::Close { code: Some(CloseCode::GOING_AWAY), reason: String::new() };
    assert_eq!(events, [said("a"), Event::Ping(b"?".into()), close]);
    session.finish(&mut out);
    assert!(out.is_empty() && !session.can_send());
}

#[test]
fn an_error_after_our_close_needs_no_other() {
    let (mut session, mut out) = session();
    session.close(CloseCode::NORMAL, "", &mut out);
    out.clear();
    assert_eq!(session.receive(&mut &b"\xff"[..], MAX, &mut out), Err(FrameError::ReservedBit));
    session.finish(&mut out);
    assert!(out.is_empty() && session.is_closed());
}

#[test]
fn a_ping_of_ours_fits_a_control_frame() {
    let (mut session, mut out) = session();
    assert_eq!(session.send_ping(&[0; 126], &mut out), Err(Misuse::Invalid));
    session.send_ping(b"now", &mut out).unwrap();
    assert_eq!(out, b"\x89\x03now");
}

#[test]
fn clients_of_the_drafts_have_other_close_codes() {
    let bytes = frame(0x88, b"\x03\xec");
    for version in [Version::V7, Version::V8] {
        let mut out = Vec::new();
        let mut session = Session::new(version, MAX);
        let event = session.receive(&mut &bytes[..], MAX, &mut out).unwrap();
        assert!(matches!(event, Some(Event::Close { code: Some(code), .. }) if code.number() == 1004));
        session.finish(&mut out);
        assert_eq!(out, bytes_of_answer(1004));
    }
    assert_eq!(refusal(&bytes), (FrameError::CloseCode(1004), 1002));
}

fn bytes_of_answer(code: u16) -> Vec<u8> {
    [b"\x88\x02", &code.to_be_bytes()[..]].concat()
}

/// `cargo test --release -p legacy-websocket --test hybi reading_speed -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn reading_speed() {
    const TOTAL: usize = 256 << 20;
    for (letter, length) in
        [("a", 20), ("a", 120), ("é", 60), ("a", 2000), ("a", 60_000), ("é", 30_000), ("a", 1_000_000)]
    {
        let message = letter.repeat(length);
        let count = (65_536 / (message.len() + 8)).max(1);
        let bytes = text(&message).repeat(count);
        for fast in [true, false] {
            let (mut session, mut out) = session();
            let (mut scratch, mut texts, mut ends) = (Vec::new(), String::new(), Vec::new());
            let rounds = TOTAL / bytes.len();
            let start = Instant::now();
            for _ in 0..rounds {
                for mut input in bytes.chunks(65_536) {
                    if fast {
                        texts.clear();
                        ends.clear();
                        session.take_texts(&mut input, usize::MAX, &mut scratch, &mut texts, &mut ends);
                    }
                    while let Some(event) = session.receive(&mut input, MAX, &mut out).unwrap() {
                        black_box(event);
                    }
                }
            }
            let seconds = start.elapsed().as_secs_f64();
            let (megabytes, millions) = ((rounds * bytes.len()) as f64 / 1e6, (rounds * count) as f64 / 1e6);
            println!(
                "{:>8} bytes of {letter:?}, {}: {:>6.0} MB/s, {:>6.2} million messages/s",
                message.len(),
                if fast { "together " } else { "one by one" },
                megabytes / seconds,
                millions / seconds
            );
        }
    }
}

/// Frames that are likely to get somewhere.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let any_text = "[a-zé€😀\\x00]{0,40}";
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let code = prop_oneof![Just(1000_u16), 995_u16..1020, 2998_u16..3002, any::<u16>()];
    let frame = prop_oneof![
        12 => any_text.prop_map(|said| text(&said)),
        2 => (130_usize..700).prop_map(|length| text(&"é".repeat(length))),
        4 => (any_text, 0_usize..40, bytes()).prop_map(|(said, cut, ping)| {
            let (start, end) = said.as_bytes().split_at(cut.min(said.len()));
            [frame(0x01, start), frame(0x89, &ping), frame(0x80, end)].concat()
        }),
        2 => bytes().prop_map(|bytes| frame(0x81, &bytes)),
        2 => bytes().prop_map(|bytes| frame(0x01, &bytes)),
        2 => bytes().prop_map(|bytes| frame(0x00, &bytes)),
        2 => bytes().prop_map(|bytes| frame(0x80, &bytes)),
        4 => bytes().prop_map(|bytes| frame(0x82, &bytes)),
        4 => bytes().prop_map(|bytes| frame(0x8a, &bytes)),
        1 => (code, "[a-zé]{0,9}").prop_map(|(code, reason)| {
            frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
        }),
        1 => bytes().prop_map(|bytes| frame(0x88, &bytes)),
        1 => (any::<u8>(), bytes()).prop_map(|(first, bytes)| frame(first, &bytes)),
        1 => bytes(),
    ];
    prop::collection::vec(frame, 0..14).prop_map(|frames| frames.concat())
}

fn show_message(event: &Event) -> Option<String> {
    match event {
        Event::Text(text) => Some(format!("message {text:?}")),
        Event::Binary(bytes) => Some(format!("binary {}", bytes.escape_ascii())),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(6455), ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same(bytes in frames(), chunk in 1_usize..40, max in 1_usize..2000) {
        let whole = run(&bytes, usize::MAX, max, false);
        for (chunk, fast) in [(chunk, false), (chunk, true), (usize::MAX, true), (1, false)] {
            prop_assert_eq!(&run(&bytes, chunk, max, fast), &whole);
        }
    }

    #[test]
    fn a_server_does_as_a_session_whatever_the_chunking(bytes in frames(), chunk in 1_usize..40, max in 1_usize..2000) {
        let alone = run(&bytes, usize::MAX, max, false);
        let limits = Limits { max_message_bytes: max, ..Limits::default() };
        for chunk in [chunk, usize::MAX] {
            let mut driver = Driver::new(Options { limits, ..Options::default() });
            driver.receive(&head_hybi(13, ""));
            driver.bytes.clear();
            driver.events.clear();
            bytes.chunks(chunk).for_each(|part| driver.receive(part));
            prop_assert_eq!(&driver.bytes, &alone.out);
            let messages: Vec<_> = alone.events.iter().filter_map(show_message).collect();
            let news = driver.events.iter().filter(|event| event.starts_with("message") || event.starts_with("binary"));
            prop_assert!(news.eq(&messages), "{:?} {:?}", driver.events, messages);
            let ended = alone.error.is_some() || matches!(alone.events.last(), Some(Event::Close { .. }));
            prop_assert_eq!(driver.end.is_some(), ended);
            prop_assert!(driver.server.counts().buffered_bytes <= max + 125);
        }
    }

    #[test]
    fn what_may_have_to_be_held_is_an_upper_bound(bytes in frames(), cut in any::<prop::sample::Index>()) {
        let (mut session, mut out) = session();
        let cut = cut.index(bytes.len() + 1);
        for mut part in [&bytes[..cut], &bytes[cut..]] {
            let bound = session.held() + session.may_hold(part);
            while let Ok(Some(_)) = session.receive(&mut part, MAX, &mut out) {}
            // A buffer that grows has a quarter to spare.
            prop_assert!(session.held() <= bound + bound / 4, "{} {}", session.held(), bound);
        }
    }

    #[test]
    fn another_implementation_reads_the_same(bytes in frames(), max in 1_usize..2000) {
        differ(&bytes, max);
    }
}
