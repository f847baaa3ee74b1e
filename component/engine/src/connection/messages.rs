//! How a connected client's messages are taken off its input.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::{Closing, Connection, Phase};
use crate::event::{CloseCause, ConnectionId, Event};
use crate::frame::{Decoder, Frame, Rules, encode, take_frames};
use crate::framing::Framing;
use crate::hybi;
use crate::hybi::encode::{encode_binary, encode_text};
use crate::hybi::session::Session;
use crate::protocol::Protocol;
use crate::shared::{EchoedTexts, Shared};
use crate::text;

impl Connection {
    pub(super) fn take_message<'i>(
        &mut self,
        shared: &mut Shared,
        input: &mut &'i [u8],
        room: usize,
    ) -> Option<Event<'i>> {
        let Phase::Open { framing, .. } = &self.phase else {
            return None;
        };
        let is_hybi = matches!(framing, Framing::Hybi(_));
        if self.begun.is_some() && framing.is_between_messages() {
            // From here on, incomplete data belongs to another message.
            self.begun = None;
            self.touch(shared);
        }
        if is_hybi { self.take_hybi(shared, input, room) } else { self.take_hixie(shared, input, room) }
    }

    fn take_hixie<'i>(
        &mut self,
        shared: &mut Shared,
        input: &mut &'i [u8],
        room: usize,
    ) -> Option<Event<'i>> {
        let Phase::Open { framing: Framing::Hixie(decoder), closing } = &mut self.phase else {
            return None;
        };
        let options = &shared.policy.options;
        let echoes = options.echo;
        let rules = Rules {
            protocol: self.protocol.unwrap_or(Protocol::Draft75),
            skip_reserved: options.skip_reserved_frames,
            invalid_utf8: options.invalid_utf8,
            max_message_bytes: options.limits.max_message_bytes,
        };
        let echo = echoes && *closing == Closing::NotYet;
        if echo && *decoder == Decoder::Type {
            // Complete frames go back unchanged.
            let (frames, count) = take_frames(input, rules.max_message_bytes);
            if count != 0 {
                shared.transmit(self.id, |out| out.extend_from_slice(frames));
                shared.count_messages(count, count);
            }
        }
        match decoder.decode(input, rules, room) {
            Ok(Some(Frame::Text(text))) if echo => {
                shared.transmit(self.id, |out| encode(&text, out));
                shared.count_messages(1, 1);
            }
            Ok(Some(Frame::Text(text))) if !echoes => {
                self.last_message = Some(shared.turn);
                shared.count_messages(1, 0);
                return Some(Event::Message { connection: self.id, text });
            }
            Ok(None | Some(Frame::Text(_))) => {}
            Ok(Some(Frame::Closing)) => {
                let cause = closing.ended_by();
                self.end_behind_answers(shared, cause);
            }
            Err(error) => self.end_behind_answers(shared, CloseCause::Frame(error)),
        }
        None
    }

    /// Nothing borrows from the input: it is masked.
    fn take_hybi(&mut self, shared: &mut Shared, input: &mut &[u8], room: usize) -> Option<Event<'static>> {
        let Phase::Open { framing: Framing::Hybi(session), closing } = &mut self.phase else {
            return None;
        };
        let echoes = shared.policy.options.echo;
        let echo = echoes && *closing == Closing::NotYet;
        if echo && !shared.echo_one_by_one {
            shared.echo_one_by_one = !echo_texts(self.id, session, shared, input);
            if input.is_empty() {
                return None;
            }
        }
        let mut out = Vec::new();
        let taken = session.receive(input, room, &mut out);
        let cause = closing.ended_by();
        let mut event = None;
        match taken {
            Ok(Some(hybi::Event::Text(text))) => {
                shared.count_messages(1, echo.into());
                if echo {
                    shared.transmit(self.id, |bytes| encode_text(&text, bytes));
                } else if !echoes {
                    event = Some(Event::Message { connection: self.id, text: Cow::Owned(text) });
                }
            }
            Ok(Some(hybi::Event::Binary(bytes))) => {
                shared.count_messages(1, echo.into());
                if echo {
                    shared.transmit(self.id, |out| encode_binary(&bytes, out));
                } else if !echoes {
                    event = Some(Event::Binary { connection: self.id, bytes });
                }
            }
            Ok(None | Some(hybi::Event::Ping(_) | hybi::Event::Pong(_))) => {}
            Ok(Some(hybi::Event::Close { code, reason })) => {
                self.close = Some(Box::new((code, reason)));
                self.end_behind_answers(shared, cause);
            }
            Err(error) => self.end_behind_answers(shared, CloseCause::Frame(error)),
        }
        if !out.is_empty() {
            shared.transmit(self.id, |bytes| bytes.append(&mut out));
        }
        if event.is_some() {
            self.last_message = Some(shared.turn);
        }
        event
    }
}

/// Sends back the short texts at the start of the input, without an allocation for each. False: do not try again with
/// this input.
fn echo_texts(id: ConnectionId, session: &mut Session, shared: &mut Shared, input: &mut &[u8]) -> bool {
    let mut echoed = mem::take(&mut shared.echoed);
    let EchoedTexts { text, ends } = &mut echoed;
    let again = session.take_texts(input, usize::MAX, &mut shared.short_texts, text, ends);
    if !ends.is_empty() {
        let count = u64::try_from(ends.len()).unwrap_or(u64::MAX);
        shared.count_messages(count, count);
        shared.transmit(id, |out| text::split(text, ends).for_each(|text| encode_text(text, out)));
        text.clear();
        ends.clear();
    }
    shared.echoed = echoed;
    again
}

impl Closing {
    /// Who ended the connection if the peer's close frame comes now.
    fn ended_by(self) -> CloseCause {
        match self {
            Self::NotYet => CloseCause::ByPeer,
            Self::Sent | Self::HalfClosed => CloseCause::ByUs,
        }
    }
}
