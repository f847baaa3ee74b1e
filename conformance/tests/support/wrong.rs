//! Deliberately wrong engines: the right one behind a wrapper that introduces a bug. Each is a bug that a server of
//! the time had (see the notes of the cases that find it).

mod frames;

use std::collections::HashMap;

use conformance::subject::{Command, Input, Native, Step, Subject, Then, Write};
use legacy_websocket::Options;
use legacy_websocket_trace::Framer;
use md5::{Digest, Md5};

/// The bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The 101 waits for key3.
    AnswersLate,
    /// key3 must arrive in the same read as the end of the head.
    WantsKey3AtOnce,
    /// White space around key3 is stripped.
    TrimsKey3,
    /// White space around field values is stripped.
    TrimsKeys,
    /// A part over 32 bits loses its upper bits.
    WrapsParts,
    /// A key without spaces is divided by 1.
    DividesByOne,
    /// The remainder of the division is ignored.
    IgnoresRemainders,
    /// The first key received is taken as Key1.
    TakesKeysByOrder,
    /// Connection must be exactly "Upgrade".
    WantsConnectionAlone,
    /// Fields of later protocols are ignored.
    IgnoresLaterProtocols,
    /// Upgrade: websocket.
    WritesUpgradeInLowerCase,
    /// The location ends before the query.
    LosesQueries,
    /// The location contains Host as received.
    KeepsDefaultPorts,
    /// A subprotocol is named although none was requested.
    NamesUnaskedSubprotocols,
    /// The first item of what looks like a list of subprotocols is named.
    SplitsSubprotocols,
    /// Draft 75 gets draft 76's status line.
    MixesStatusLines,
    /// The closing frame is not answered.
    NeverAnswersClosing,
    /// Draft 75 gets a closing frame.
    ClosesDraft75,
    /// Input after the closing frame is still read.
    ReadsOnBehindClosing,
    /// Messages can be sent after our closing frame.
    SendsBehindClosing,
    /// Frames of type 01 to 7F are messages.
    DeliversReservedTypes,
    /// NULs inside a message are dropped.
    DropsNuls,
    /// Each read is decoded separately.
    DecodesReads,
    /// A message ends with the read.
    EndsMessagesWithReads,
    /// The part of an unfinished frame in a read is dropped.
    LosesWhatAReadCuts,
    /// Messages that arrive in one read are joined.
    JoinsMessagesOfARead,
    /// Sec-WebSocket-Accept is made from the key alone.
    ForgetsGuid,
    /// Every version is taken for 13.
    IgnoresVersions,
    /// The origin is only looked for in Origin.
    IgnoresSecOrigin,
    /// An extension is accepted that nobody asked for.
    NamesUnaskedExtensions,
    /// Frames need not be masked.
    TakesUnmaskedFrames,
    /// Reserved bits are ignored.
    TakesReservedBits,
    /// Frames of reserved opcodes are messages of bytes.
    TakesReservedOpcodes,
    /// Control frames may be fragments.
    TakesFragmentedControl,
    /// Text that is not UTF-8 is repaired.
    RepairsText,
    /// Each fragment is a message.
    DeliversFragments,
    /// Pings are not answered.
    IgnoresPings,
    /// Pongs are empty.
    EmptiesPongs,
    /// Frames of the server are masked.
    MasksFrames,
    /// Lengths have at least 16 bits.
    WritesLongLengths,
    /// What fails the connection is answered with 1000.
    HidesFailures,
    /// TCP ends right behind our close frame.
    EndsBehindClosing,
}

/// The right engine behind the wrapper.
#[derive(Debug)]
pub(crate) struct Liar {
    wrong: Option<Wrong>,
    engine: Native,
    links: HashMap<u64, Link>,
}

