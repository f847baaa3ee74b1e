//! What a client reads in frames of RFC 6455 (sections 5 and 7), which hybi-07 to -12 have too.

use legacy_websocket_trace::opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use legacy_websocket_trace::{Frame, LengthBits, Protocol, Variables};

use super::{CLOSING, take, text};

/// The longest payload of a control frame, in bytes.
const MAX_CONTROL: usize = 125;

/// Puts messages together.
#[derive(Debug)]
pub(super) struct Frames {
    protocol: Protocol,
    /// The message begun: whether it is text, and its bytes.
    message: Option<(bool, Vec<u8>)>,
}

/// What the client reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// It goes on.
    Seen(String),
    /// The last frame.
    Closing(String),
    /// It fails the connection.
    Wrong(String),
}

impl Frames {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, message: None }
    }

    /// A message has begun and not ended.
    pub(super) fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// The next item at the start of `rest`; `None` if it is not complete.
    pub(super) fn next(&mut self, rest: &mut Vec<u8>) -> Option<Item> {
        loop {
            let (frame, size) = Frame::read(rest)?;
            drop(take(rest, size));
            if let Some(item) = self.frame(&frame) {
                return Some(item);
            }
        }
    }

    /// `None` for a fragment that does not end its message.
    fn frame(&mut self, frame: &Frame) -> Option<Item> {
        let payload = frame.payload.bytes(&Variables::default());
        if let Some(fault) = self.fault(frame, payload.len()) {
            return Some(Item::Wrong(format!("wrong frame: {fault}")));
        }
        match frame.opcode {
            PING => Some(Item::Seen(format!("ping {}", bytes(&payload)))),
            PONG => Some(Item::Seen(format!("pong {}", bytes(&payload)))),
            CLOSE => Some(self.close(&payload)),
            opcode => {
                let (_, held) = self.message.get_or_insert_with(|| (opcode == TEXT, Vec::new()));
                held.extend_from_slice(&payload);
                let (is_text, message) = self.message.take_if(|_| frame.fin)?;
                Some(Item::Seen(if is_text {
                    format!("message {}", text(&message))
                } else {
                    format!("binary message {}", bytes(&message))
                }))
            }
        }
    }

    /// Why the client fails the connection, if it does.
    fn fault(&self, frame: &Frame, length: usize) -> Option<String> {
        let is_control = frame.opcode >= CLOSE;
        let in_message = self.is_in_message();
        let fault = match frame.opcode {
            _ if frame.mask.is_some() => "masked",
            _ if frame.rsv != 0 => "a reserved bit",
            3..=7 | 0xb.. => return Some(format!("opcode {:x}", frame.opcode)),
            _ if frame.bits != LengthBits::Seven => "a length that is not the shortest",
            _ if is_control && !frame.fin => "a control frame that is a fragment",
            _ if is_control && length > MAX_CONTROL => "a control frame that is too long",
            CONTINUATION if !in_message => "nothing to continue",
            TEXT | BINARY if in_message => "a message inside another",
            _ => return None,
        };
        Some(fault.into())
    }

    fn close(&self, payload: &[u8]) -> Item {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() {
                Item::Closing(CLOSING.into())
            } else {
                Item::Wrong("wrong frame: half a close code".into())
            };
        };
        let code = u16::from_be_bytes(*code);
        // hybi-07 and -08 have no 1008 to 1011 yet, but reserve all up to 1999 for later versions.
        let is_allowed = match self.protocol {
            Protocol::Rfc6455 => matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999),
            _ => matches!(code, 1000..=1004 | 1007..=4999),
        };
        match str::from_utf8(reason) {
            _ if !is_allowed => Item::Wrong(format!("wrong frame: close code {code}")),
            Err(_) => Item::Wrong("wrong frame: a reason that is not UTF-8".into()),
            Ok("") => Item::Closing(format!("{CLOSING} {code}")),
            Ok(reason) => Item::Closing(format!("{CLOSING} {code} {reason:?}")),
        }
    }
}

/// Bytes as a line: those of ASCII as such.
fn bytes(bytes: &[u8]) -> String {
    if bytes.is_ascii() || bytes.len() > super::LONGEST {
        return text(bytes);
    }
    format!("\"{}\"", bytes.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(bytes: &[u8]) -> Vec<String> {
        let (mut frames, mut rest) = (Frames::new(Protocol::Rfc6455), bytes.to_vec());
        let mut seen = Vec::new();
        while let Some(item) = frames.next(&mut rest) {
            match item {
                Item::Seen(what) => seen.push(what),
                Item::Closing(what) | Item::Wrong(what) => {
                    seen.push(what);
                    break;
                }
            }
        }
        seen
    }

    #[test]
    fn messages_are_put_together_around_control_frames() {
        let bytes = b"\x01\x02h\xc3\x89\x01p\x80\x01\xa9\x82\x02\0\xff\x8a\0\x88\x05\x0f\xa0bye\x81\0";
        let expected = ["ping \"p\"", "message \"h\u{e9}\"", r#"binary message "\x00\xff""#, "pong \"\""];
        assert_eq!(saw(bytes), [&expected[..], &["closing 4000 \"bye\""]].concat());
        assert_eq!(saw(b"\x88\0"), ["closing"]);
        assert_eq!(saw(b"\x88\x02\x03\xe8"), ["closing 1000"]);
        assert_eq!(saw(b"\x81\x02\xff\xfe"), [r"message that is not UTF-8: \xff\xfe"]);
    }

    #[test]
    fn what_a_client_fails_is_named() {
        for (bytes, fault) in [
            (&b"\x81\x80\0\0\0\0"[..], "masked"),
            (b"\xc1\0", "a reserved bit"),
            (b"\x83\0", "opcode 3"),
            (b"\x8b\0", "opcode b"),
            (b"\x81\x7e\0\0", "a length that is not the shortest"),
            (b"\x09\0", "a control frame that is a fragment"),
            (b"\x80\0", "nothing to continue"),
            (b"\x01\0\x81\0", "a message inside another"),
            (b"\x88\x01\x03", "half a close code"),
            (b"\x88\x02\x03\xed", "close code 1005"),
            (b"\x88\x03\x03\xe8\xff", "a reason that is not UTF-8"),
        ] {
            assert_eq!(saw(bytes), [format!("wrong frame: {fault}")]);
        }
        let long = [&b"\x89\x7e\0\x7e"[..], &[0; 126]].concat();
        assert_eq!(saw(&long), ["wrong frame: a control frame that is too long"]);
    }
}
