//! Many short texts at once: those whose frames are whole in one read.

use alloc::string::String;
use alloc::vec::Vec;

use super::header::{Header, Opcode, Rules};
use super::mask::Mask;
use crate::frame::TextLimits;
use crate::text;

/// How many bytes of texts are unmasked and checked together, and the longest that is one of them: few enough for the
/// L1 cache, so that a text crosses memory once.
const TOGETHER: usize = 4096;

/// A text message of one frame at the start of an input.
struct WholeText<'i> {
    masked: &'i [u8],
    mask: Mask,
    behind: &'i [u8],
}

impl<'i> WholeText<'i> {
    /// None for anything else, be it allowed or not.
    #[inline(always)]
    fn split(input: &'i [u8], max_message_bytes: usize) -> Option<Self> {
        let mut rest = input;
        let max_payload = max_message_bytes.min(TOGETHER);
        let header = Header::parse(&mut rest, Rules { in_message: false, max_payload }).ok()??;
        if !header.fin || header.opcode != Opcode::Text {
            return None;
        }
        let (masked, behind) = rest.split_at_checked(header.payload)?;
        // A text that begins inside a character could pass as the end of the one before it.
        let first = masked.first().map(|first| header.mask.peek(*first));
        text::begins_whole(first.as_slice()).then_some(Self { masked, mask: header.mask, behind })
    }
}

/// Takes the short texts at the start of `input`: appends them to `text`, and where each ends to `ends`. Call it only
/// between messages; the first frame of any other kind is left to the decoder.
///
/// They are unmasked in `scratch` and checked together. False if they are not valid: then none of those is taken, and
/// do not retry after each frame, which would unmask them each time.
pub(super) fn take_texts(
    input: &mut &[u8],
    limits: TextLimits,
    scratch: &mut Vec<u8>,
    text: &mut String,
    ends: &mut Vec<u32>,
) -> bool {
    let mut taken = ends.len();
    let full = taken.saturating_add(limits.count);
    let mut rest = *input;
    scratch.clear();
    loop {
        let next = if ends.len() < full { WholeText::split(rest, limits.bytes) } else { None };
        if next.is_none() || scratch.len() >= TOGETHER {
            let Some(part) = text::check(scratch) else {
                ends.truncate(taken);
                return false;
            };
            text.reserve(part.len().saturating_add(next.as_ref().map_or(0, |_| rest.len())));
            text.push_str(part);
            scratch.clear();
            (*input, taken) = (rest, ends.len());
        }
        let Some(mut frame) = next else {
            return true;
        };
        let end = text.len().saturating_add(scratch.len()).saturating_add(frame.masked.len());
        let Ok(end) = u32::try_from(end) else {
            ends.truncate(taken);
            return true;
        };
        frame.mask.append(frame.masked, scratch);
        ends.push(end);
        rest = frame.behind;
    }
}