/// The wrapper's state for a connection.
#[derive(Debug, Default)]
struct Link {
    /// The input so far, until it is a complete head with key3.
    head: Vec<u8>,
    /// The head has been passed on.
    open: bool,
    draft76: bool,
    /// It has the frames of RFC 6455.
    framed: bool,
    /// Input of which no whole frame has come, and whether it is passed on unread.
    partial: Vec<u8>,
    raw: bool,
    output: Framer,
    /// Sec-WebSocket-Key.
    key: Vec<u8>,
    key3: Vec<u8>,
    /// The position of the next byte in a frame.
    inside: Option<u8>,
    /// The last byte was an FF that began a frame.
    closing: bool,
    /// The peer's closing frame has arrived.
    closed: bool,
    /// We have sent a closing frame.
    silent: bool,
    /// Output to write once key3 has arrived.
    late: Vec<u8>,
}

impl Liar {
    /// `None` only wraps, which spoils the cases about heads that never end.
    pub(crate) fn new(wrong: Option<Wrong>, options: Options) -> Self {
        let engine = Native::new(options).expect("the engine takes the options");
        Self { wrong, engine, links: HashMap::new() }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    fn bytes(&mut self, now: u64, id: u64, bytes: &[u8]) -> Step {
        let mut link = self.links.remove(&id).unwrap_or_default();
        let mut step = Step::default();
        let mut rest = bytes.to_vec();
        if !link.open {
            link.head.append(&mut rest);
            let Some(end) = find(&link.head, b"\r\n\r\n").map(|end| end + 4) else {
                // The engine has its own limits for these.
                let whole =
                    if link.head.len() > 16_000 { std::mem::take(&mut link.head) } else { Vec::new() };
                self.links.insert(id, link);
                return self.engine.input(now, Input::Bytes(id, &whole));
            };
            rest = link.head.split_off(end);
            link.open = true;
            link.draft76 = link.head.windows(18).any(|part| part.eq_ignore_ascii_case(b"Sec-WebSocket-Key1"));
            link.framed = frames::are_in(&link.head);
            let head = self.head(&mut link);
            if link.draft76 && self.is(Wrong::WantsKey3AtOnce) && rest.len() < 8 {
                step.writes.push(Write { id, bytes: Vec::new(), then: Then::Abort });
                self.engine.input(now, Input::Reset(id));
                return step;
            }
            step = self.engine.input(now, Input::Bytes(id, &head));
        }
        if link.draft76 && link.key3.len() < 8 {
            let more = rest.len().min(8 - link.key3.len());
            let key3: Vec<u8> = rest.drain(..more).collect();
            link.key3.extend_from_slice(&key3);
            add(&mut step, self.engine.input(now, Input::Bytes(id, &key3)));
        }
        if !rest.is_empty() {
            let frames = if link.framed {
                frames::read(self.wrong, &mut link, &rest)
            } else {
                self.frames(&mut link, &rest)
            };
            add(&mut step, self.engine.input(now, Input::Bytes(id, &frames)));
        }
        if link.closed && self.is(Wrong::ReadsOnBehindClosing) {
            // The engine is not told, and its own end is held back.
            let texts = rest.split(|byte| *byte == 0xff).filter_map(|text| text.strip_prefix(b"\0late"));
            for text in texts {
                let bytes = [b"\0late", text, b"\xff"].concat();
                step.writes.insert(0, Write { id, bytes, then: Then::Keep });
            }
        }
        self.links.insert(id, link);
        step
    }

    /// A complete head, as passed to the engine.
    fn head(&self, link: &mut Link) -> Vec<u8> {
        let head = std::mem::take(&mut link.head);
        let lines = head.split_inclusive(|byte| *byte == b'\n');
        let mut first_key = true;
        let mut out = Vec::new();
        for line in lines {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
            let value = line.get(name.len() + 1..).unwrap_or_default();
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match (name.as_slice(), self.wrong) {
                (b"sec-websocket-key1" | b"sec-websocket-key2", Some(wrong)) => {
                    let number = if wrong == Wrong::TakesKeysByOrder {
                        if std::mem::take(&mut first_key) { 1 } else { 2 }
                    } else {
                        name[name.len() - 1] - b'0'
                    };
                    out.extend_from_slice(format!("Sec-WebSocket-Key{number}: ").as_bytes());
                    out.extend_from_slice(&key(wrong, value));
                    out.extend_from_slice(b"\r\n");
                }
                (b"sec-websocket-version", Some(Wrong::IgnoresVersions)) => {
                    out.extend_from_slice(b"Sec-WebSocket-Version: 13\r\n");
                }
                (b"sec-websocket-origin", Some(Wrong::IgnoresSecOrigin)) => {}
                (b"sec-websocket-key", Some(Wrong::ForgetsGuid)) => {
                    link.key = value.trim_ascii().to_vec();
                    out.extend_from_slice(line);
                }
                (b"connection", Some(Wrong::WantsConnectionAlone)) if value.contains(&b',') => {
                    out.extend_from_slice(b"Connection: no\r\n");
                }
                (
                    b"sec-websocket-version"
                    | b"sec-websocket-key"
                    | b"sec-websocket-draft"
                    | b"sec-websocket-origin",
                    Some(Wrong::IgnoresLaterProtocols),
                ) => {}
                _ => out.extend_from_slice(line),
            }
        }
        out
    }

    /// Bytes of frames, as passed to the engine.
    fn frames(&self, link: &mut Link, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // Where the last frame begins.
        let mut start = 0;
        for &byte in bytes {
            if link.inside.is_none() && !link.closing {
                start = out.len();
            }
            match link.inside {
                None if link.closing && byte == 0 => {
                    link.closed = true;
                    link.closing = false;
                    out.push(byte);
                }
                None if byte == 0 && start > 0 && self.is(Wrong::JoinsMessagesOfARead) => {
                    out.pop();
                    link.inside = Some(byte);
                }
                None => {
                    link.closing = byte == 0xff;
                    link.inside = (byte < 0x80).then_some(byte);
                    let lie = self.is(Wrong::DeliversReservedTypes) && byte < 0x80;
                    out.push(if lie { 0 } else { byte });
                }
                Some(_) if byte == 0xff => {
                    link.inside = None;
                    out.push(byte);
                }
                Some(0) if byte == 0 && self.is(Wrong::DropsNuls) => {}
                Some(_) => out.push(byte),
            }
        }
        if self.is(Wrong::EndsMessagesWithReads) && link.inside.take() == Some(0) {
            out.push(0xff);
        }
        if self.is(Wrong::LosesWhatAReadCuts) && (link.inside.take().is_some() || link.closing) {
            link.closing = false;
            out.truncate(start);
        }
        if self.is(Wrong::DecodesReads) && !link.closed {
            let decode = |part: &[u8]| String::from_utf8_lossy(part).into_owned().into_bytes();
            out = out.split(|byte| *byte == 0xff).map(decode).collect::<Vec<_>>().join(&0xff);
        }
        out
    }

    fn write(&mut self, write: &mut Write) {
        let Some(wrong) = self.wrong else { return };
        let link = self.links.entry(write.id).or_default();
        if link.framed {
            return frames::write(wrong, link, write);
        }
        let bytes = &mut write.bytes;
        match wrong {
            Wrong::AnswersLate if link.draft76 && !bytes.starts_with(b"HTTP/1.1 4") => {
                if link.key3.len() < 8 {
                    link.late.append(bytes);
                } else {
                    *bytes = [std::mem::take(&mut link.late), std::mem::take(bytes)].concat();
                }
            }
            Wrong::TrimsKey3
                if link.key3.len() == 8 && link.key3.trim_ascii().len() < 8 && bytes.len() == 16 =>
            {
                *bytes = Md5::digest(link.key3.trim_ascii()).to_vec();
            }
            Wrong::WritesUpgradeInLowerCase => replace(bytes, b"Upgrade: WebSocket", b"Upgrade: websocket"),
            Wrong::LosesQueries => {
                if let Some(query) = find(bytes, b"Location: ").and_then(|at| {
                    let mark = find(&bytes[at..], b"?")? + at;
                    let end = find(&bytes[mark..], b"\r\n")? + mark;
                    (find(&bytes[at..mark], b"\r\n").is_none()).then_some(mark..end)
                }) {
                    bytes.drain(query);
                }
            }
            Wrong::KeepsDefaultPorts => {
                replace(bytes, b"Location: ws://example.com/", b"Location: ws://example.com:80/")
            }
            Wrong::NamesUnaskedSubprotocols if find(bytes, b"WebSocket-Protocol").is_none() => {
                replace(
                    bytes,
                    b"Connection: Upgrade\r\n",
                    b"Connection: Upgrade\r\nSec-WebSocket-Protocol: *\r\n",
                );
            }
            Wrong::SplitsSubprotocols => replace(bytes, b"Protocol: chat,x", b"Protocol: chat"),
            Wrong::MixesStatusLines => replace(bytes, b"101 Web Socket ", b"101 WebSocket "),
            Wrong::NeverAnswersClosing if bytes.ends_with(b"\xff\0") => bytes.truncate(bytes.len() - 2),
            Wrong::ClosesDraft75 if !link.draft76 && link.open && write.then == Then::Finish => {
                bytes.extend_from_slice(b"\xff\0");
            }
            _ => {}
        }
    }
}

impl Subject for Liar {
    fn input(&mut self, now: u64, input: Input<'_>) -> Step {
        let mut extra = Vec::new();
        let mut step = match input {
            Input::Bytes(id, bytes) => self.bytes(now, id, bytes),
            Input::Commands(commands) => {
                for command in commands {
                    match command {
                        Command::Close(id, _) => self.links.entry(*id).or_default().silent = true,
                        Command::Send(id, text)
                            if self.is(Wrong::SendsBehindClosing)
                                && self
                                    .links
                                    .get(id)
                                    .is_some_and(|link| link.silent && (link.draft76 || link.framed)) =>
                        {
                            let framed = self.links.get(id).is_some_and(|link| link.framed);
                            let bytes = if framed {
                                frames::text(text)
                            } else {
                                [b"\0", text.as_bytes(), b"\xff"].concat()
                            };
                            extra.push(Write { id: *id, bytes, then: Then::Keep });
                        }
                        _ => {}
                    }
                }
                self.engine.input(now, input)
            }
            Input::Fin(id) => {
                // What no frame was made of is the engine's, too.
                let partial = self.links.get_mut(&id).map(|link| std::mem::take(&mut link.partial));
                let mut step = self.engine.input(now, Input::Bytes(id, &partial.unwrap_or_default()));
                add(&mut step, self.engine.input(now, Input::Fin(id)));
                step
            }
            input => self.engine.input(now, input),
        };
        let mut writes = std::mem::take(&mut step.writes);
        writes.iter_mut().for_each(|write| self.write(write));
        writes.extend(extra);
        step.writes = writes;
        step
    }
}

/// A key's value, as passed to the engine.
fn key(wrong: Wrong, value: &[u8]) -> Vec<u8> {
    let digits: String =
        value.iter().filter(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect();
    let spaces = value.iter().filter(|byte| **byte == b' ').count() as u128;
    let number = digits.parse::<u128>().ok();
    match (wrong, number) {
        (Wrong::TrimsKeys, _) => value.trim_ascii().to_vec(),
        (Wrong::WrapsParts, Some(number)) if spaces > 0 && number % spaces == 0 => {
            format!("{} x", (number / spaces) as u32).into_bytes()
        }
        (Wrong::DividesByOne, Some(number)) if spaces == 0 => format!("{number} x").into_bytes(),
        (Wrong::IgnoresRemainders, Some(number)) if spaces > 0 => {
            format!("{} x", number / spaces).into_bytes()
        }
        _ => value.to_vec(),
    }
}

fn add(step: &mut Step, more: Step) {
    step.events.extend(more.events);
    step.writes.extend(more.writes);
    step.next_timeout = more.next_timeout;
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn replace(bytes: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    if let Some(at) = find(bytes, from) {
        bytes.splice(at..at + from.len(), to.iter().copied());
    }
}
