//! The challenge of draft 76 (section 5.2, steps 4 to 9).

use md5::{Digest, Md5};

use crate::error::MalformedKey;

/// The 8 bytes after the head of a draft 76 request.
pub(crate) const KEY3_BYTES: usize = 8;

/// Steps 4 to 7: the digits as one number, divided by the number of spaces.
///
/// The value must be the field's bytes after the colon and exactly one space: any further space counts.
pub(crate) fn key_part(key: &[u8]) -> Result<u32, MalformedKey> {
    let mut number: Option<u64> = None;
    let mut spaces = 0_u64;
    for &byte in key {
        match byte {
            b'0'..=b'9' => {
                let digit = u64::from(byte.wrapping_sub(b'0'));
                let shifted = number.unwrap_or(0).checked_mul(10).ok_or(MalformedKey::TooLarge)?;
                number = Some(shifted.checked_add(digit).ok_or(MalformedKey::TooLarge)?);
            }
            b' ' => spaces = spaces.saturating_add(1),
            _ => {}
        }
    }
    let number = number.ok_or(MalformedKey::NoDigits)?;
    let quotient = number.checked_div(spaces).ok_or(MalformedKey::NoSpaces)?;
    if quotient.checked_mul(spaces) != Some(number) {
        return Err(MalformedKey::NotMultiple);
    }
    u32::try_from(quotient).map_err(|_| MalformedKey::TooLarge)
}

/// Steps 8 and 9: MD5 of both parts, big-endian, and key3 as received.
pub(crate) fn answer(part1: u32, part2: u32, key3: [u8; KEY3_BYTES]) -> [u8; 16] {
    let mut md5 = Md5::new();
    md5.update(part1.to_be_bytes());
    md5.update(part2.to_be_bytes());
    md5.update(key3);
    md5.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_over_64_bits_is_too_large_and_does_not_wrap() {
        assert_eq!(key_part(b"18446744073709551616 "), Err(MalformedKey::TooLarge));
        assert_eq!(key_part(b"99999999999999999999999999 x"), Err(MalformedKey::TooLarge));
    }

    #[test]
    fn each_malformed_key_has_its_own_reason() {
        assert_eq!(key_part(b"nospaces1"), Err(MalformedKey::NoSpaces));
        assert_eq!(key_part(b"a b c"), Err(MalformedKey::NoDigits));
        assert_eq!(key_part(b""), Err(MalformedKey::NoDigits));
        assert_eq!(key_part(b"1 2 "), Ok(6));
        assert_eq!(key_part(b"1 3 "), Err(MalformedKey::NotMultiple));
        assert_eq!(key_part(b"4294967296 "), Err(MalformedKey::TooLarge));
        assert_eq!(key_part(b"4294967295 "), Ok(u32::MAX));
    }
}
