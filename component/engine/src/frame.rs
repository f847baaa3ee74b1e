//! Frames (draft 75 section 5.3, draft 76 section 5.3): 00 text FF, and the closing FF 00.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::FrameError;
use crate::options::InvalidUtf8;
use crate::protocol::Protocol;
use crate::text;

/// The closing frame of draft 76.
pub(crate) const CLOSING: [u8; 2] = [0xff, 0x00];

/// Bytes of a skipped frame's length: 64 bits in groups of 7 need no more than this.
const MAX_LENGTH_BYTES: u8 = 10;

/// How many bytes of short texts are checked together: few enough for the L1 cache.
const SHORT_TOGETHER: usize = 4096;

/// Appends one text frame. A `str` holds no FF, so it cannot end the frame early (section 7).
pub(crate) fn encode(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len().saturating_add(2));
    out.push(0x00);
    out.extend_from_slice(text.as_bytes());
    out.push(0xff);
}

/// Rules for frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) protocol: Protocol,
    pub(crate) skip_reserved: bool,
    pub(crate) invalid_utf8: InvalidUtf8,
    pub(crate) max_message_bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'i> {
    /// Borrowed if the input contains it whole.
    Text(Cow<'i, str>),
    Closing,
}

/// Decodes frames from a stream at any chunking. Buffers only an incomplete text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// At a frame's first byte.
    #[default]
    Type,
    /// In a text frame; holds its bytes so far.
    Text(Vec<u8>),
    /// In a frame of type 01 to 7F, skipped to its FF; holds the number of bytes so far.
    Discard(usize),
    /// After a first byte of FF: closing or reserved.
    Final,
    /// In the length of a high-bit frame.
    Length { kind: u8, value: usize, bytes: u8 },
    /// In the bytes of a high-bit frame; holds the number left.
    Skip(usize),
}

impl Decoder {
    /// Memory held for an incomplete text, in bytes.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Text(held) => held.capacity(),
            _ => 0,
        }
    }

    /// Takes the next frame off `input`; `None` when the input is used up. At most `room` bytes may be buffered.
    pub(crate) fn decode<'i>(
        &mut self,
        input: &mut &'i [u8],
        rules: Rules,
        room: usize,
    ) -> Result<Option<Frame<'i>>, FrameError> {
        while let Some((&first, rest)) = input.split_first() {
            match self {
                Self::Type => {
                    *input = rest;
                    match first {
                        0x00 => match take_text(input, rules)? {
                            Some(text) => {
                                let text = text::decode(Cow::Borrowed(text), rules.invalid_utf8)?;
                                return Ok(Some(Frame::Text(text)));
                            }
                            None => *self = Self::Text(hold(Vec::new(), input, room)?),
                        },
                        0xff => *self = Self::Final,
                        kind if !rules.skip_reserved => return Err(FrameError::ReservedType(kind)),
                        0x01..=0x7f => *self = Self::Discard(0),
                        kind => *self = Self::Length { kind, value: 0, bytes: 0 },
                    }
                }
                Self::Text(held) => {
                    let end = memchr::memchr(0xff, input);
                    let more = end.unwrap_or(input.len());
                    if held.len().saturating_add(more) > rules.max_message_bytes {
                        return Err(FrameError::TooLong);
                    }
                    let (mut part, rest) = input.split_at_checked(more).unwrap_or((*input, &[]));
                    // What is complete is no longer held.
                    let room = if end.is_some() { held.len().saturating_add(more) } else { room };
                    let text = hold(core::mem::take(held), &mut part, room)?;
                    if end.is_some() {
                        *input = rest.get(1..).unwrap_or_default();
                        *self = Self::Type;
                        let text = text::decode(Cow::Owned(text), rules.invalid_utf8)?;
                        return Ok(Some(Frame::Text(text)));
                    }
                    *input = rest;
                    *held = text;
                }
                Self::Discard(count) => {
                    let end = memchr::memchr(0xff, input);
                    *count = count.saturating_add(end.unwrap_or(input.len()));
                    if *count > rules.max_message_bytes {
                        return Err(FrameError::TooLong);
                    }
                    *input = end.and_then(|end| input.get(end.saturating_add(1)..)).unwrap_or_default();
                    if end.is_some() {
                        *self = Self::Type;
                    }
                }
                Self::Final => {
                    // In draft 75 it is an empty frame, but libraries of the time close with it there as well.
                    if first == 0x00 && (rules.protocol == Protocol::Draft76 || !rules.skip_reserved) {
                        *input = rest;
                        *self = Self::Type;
                        return Ok(Some(Frame::Closing));
                    }
                    if !rules.skip_reserved {
                        return Err(FrameError::ReservedLength(first));
                    }
                    *self = Self::Length { kind: 0xff, value: 0, bytes: 0 };
                }
                Self::Length { kind, value, bytes } => {
                    *input = rest;
                    *value = add_length_byte(*value, first, rules.max_message_bytes)?;
                    *bytes = bytes.saturating_add(1);
                    if first & 0x80 == 0 {
                        let closing = *kind == 0xff && *value == 0 && rules.protocol == Protocol::Draft76;
                        *self = if *value == 0 { Self::Type } else { Self::Skip(*value) };
                        if closing {
                            return Ok(Some(Frame::Closing));
                        }
                    } else if *bytes >= MAX_LENGTH_BYTES {
                        return Err(FrameError::EndlessLength);
                    }
                }
                Self::Skip(left) => {
                    let skipped = (*left).min(input.len());
                    *input = input.get(skipped..).unwrap_or_default();
                    *left = left.saturating_sub(skipped);
                    if *left == 0 {
                        *self = Self::Type;
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The text up to its FF, if the input contains it; the FF is consumed too.
fn take_text<'i>(input: &mut &'i [u8], rules: Rules) -> Result<Option<&'i [u8]>, FrameError> {
    let end = memchr::memchr(0xff, input);
    if end.unwrap_or(input.len()) > rules.max_message_bytes {
        return Err(FrameError::TooLong);
    }
    let Some((text, rest)) = end.and_then(|end| input.split_at_checked(end)) else {
        return Ok(None);
    };
    *input = rest.get(1..).unwrap_or_default();
    Ok(Some(text))
}

/// A complete text frame at the start of an input.
struct WholeFrame<'i> {
    text: &'i [u8],
    is_ascii: bool,
    behind: &'i [u8],
}

impl<'i> WholeFrame<'i> {
    /// Always inlined: in WebAssembly its result would otherwise go through memory, which costs more than the rest.
    #[inline(always)]
    fn split(input: &'i [u8], max_message_bytes: usize) -> Option<Self> {
        let (0x00, rest) = input.split_first()? else {
            return None;
        };
        let ascii = text::short_ascii_before_ff(rest);
        let end = ascii.or_else(|| memchr::memchr(0xff, rest)).filter(|end| *end <= max_message_bytes)?;
        let (text, rest) = rest.split_at_checked(end)?;
        Some(Self { text, is_ascii: ascii.is_some(), behind: rest.get(1..)? })
    }
}

/// Takes the complete text frames at the start of `input`, unchanged, and counts them. Call it only at a frame's first
/// byte; the first frame of any other kind is left to [`Decoder::decode`].
pub(crate) fn take_frames<'i>(input: &mut &'i [u8], max_message_bytes: usize) -> (&'i [u8], u64) {
    let all = *input;
    let mut count: u64 = 0;
    while let Some(frame) = WholeFrame::split(input, max_message_bytes)
        && (frame.is_ascii || text::check(frame.text).is_some())
    {
        *input = frame.behind;
        count = count.saturating_add(1);
    }
    (all.get(..all.len().saturating_sub(input.len())).unwrap_or_default(), count)
}

