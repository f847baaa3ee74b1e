//! Close frames: code and reason (RFC 6455 sections 5.5.1 and 7.4).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::header::MAX_CONTROL_BYTES;
use super::version::Version;
use crate::error::FrameError;

/// Bytes of a close frame's reason: what the code leaves.
const MAX_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

/// Why a connection is closed (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// A frame that the protocol does not allow.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that is not accepted: binary where only text is.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message against the receiver's policy, and whatever has no code of its own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message that is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// The code of this number, if it may be in a close frame: 1000 to 1003, 1007 to 1014 (1012 to 1014 are
    /// registered since), and 3000 to 4999, which belong to libraries and applications.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// As received. The drafts before RFC 6455 moved numbers about (1004 once was "too large"), and their clients are
    /// going anyway: only numbers that no draft allows in a frame are refused.
    fn receive(number: u16, version: Version) -> Result<Self, FrameError> {
        let code = match version {
            Version::V13 => Self::new(number),
            Version::V7 | Version::V8 => {
                matches!(number, 1000..=1004 | 1007..=1014 | 1016..=4999).then_some(Self(number))
            }
        };
        code.ok_or(FrameError::CloseCode(number))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The code that tells the peer: the single table of what an error means on the wire.
impl From<FrameError> for CloseCode {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::NotUtf8 => Self::INVALID_PAYLOAD,
            // We could take a smaller one.
            FrameError::TooLong | FrameError::NoRoom => Self::MESSAGE_TOO_BIG,
            FrameError::ReservedType(_)
            | FrameError::ReservedLength(_)
            | FrameError::EndlessLength
            | FrameError::Unmasked
            | FrameError::ReservedBit
            | FrameError::ReservedOpcode(_)
            | FrameError::LongLength
            | FrameError::NothingToContinue
            | FrameError::Interleaved
            | FrameError::FragmentedControl
            | FrameError::LongControl
            | FrameError::HalfCloseCode
            | FrameError::CloseCode(_) => Self::PROTOCOL_ERROR,
        }
    }
}

/// What the payload of a close frame says.
pub(super) fn read(payload: &[u8], version: Version) -> Result<(Option<CloseCode>, String), FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok((None, String::new())) } else { Err(FrameError::HalfCloseCode) };
    };
    let code = CloseCode::receive(u16::from_be_bytes(*code), version)?;
    let reason = str::from_utf8(reason).map_err(|_| FrameError::NotUtf8)?;
    Ok((Some(code), reason.into()))
}

/// The payload of a close frame. Of the reason, the whole characters of the first 123 bytes.
pub(super) fn payload(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let Some(code) = code else {
        return Vec::new();
    };
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    [&code.0.to_be_bytes(), reason.as_bytes().get(..end).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(number: u16, version: Version) -> Result<u16, FrameError> {
        let (code, _) = read(&number.to_be_bytes(), version)?;
        Ok(code.unwrap().number())
    }

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        for number in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            for version in Version::ALL {
                assert_eq!(code(number, version), Ok(number));
            }
        }
        for number in [0, 999, 1005, 1006, 1015, 5000, 65_535] {
            for version in Version::ALL {
                assert_eq!(code(number, version), Err(FrameError::CloseCode(number)));
            }
        }
    }

    #[test]
    fn drafts_before_the_rfc_had_other_codes() {
        for number in [1004, 1016, 1100, 2000, 2999] {
            assert_eq!(code(number, Version::V13), Err(FrameError::CloseCode(number)));
            assert_eq!(code(number, Version::V8), Ok(number));
            assert_eq!(code(number, Version::V7), Ok(number));
        }
    }

    #[test]
    fn a_close_frame_has_no_code_or_a_whole_one_and_a_reason_in_utf8() {
        let read = |payload| read(payload, Version::V13);
        assert_eq!(read(b""), Ok((None, String::new())));
        assert_eq!(read(b"\x03"), Err(FrameError::HalfCloseCode));
        assert_eq!(read(b"\x03\xe8"), Ok((Some(CloseCode::NORMAL), String::new())));
        assert_eq!(read(b"\x0f\xa0\xc3\xa9"), Ok((CloseCode::new(4000), "é".into())));
        assert_eq!(read(b"\x03\xe8\xc3"), Err(FrameError::NotUtf8));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "a".repeat(122) + "é";
        assert_eq!(
            payload(Some(CloseCode::NORMAL), &long),
            [b"\x03\xe8", "a".repeat(122).as_bytes()].concat()
        );
        let fits = "a".repeat(121) + "é";
        assert_eq!(payload(Some(CloseCode::NORMAL), &fits).len(), 125);
        assert_eq!(payload(None, "lost"), b"");
    }
}
