//! Text of a frame: bytes to `str`.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::error::FrameError;
use crate::options::InvalidUtf8;

/// Borrows where the bytes are borrowed and are UTF-8; copies only what has to be mended.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_surrogate_becomes_three_replacement_characters_in_both_forms() {
        let bytes = [0xed, 0xa0, 0x80];
        for cow in [Cow::Borrowed(&bytes[..]), Cow::Owned(bytes.to_vec())] {
            assert_eq!(decode(cow.clone(), InvalidUtf8::Replace).unwrap(), "\u{fffd}\u{fffd}\u{fffd}");
            assert_eq!(decode(cow, InvalidUtf8::Close), Err(FrameError::NotUtf8));
        }
    }
}
