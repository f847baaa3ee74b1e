//! One connection after its opening handshake: messages, pings, and the closing handshake.

use alloc::string::String;
use alloc::vec::Vec;

use super::close::{self, CloseCode};
use super::decoder::{Decoder, Rules};
use super::encode::{encode, encode_binary, encode_text};
use super::event::Event;
use super::header::{MAX_CONTROL_BYTES, Opcode};
use super::texts;
use super::version::Version;
use crate::error::{FrameError, Misuse};
use crate::frame::TextLimits;

/// One connection after its opening handshake, as the server sees it: bytes in, [`Event`]s and bytes out.
///
/// ```text
///        ┌─ close ──────────────────────→ CloseSent ─ the peer's close, an error ─┐
///  Open ─┤                                                                        ├→ Closed
///        └─ the peer's close, an error ─→ CloseOwed ─ finish, close ──────────────┘
/// ```
///
/// In `CloseOwed` nothing more is read, but what the application had to say can still be sent; in `CloseSent` it is the
/// other way round. What is written to `out` is to be sent in that order. When [`is_closed`](Self::is_closed), the
/// server ends TCP (section 7.1.1).
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    rules: Rules,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    CloseSent,
    /// The code that our close frame will have.
    CloseOwed(Option<CloseCode>),
    Closed,
}

/// Getters.
impl Session {
    /// After an opening handshake of this version. `max_message_bytes` is for one message, all its fragments together.
    #[must_use]
    pub fn new(version: Version, max_message_bytes: usize) -> Self {
        let rules = Rules { version, max_message_bytes };
        Self { decoder: Decoder::default(), rules, phase: Phase::Open }
    }

    /// Messages can be sent: our close frame is not.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::CloseOwed(_))
    }

    /// Our close frame has been written, and the peer's has come or will not be waited for.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Memory held for an incomplete message, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.decoder.held()
    }

    /// No message or frame is incomplete.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.decoder.is_between_messages()
    }

    /// How many bytes of this input may have to be held, at most: what follows the end of its last message.
    #[must_use]
    pub fn may_hold(&self, input: &[u8]) -> usize {
        self.decoder.may_hold(input)
    }
}

/// Input.
impl Session {
    /// Takes the next event off `input`; None when that is used up. Pings are answered at once (section 5.5.2), also
    /// between the fragments of a message. An incomplete message may hold up to `room` bytes.
    ///
    /// After [`Event::Close`] and after an error the rest of the input is dropped, and a close frame is owed:
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// A frame that is not allowed, or a limit. Our close frame will say why: `CloseCode::from(error)`.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, FrameError> {
        if !self.can_read() {
            *input = &[];
            return Ok(None);
        }
        let result = self.decoder.decode(input, self.rules, room);
        match &result {
            Ok(Some(Event::Ping(payload))) if self.can_send() => encode(Opcode::Pong, payload, out),
            Ok(Some(Event::Close { code, .. })) => self.stop_reading(*code),
            Ok(_) => {}
            Err(error) => self.stop_reading(Some((*error).into())),
        }
        if !self.can_read() {
            *input = &[];
        }
        result
    }

    /// Takes up to `limit` text messages off the start of `input` in one piece, if the next ones are short and whole in
    /// it: appends their texts to `text`, and where each ends to `ends`. Faster than [`receive`](Self::receive), but it
    /// may take nothing: call it before each `receive`. `scratch` is any buffer, best kept for the next call.
    ///
    /// False: do not try again with this input.
    pub fn take_texts(
        &mut self,
        input: &mut &[u8],
        limit: usize,
        scratch: &mut Vec<u8>,
        text: &mut String,
        ends: &mut Vec<u32>,
    ) -> bool {
        if !self.can_read() || !self.is_between_messages() {
            return true;
        }
        let limits = TextLimits { count: limit, bytes: self.rules.max_message_bytes };
        texts::take_texts(input, limits, scratch, text, ends)
    }
}

/// Output.
impl Session {
    /// Writes a text message.
    ///
    /// # Errors
    /// [`Misuse::WrongState`] after our close frame; the same for the other messages.
    pub fn send_text(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.check_open()?;
        encode_text(text, out);
        Ok(())
    }

    /// Writes a binary message.
    ///
    /// # Errors
    /// [`Misuse::WrongState`].
    pub fn send_binary(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.check_open()?;
        encode_binary(bytes, out);
        Ok(())
    }

    /// Writes a ping, which the peer answers with a pong of the same payload.
    ///
    /// # Errors
    /// [`Misuse::WrongState`]; [`Misuse::Invalid`] for a payload over 125 bytes.
    pub fn send_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.check_open()?;
        if payload.len() > MAX_CONTROL_BYTES {
            return Err(Misuse::Invalid);
        }
        encode(Opcode::Ping, payload, out);
        Ok(())
    }

    /// Starts the closing handshake (section 7.1.2): writes a close frame, the last one. A reason over 123 bytes is cut
    /// between two characters. If a close frame is owed already, writes that; if it is written, nothing.
    pub fn close(&mut self, code: CloseCode, reason: &str, out: &mut Vec<u8>) {
        if self.phase == Phase::Open {
            encode(Opcode::Close, &close::payload(Some(code), reason), out);
            self.phase = Phase::CloseSent;
        } else {
            self.finish(out);
        }
    }

    /// Writes the close frame that is owed, the last one: the answer to the peer's, with its code, or what tells the
    /// peer of an error. Otherwise nothing.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Phase::CloseOwed(code) = self.phase {
            encode(Opcode::Close, &close::payload(code, ""), out);
            self.phase = Phase::Closed;
        }
    }
}

impl Session {
    fn can_read(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::CloseSent)
    }

    fn check_open(&self) -> Result<(), Misuse> {
        if self.can_send() { Ok(()) } else { Err(Misuse::WrongState) }
    }

    /// What comes behind the peer's close frame or an error is not read.
    fn stop_reading(&mut self, code: Option<CloseCode>) {
        self.decoder = Decoder::default();
        self.phase = if self.phase == Phase::Open { Phase::CloseOwed(code) } else { Phase::Closed };
    }
}
