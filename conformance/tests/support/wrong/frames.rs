//! What wrong engines do to the frames of RFC 6455: changed on their way into the right engine, or out of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::subject::{Then, Write};
use legacy_websocket_trace::opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use legacy_websocket_trace::{Bytes, Frame, LengthBits, Literal, Part, Piece, Variables};
use sha1::{Digest, Sha1};

use super::{Link, Wrong, find, replace};

/// Frames longer than this are passed on unread.
const LONGEST: u64 = 1 << 20;

/// Whether frames follow this head.
pub(super) fn are_in(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    [&b"7"[..], b"8", b"13"]
        .iter()
        .any(|number| find(&head, &[b"\r\nsec-websocket-version: ", *number, b"\r\n"].concat()).is_some())
}

/// A text frame of a server.
pub(super) fn text(text: &str) -> Vec<u8> {
    let payload = text.as_bytes().into();
    let frame =
        Frame { fin: true, rsv: 0, opcode: TEXT, mask: None, bits: LengthBits::Seven, length: None, payload };
    encode(&frame)
}

/// Bytes from a client, as passed to the engine: whole frames.
pub(super) fn read(wrong: Option<Wrong>, link: &mut Link, bytes: &[u8]) -> Vec<u8> {
    let mut held = std::mem::take(&mut link.partial);
    held.extend_from_slice(bytes);
    let mut out = Vec::new();
    while !held.is_empty() && !link.raw {
        let Some((mut frame, size)) = Frame::read(&held) else {
            link.raw = Frame::size(&held).is_some_and(|(_, size)| size > LONGEST);
            break;
        };
        held.drain(..size);
        match wrong {
            Some(wrong) if change_input(wrong, &mut frame) => out.extend(encode(&frame)),
            Some(_) => {}
            None => out.extend(encode(&frame)),
        }
    }
    if link.raw {
        out.append(&mut held);
    }
    link.partial = held;
    out
}

/// False: the frame is dropped.
fn change_input(wrong: Wrong, frame: &mut Frame) -> bool {
    let is_control = frame.opcode >= CLOSE;
    match wrong {
        Wrong::TakesUnmaskedFrames => frame.mask = frame.mask.or(Some([0; 4])),
        Wrong::TakesReservedBits => frame.rsv = 0,
        Wrong::TakesReservedOpcodes if matches!(frame.opcode, 3..=7 | 0xb..) => frame.opcode = BINARY,
        Wrong::TakesFragmentedControl if is_control => frame.fin = true,
        Wrong::RepairsText if frame.opcode == TEXT => {
            let payload = frame.payload.bytes(&Variables::default());
            frame.payload = String::from_utf8_lossy(&payload).as_bytes().into();
        }
        Wrong::DeliversFragments if !is_control => {
            frame.fin = true;
            if frame.opcode == CONTINUATION {
                frame.opcode = TEXT;
            }
        }
        Wrong::IgnoresPings => return frame.opcode != PING,
        _ => {}
    }
    true
}

/// Changes what the engine writes.
pub(super) fn write(wrong: Wrong, link: &mut Link, write: &mut Write) {
    let mut out = Vec::new();
    let mut closes = false;
    for part in link.output.split(&write.bytes, true).0 {
        match part {
            Part::Literal(literal) => {
                let mut bytes = literal.bytes(&Variables::default());
                change_answer(wrong, &link.key, &mut bytes);
                out.append(&mut bytes);
            }
            Part::Frame(mut frame) => {
                closes |= frame.opcode == CLOSE;
                if change_output(wrong, &mut frame) {
                    out.extend(Bytes(vec![Part::Frame(frame)]).bytes(&Variables::default()));
                }
            }
        }
    }
    write.bytes = out;
    if wrong == Wrong::EndsBehindClosing && closes {
        write.then = Then::Finish;
    }
}

fn change_answer(wrong: Wrong, key: &[u8], head: &mut Vec<u8>) {
    match wrong {
        Wrong::ForgetsGuid => {
            let name = b"Sec-WebSocket-Accept: ";
            if let Some(at) = find(head, name).map(|at| at + name.len()) {
                let accept = STANDARD.encode(Sha1::digest(key));
                head.splice(at..at + accept.len(), accept.into_bytes());
            }
        }
        Wrong::NamesUnaskedExtensions => replace(
            head,
            b"Connection: Upgrade\r\n",
            b"Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
        ),
        Wrong::NamesUnaskedSubprotocols if find(head, b"WebSocket-Protocol").is_none() => {
            replace(head, b"Connection: Upgrade\r\n", b"Connection: Upgrade\r\nSec-WebSocket-Protocol: *\r\n")
        }
        _ => {}
    }
}

/// False: the frame is dropped.
fn change_output(wrong: Wrong, frame: &mut Frame) -> bool {
    match wrong {
        Wrong::MasksFrames => frame.mask = Some([1, 2, 3, 4]),
        Wrong::WritesLongLengths => frame.bits = LengthBits::Sixteen,
        Wrong::EmptiesPongs if frame.opcode == PONG => frame.payload = Literal::default(),
        Wrong::NeverAnswersClosing => return frame.opcode != CLOSE,
        Wrong::HidesFailures if frame.opcode == CLOSE => {
            frame.payload = Literal(vec![Piece::Bytes(1000_u16.to_be_bytes().into(), 1)]);
        }
        _ => {}
    }
    true
}

fn encode(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&Variables::default(), &mut out);
    out
}
