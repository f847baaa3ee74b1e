//! Drives a session of hybi or RFC 6455, and another implementation beside it.

use std::io::{self, Read, Write};

use legacy_websocket::FrameError;
use legacy_websocket::hybi::{CloseCode, Event, Session, Version};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: its first byte, a length in the shortest form, the payload masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => vec![first, 0x80 | length],
        (_, Ok(length)) => [&[first, 0xfe][..], &length.to_be_bytes()].concat(),
        _ => [&[first, 0xff][..], &(length as u64).to_be_bytes()].concat(),
    };
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A client's text message in one frame.
pub fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// What a server wrote, without the pongs behind a 101 of RFC 6455, and those: a ping is answered when it is read, an
/// application answers when all of a read has been, so their order depends on how the bytes were split.
pub fn pongs_apart(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let find = |from: usize, what: &[u8]| {
        bytes[from..].windows(what.len()).position(|window| window == what).map(|at| from + at + what.len())
    };
    let head = find(0, b"HTTP/1.1 101 Switching Protocols").and_then(|at| find(at, b"\r\n\r\n"));
    let (head, mut rest) = bytes.split_at(head.unwrap_or(bytes.len()));
    let (mut others, mut pongs) = (head.to_vec(), Vec::new());
    while let [first, length, ..] = *rest {
        let length = match length {
            126 => 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])),
            length => 2 + usize::from(length),
        };
        let (frame, behind) = rest.split_at(length);
        if first == 0x8a { &mut pongs } else { &mut others }.extend(frame);
        rest = behind;
    }
    (others, pongs)
}

/// What came of a client's frames.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub events: Vec<Event>,
    pub error: Option<FrameError>,
    /// What the session wrote.
    pub out: Vec<u8>,
}

/// Reads frames in pieces of `chunk` bytes; with `fast`, takes what texts it can at once.
pub fn run(bytes: &[u8], chunk: usize, max_message_bytes: usize, fast: bool) -> Run {
    let mut session = Session::new(Version::V13, max_message_bytes);
    let mut run = Run { events: Vec::new(), error: None, out: Vec::new() };
    let mut scratch = Vec::new();
    for mut input in bytes.chunks(chunk) {
        let mut retry = fast;
        loop {
            if retry {
                let (mut text, mut ends) = (String::new(), Vec::new());
                retry = session.take_texts(&mut input, 3, &mut scratch, &mut text, &mut ends);
                let starts = std::iter::once(0).chain(ends.iter().copied());
                run.events.extend(
                    starts
                        .zip(&ends)
                        .map(|(start, end)| Event::Text(text[start as usize..*end as usize].into())),
                );
            }
            match session.receive(&mut input, usize::MAX, &mut run.out) {
                Ok(Some(event)) => run.events.push(event),
                Ok(None) => break,
                Err(error) => run.error = Some(error),
            }
        }
        assert!(input.is_empty());
    }
    session.finish(&mut run.out);
    run
}

/// Compares our reading with tungstenite's. It reads whole frames only, so we may refuse one that it still waits for;
/// then it refuses it when it has come.
///
/// We are stricter in one way: lengths must be in their shortest form, which for a control frame is one byte. And we
/// know close code 1014, which tungstenite does not.
pub fn differ(bytes: &[u8], max_message_bytes: usize) {
    let ours = run(bytes, usize::MAX, max_message_bytes, false);
    let (events, end) = read_with_tungstenite(bytes, max_message_bytes);
    if let Some((Event::Close { code: Some(code), .. }, before)) = ours.events.split_last()
        && code.number() == 1014
    {
        assert_eq!((before, End::Refused), (events.as_slice(), end), "{ours:?}");
        return;
    }
    match ours.error {
        Some(FrameError::LongLength | FrameError::LongControl) => {
            assert!(events.starts_with(&ours.events), "{ours:?} {events:?}");
            return;
        }
        Some(_) if end == End::Open => {
            let more = [bytes, &vec![0; max_message_bytes + 200]].concat();
            let (events, end) = read_with_tungstenite(&more, max_message_bytes);
            assert_eq!((&ours.events, End::Refused), (&events, end), "{ours:?}");
        }
        _ => {}
    }
    assert_eq!(ours.events, events);
    let closed = matches!(events.last(), Some(Event::Close { .. }));
    match end {
        End::Closed => assert!(closed && ours.error.is_none(), "{ours:?}"),
        End::Refused => assert!(ours.error.is_some(), "{ours:?}"),
        End::Open => assert!(!closed),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Open,
    Closed,
    Refused,
}

/// At the end of its input.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_with_tungstenite(bytes: &[u8], max_message_bytes: usize) -> (Vec<Event>, End) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes.max(125)));
    let mut socket = WebSocket::from_partially_read(Nothing, bytes.into(), Role::Server, Some(config));
    let mut events = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => events.push(Event::Text(text.as_str().into())),
            Ok(Message::Binary(bytes)) => events.push(Event::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => events.push(Event::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => events.push(Event::Pong(bytes.to_vec())),
            Ok(Message::Close(None)) => {
                events.push(Event::Close { code: None, reason: String::new() });
                return (events, End::Closed);
            }
            // What it says if the peer's code is not allowed.
            Ok(Message::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                return (events, End::Refused);
            }
            Ok(Message::Close(Some(close))) => {
                let code = CloseCode::new(close.code.into());
                events.push(Event::Close { code, reason: close.reason.as_str().into() });
                return (events, End::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("only for writing"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (events, End::Open),
            Err(_) => return (events, End::Refused),
        }
    }
}