/// Like [`take_frames`], but returns the texts in one piece, with the offset at which each ends.
///
/// Short texts are collected in `short` and validated together. Returns false if they are not valid UTF-8; none is
/// taken then. Do not retry after each frame: every retry would collect them again.
pub(crate) fn take_texts(
    input: &mut &[u8],
    limits: TextLimits,
    short: &mut Vec<u8>,
    text: &mut String,
    ends: &mut Vec<u32>,
) -> bool {
    let mut taken = ends.len();
    let full = taken.saturating_add(limits.count);
    let mut rest = *input;
    short.clear();
    loop {
        let next = if ends.len() < full { WholeFrame::split(rest, limits.bytes) } else { None };
        // A text that begins inside a character could pass for the end of the previous one.
        let next = next.filter(|frame| text::begins_whole(frame.text));
        let is_short = next.as_ref().is_some_and(|frame| frame.text.len() < text::SHORT);
        if !is_short || short.len() >= SHORT_TOGETHER {
            let Some(part) = text::check(short) else {
                ends.truncate(taken);
                return false;
            };
            text.reserve(part.len().saturating_add(next.as_ref().map_or(0, |_| rest.len())));
            text.push_str(part);
            short.clear();
            (*input, taken) = (rest, ends.len());
        }
        let Some(frame) = next else {
            break;
        };
        let end = text.len().saturating_add(short.len()).saturating_add(frame.text.len());
        let Ok(end) = u32::try_from(end) else {
            break;
        };
        if is_short {
            short.extend_from_slice(frame.text);
            ends.push(end);
        } else if let Some(part) = text::check(frame.text) {
            text.push_str(part);
            ends.push(end);
            (*input, taken) = (frame.behind, ends.len());
        } else {
            break;
        }
        rest = frame.behind;
    }
    ends.truncate(taken);
    true
}

/// The part of an input that [`take_texts`] takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextLimits {
    /// Several texts.
    pub(crate) count: usize,
    /// One text.
    pub(crate) bytes: usize,
}

/// Moves the whole of `input` to `held`, whose capacity stays within `room`: allocated memory counts.
pub(crate) fn hold(mut held: Vec<u8>, input: &mut &[u8], room: usize) -> Result<Vec<u8>, FrameError> {
    let more = growth(held.len(), held.capacity(), input.len(), room)?;
    held.try_reserve_exact(more).map_err(|_| FrameError::NoRoom)?;
    held.extend_from_slice(input);
    *input = &[];
    Ok(held)
}

/// For how many bytes to reserve exactly before `more` bytes are appended to `held` ones. Buffers grow by a quarter; a
/// plain vector would double.
pub(crate) fn growth(held: usize, capacity: usize, more: usize, room: usize) -> Result<usize, FrameError> {
    let length = held.saturating_add(more);
    if length > room {
        return Err(FrameError::NoRoom);
    }
    if length <= capacity {
        return Ok(0);
    }
    // The first part may well be the only one.
    let spare = if held == 0 { 0 } else { length / 4 };
    Ok(length.saturating_add(spare).min(room).saturating_sub(held))
}

/// Section 5.3: seven bits a byte, most significant first. By its text, draft 76 would not count a last byte of 00 ("if
/// b is not 0x00"); draft 75, the client's side and the ABNF do, and so do we.
fn add_length_byte(value: usize, byte: u8, max: usize) -> Result<usize, FrameError> {
    value
        .checked_mul(128)
        .and_then(|value| value.checked_add(usize::from(byte & 0x7f)))
        .filter(|value| *value <= max)
        .ok_or(FrameError::TooLong)
}
