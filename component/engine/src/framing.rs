//! What the frames of a connected client are: those of the hixie drafts, or those of RFC 6455.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::frame::{Decoder, TextLimits, take_texts};
use crate::hybi::session::Session;
use crate::protocol::Protocol;

/// A connected client's incomplete frames, and for RFC 6455 also its closing handshake.
#[derive(Debug)]
pub(crate) enum Framing {
    Hixie(Decoder),
    Hybi(Box<Session>),
}

impl Framing {
    pub(crate) fn new(protocol: Protocol, max_message_bytes: usize) -> Self {
        match protocol.version() {
            None => Self::Hixie(Decoder::default()),
            Some(version) => Self::Hybi(Box::new(Session::new(version, max_message_bytes))),
        }
    }

    /// Memory held for what is incomplete, in bytes.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Hixie(decoder) => decoder.held(),
            Self::Hybi(session) => session.held(),
        }
    }

    /// No message or frame is incomplete.
    pub(crate) fn is_between_messages(&self) -> bool {
        match self {
            Self::Hixie(decoder) => *decoder == Decoder::Type,
            Self::Hybi(session) => session.is_between_messages(),
        }
    }

    /// How much of the input may have to be held: what follows the end of its last message.
    pub(crate) fn may_hold(&self, input: &[u8]) -> usize {
        match self {
            Self::Hixie(_) => {
                let whole = memchr::memrchr(0xff, input).map_or(0, |end| end.saturating_add(1));
                input.len().saturating_sub(whole)
            }
            Self::Hybi(session) => session.may_hold(input),
        }
    }

    /// Takes the texts at the start of the input that are easily taken, in one piece. False: do not try again with this
    /// input.
    pub(crate) fn take_texts(
        &mut self,
        input: &mut &[u8],
        limits: TextLimits,
        scratch: &mut Vec<u8>,
        text: &mut String,
        ends: &mut Vec<u32>,
    ) -> bool {
        match self {
            Self::Hixie(Decoder::Type) => take_texts(input, limits, scratch, text, ends),
            Self::Hixie(_) => true,
            Self::Hybi(session) => session.take_texts(input, limits.count, scratch, text, ends),
        }
    }
}
