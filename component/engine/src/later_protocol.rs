//! Protocols newer than draft 76.

use core::fmt;

/// A protocol after draft 76, by the field that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaterProtocol {
    /// `Sec-WebSocket-Version`: 13 is RFC 6455, 7 and 8 are its late drafts.
    Version(u16),
    /// `Sec-WebSocket-Draft` over 3, or from 1 to 3 (hybi-01 to -03) without the keys of draft 76: clients that send
    /// both speak draft 76.
    Draft(u16),
    /// One of the fields with no number in it, or a `Sec-WebSocket-Key`.
    Unnamed,
}

impl fmt::Display for LaterProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(13) => f.write_str("RFC 6455 (Sec-WebSocket-Version 13)"),
            Self::Version(version) => write!(f, "a hybi draft (Sec-WebSocket-Version {version})"),
            Self::Draft(draft) => write!(f, "a hybi draft (Sec-WebSocket-Draft {draft})"),
            Self::Unnamed => f.write_str("a later protocol without a number"),
        }
    }
}
