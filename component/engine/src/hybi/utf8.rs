//! Text that comes in pieces, which may cut a character (RFC 6455 section 8.1).

use alloc::string::String;

use super::mask::Mask;
use crate::error::FrameError;
use crate::frame::growth;
use crate::text;

/// How many bytes are unmasked and checked together before they are appended: a `String` takes only what is known to be
/// UTF-8.
const PIECE: usize = 2048;

/// A text message so far. Its bytes are checked once, when they come.
#[derive(Debug, Default)]
pub(super) struct PartialText {
    text: String,
    /// A character that is cut: its first bytes, in the first places.
    cut: [u8; 4],
    cut_length: u8,
}

impl PartialText {
    /// Memory held, in bytes.
    pub(super) fn held(&self) -> usize {
        self.text.capacity()
    }

    /// Bytes received.
    pub(super) fn len(&self) -> usize {
        self.text.len().saturating_add(self.cut_length.into())
    }

    /// Appends payload, within `room`.
    pub(super) fn append(&mut self, masked: &[u8], mask: &mut Mask, room: usize) -> Result<(), FrameError> {
        let more = masked.len().saturating_add(self.cut_length.into());
        let more = growth(self.text.len(), self.text.capacity(), more, room)?;
        self.text.try_reserve_exact(more).map_err(|_| FrameError::NoRoom)?;
        let mut buffer = [0; PIECE];
        for masked in masked.chunks(PIECE) {
            let piece = buffer.get_mut(..masked.len()).unwrap_or_default();
            piece.copy_from_slice(masked);
            mask.apply(piece);
            self.push(piece)?;
        }
        Ok(())
    }

    /// The whole message.
    pub(super) fn finish(self) -> Result<String, FrameError> {
        if self.cut_length == 0 { Ok(self.text) } else { Err(FrameError::NotUtf8) }
    }

    /// Fails at the first byte that no valid text has there.
    fn push(&mut self, mut piece: &[u8]) -> Result<(), FrameError> {
        while self.cut_length != 0 {
            let Some((&next, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            let length = usize::from(self.cut_length);
            if let Some(byte) = self.cut.get_mut(length) {
                *byte = next;
            }
            let character = self.cut.get(..=length).ok_or(FrameError::NotUtf8)?;
            match begin(character)? {
                Some(character) => {
                    self.text.push_str(character);
                    self.cut_length = 0;
                }
                None => self.cut_length = self.cut_length.saturating_add(1),
            }
        }
        let whole = piece.len().saturating_sub(cut_at_end(piece));
        let (whole, cut) = piece.split_at_checked(whole).ok_or(FrameError::NotUtf8)?;
        self.text.push_str(text::check(whole).ok_or(FrameError::NotUtf8)?);
        begin(cut)?;
        for (to, byte) in self.cut.iter_mut().zip(cut) {
            *to = *byte;
            self.cut_length = self.cut_length.saturating_add(1);
        }
        Ok(())
    }
}

/// The character that these bytes are; None if they can still become one.
fn begin(bytes: &[u8]) -> Result<Option<&str>, FrameError> {
    match str::from_utf8(bytes) {
        Ok(character) => Ok(Some(character)),
        Err(error) if error.error_len().is_none() => Ok(None),
        Err(_) => Err(FrameError::NotUtf8),
    }
}

/// How many bytes at the end are the beginning of a longer character, by its first byte.
fn cut_at_end(bytes: &[u8]) -> usize {
    for (back, byte) in (1..=3).zip(bytes.iter().rev()) {
        let length = match byte {
            0x80..=0xbf => continue,
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// How many bytes are taken, in pieces of this size, before it fails; the text if it does not.
    fn read(bytes: &[u8], size: usize) -> Result<Option<String>, usize> {
        let mut text = PartialText::default();
        for (at, piece) in (0_usize..).step_by(size).zip(bytes.chunks(size)) {
            text.push(piece).map_err(|_| at)?;
        }
        Ok(text.finish().ok())
    }

    #[test]
    fn text_is_the_same_however_it_is_cut() {
        let text = "aé€😀\u{10ffff}\u{0}\u{7ff}\u{800}\u{ffff}".repeat(80);
        for size in 1..=text.len() {
            assert_eq!(read(text.as_bytes(), size), Ok(Some(text.clone())), "{size}");
        }
    }

    #[test]
    fn text_that_ends_inside_a_character_is_not_utf8() {
        for bytes in [&b"\xc3"[..], b"a\xe2\x82", b"\xf0\x9f\x98"] {
            for size in 1..=bytes.len() {
                assert_eq!(read(bytes, size), Ok(None));
            }
        }
    }

    #[test]
    fn it_fails_at_the_first_byte_that_cannot_be() {
        for (bytes, valid) in [
            (&b"abc\x80d"[..], 3),
            (b"ab\xc0\xaf", 2),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf0\x80\x80\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5", 0),
            (b"a\xff", 1),
            (b"\xe2\x82a", 2),
            (b"\xf0\x9f\x98\xff", 3),
            (b"\xce\xba\xed\xa0\x80", 3),
        ] {
            assert_eq!(read(bytes, 1), Err(valid), "{}", bytes.escape_ascii());
            assert_eq!(read(bytes, bytes.len()), Err(0), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn it_agrees_with_the_standard_library_on_every_pair_and_triple_of_edges() {
        let edges = [
            0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
            0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        for a in edges {
            for b in edges {
                for c in edges {
                    for bytes in [Vec::from([a, b]), Vec::from([a, b, c]), Vec::from([a, b, c, 0x80])] {
                        let expected = str::from_utf8(&bytes).ok();
                        for size in 1..=bytes.len() {
                            let text = read(&bytes, size).ok().flatten();
                            assert_eq!(text.as_deref(), expected, "{}", bytes.escape_ascii());
                        }
                    }
                }
            }
        }
    }
}
