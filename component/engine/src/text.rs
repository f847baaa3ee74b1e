//! The text of a frame: from bytes to `str`.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::error::FrameError;
use crate::options::InvalidUtf8;

/// Below this many bytes simdutf8 does not use SIMD.
pub(crate) const SHORT: usize = 64;

/// Decodes bytes as text.
pub(crate) fn check(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Whether the bytes start at a character boundary.
pub(crate) fn begins_whole(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| first & 0xc0 != 0x80)
}

/// Finds the first FF, if it is near and everything before it is ASCII: one pass over the words answers both. For
/// short messages this is faster than a search followed by a check.
pub(crate) fn short_ascii_before_ff(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.get(..SHORT).unwrap_or(bytes);
    let (words, _) = bytes.as_chunks();
    let mut start = 0_usize;
    let mut found = None;
    for word in words {
        found = first_beyond_ascii(word);
        if found.is_some() {
            break;
        }
        start = start.saturating_add(WORD);
    }
    if found.is_none() {
        start = bytes.len().checked_sub(WORD)?;
        found = bytes.last_chunk().and_then(first_beyond_ascii);
    }
    let at = start.saturating_add(found?);
    (bytes.get(at) == Some(&0xff)).then_some(at)
}

const WORD: usize = size_of::<u128>();
const BEYOND_ASCII: u128 = u128::from_ne_bytes([0x80; WORD]);

fn first_beyond_ascii(word: &[u8; WORD]) -> Option<usize> {
    let high = u128::from_le_bytes(*word) & BEYOND_ASCII;
    (high != 0).then(|| usize::try_from(high.trailing_zeros() / u8::BITS).unwrap_or(0))
}

/// Borrows if the bytes are borrowed and valid UTF-8; copies only to repair.
pub(crate) fn decode(bytes: Cow<'_, [u8]>, invalid: InvalidUtf8) -> Result<Cow<'_, str>, FrameError> {
    let broken = match bytes {
        Cow::Borrowed(bytes) => match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => return Ok(Cow::Borrowed(text)),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Ok(Cow::Owned(text)),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        },
    };
    match invalid {
        InvalidUtf8::Replace => Ok(Cow::Owned(broken)),
        InvalidUtf8::Close => Err(FrameError::NotUtf8),
    }
}

/// The texts of one string, by where each ends. Stops at an end that is no boundary, or before the last one.
pub(crate) fn split<'t>(text: &'t str, ends: &'t [u32]) -> impl Iterator<Item = &'t str> {
    let mut start = 0;
    ends.iter().map_while(move |end| {
        let end = usize::try_from(*end).ok()?;
        let part = text.get(start..end);
        start = end;
        part
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn the_end_of_short_ascii_is_found_at_any_length_and_alignment() {
        for length in 0..100 {
            for behind in 0..40 {
                let bytes = [vec![b'x'; length], vec![0xff], vec![b'y'; behind]].concat();
                // Shorter than a word, or beyond the range: left to the caller.
                let expected = (bytes.len() >= WORD && length < SHORT).then_some(length);
                assert_eq!(short_ascii_before_ff(&bytes), expected, "{length} {behind}");
            }
        }
    }

    #[test]
    fn non_ascii_is_not_mistaken_for_ascii() {
        for at in 0..40 {
            let mut bytes = [b'x'; 64];
            bytes[40] = 0xff;
            bytes[at] = 0x80;
            assert_eq!(short_ascii_before_ff(&bytes), None);
        }
        assert_eq!(short_ascii_before_ff(&[b'x'; 64]), None);
    }

    #[test]
    fn a_lone_surrogate_becomes_three_replacement_characters_in_both_forms() {
        let bytes = [0xed, 0xa0, 0x80];
        for cow in [Cow::Borrowed(&bytes[..]), Cow::Owned(bytes.to_vec())] {
            assert_eq!(decode(cow.clone(), InvalidUtf8::Replace).unwrap(), "\u{fffd}\u{fffd}\u{fffd}");
            assert_eq!(decode(cow, InvalidUtf8::Close), Err(FrameError::NotUtf8));
        }
    }
}
