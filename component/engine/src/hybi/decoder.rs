//! Frames from a client, at any chunking (RFC 6455 sections 5.2 to 5.6).

use alloc::vec::Vec;
use core::mem;

use super::close;
use super::event::Event;
use super::header::{self, Header, Opcode, PartialHeader};
use super::mask::Mask;
use super::utf8::PartialText;
use super::version::Version;
use crate::error::FrameError;
use crate::frame::growth;

/// What frames may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) version: Version,
    /// One message, all its fragments together.
    pub(super) max_message_bytes: usize,
}

/// Takes messages and control frames off a stream. Holds only what is incomplete.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    at: At,
    /// A message whose last fragment has not ended.
    message: Option<Message>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
}

#[derive(Debug)]
enum At {
    Header(PartialHeader),
    Payload(Payload),
}

/// In the payload of a frame.
#[derive(Clone, Copy, Debug)]
struct Payload {
    fin: bool,
    opcode: Opcode,
    mask: Mask,
    /// Bytes that have not come.
    left: usize,
}

/// A message so far.
#[derive(Debug)]
enum Message {
    Text(PartialText),
    Binary(Vec<u8>),
}

impl Decoder {
    /// Memory held, in bytes.
    pub(super) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::held);
        message.saturating_add(self.control.capacity())
    }

    /// At the first byte of a message or of a control frame outside of any.
    pub(super) fn is_between_messages(&self) -> bool {
        self.message.is_none() && matches!(&self.at, At::Header(header) if header.is_empty())
    }

    /// How many bytes of `input` may have to be held: those behind the last message that ends in it.
    pub(super) fn may_hold(&self, input: &[u8]) -> usize {
        let mut held = input.len();
        let mut in_message = self.message.is_some();
        let mut rest = input;
        let mut ending = match &self.at {
            At::Header(partial) if partial.is_empty() => None,
            At::Header(_) => return held,
            At::Payload(payload) => Some((payload.fin, payload.opcode, payload.left)),
        };
        loop {
            if let Some((fin, opcode, left)) = ending {
                let Some((_, behind)) = rest.split_at_checked(left) else {
                    return held;
                };
                rest = behind;
                in_message = if opcode.is_control() { in_message } else { !fin };
                if !in_message {
                    held = rest.len();
                }
            }
            let rules = header::Rules { in_message, max_payload: usize::MAX };
            let Ok(Some(header)) = Header::parse(&mut rest, rules) else {
                return held;
            };
            ending = Some((header.fin, header.opcode, header.payload));
        }
    }

    /// Takes the next event off `input`; None when that is used up. `room` is how many bytes may be held.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        rules: Rules,
        room: usize,
    ) -> Result<Option<Event>, FrameError> {
        loop {
            match &mut self.at {
                At::Header(partial) => {
                    let so_far = self.message.as_ref().map_or(0, Message::len);
                    let max_payload = rules.max_message_bytes.saturating_sub(so_far);
                    let in_message = self.message.is_some();
                    match partial.parse(input, header::Rules { in_message, max_payload })? {
                        Some(header) => self.begin(header),
                        None => return Ok(None),
                    }
                }
                At::Payload(payload) => {
                    let (part, rest) = input.split_at_checked(payload.left).unwrap_or((*input, &[]));
                    *input = rest;
                    payload.left = payload.left.saturating_sub(part.len());
                    let Payload { fin, opcode, left, .. } = *payload;
                    // What is complete is no longer held.
                    let room = if left == 0 && fin { usize::MAX } else { room };
                    match &mut self.message {
                        Some(message) if !opcode.is_control() => {
                            message.append(part, &mut payload.mask, room)?;
                        }
                        message => {
                            let room = room.saturating_sub(message.as_ref().map_or(0, Message::held));
                            append(&mut self.control, part, &mut payload.mask, room)?;
                        }
                    }
                    if left != 0 {
                        return Ok(None);
                    }
                    self.at = At::default();
                    if let Some(event) = self.end(fin, opcode, rules.version)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn begin(&mut self, Header { fin, opcode, mask, payload: left }: Header) {
        match opcode {
            Opcode::Text => self.message = Some(Message::Text(PartialText::default())),
            Opcode::Binary => self.message = Some(Message::Binary(Vec::new())),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        self.at = At::Payload(Payload { fin, opcode, mask, left });
    }

    /// What a frame that has ended completes.
    fn end(&mut self, fin: bool, opcode: Opcode, version: Version) -> Result<Option<Event>, FrameError> {
        Ok(match opcode {
            Opcode::Ping => Some(Event::Ping(mem::take(&mut self.control))),
            Opcode::Pong => Some(Event::Pong(mem::take(&mut self.control))),
            Opcode::Close => {
                let (code, reason) = close::read(&mem::take(&mut self.control), version)?;
                Some(Event::Close { code, reason })
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => match self.message.take_if(|_| fin) {
                Some(Message::Text(text)) => Some(Event::Text(text.finish()?)),
                Some(Message::Binary(bytes)) => Some(Event::Binary(bytes)),
                None => None,
            },
        })
    }
}

impl Default for At {
    fn default() -> Self {
        Self::Header(PartialHeader::default())
    }
}

impl Message {
    /// Memory held, in bytes.
    fn held(&self) -> usize {
        match self {
            Self::Text(text) => text.held(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn append(&mut self, masked: &[u8], mask: &mut Mask, room: usize) -> Result<(), FrameError> {
        match self {
            Self::Text(text) => text.append(masked, mask, room),
            Self::Binary(bytes) => append(bytes, masked, mask, room),
        }
    }
}

fn append(bytes: &mut Vec<u8>, masked: &[u8], mask: &mut Mask, room: usize) -> Result<(), FrameError> {
    let more = growth(bytes.len(), bytes.capacity(), masked.len(), room)?;
    bytes.try_reserve_exact(more).map_err(|_| FrameError::NoRoom)?;
    mask.append(masked, bytes);
    Ok(())
}
