//! The protocols that a server speaks.

use crate::hybi::version::Version;

/// What a client speaks after its opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there will be no sixth")]
pub enum Protocol {
    /// draft-hixie-thewebsocketprotocol-75: no challenge, no closing handshake.
    Draft75,
    /// draft-hixie-thewebsocketprotocol-76, also hybi-00: challenge and closing handshake.
    Draft76,
    /// draft-ietf-hybi-thewebsocketprotocol-07: `Sec-WebSocket-Version: 7`.
    Hybi7,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12: `Sec-WebSocket-Version: 8`.
    Hybi8,
    /// RFC 6455, and hybi-13 to -17: `Sec-WebSocket-Version: 13`.
    Rfc6455,
}

impl Protocol {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [Self::Draft75, Self::Draft76, Self::Hybi7, Self::Hybi8, Self::Rfc6455];

    /// The version whose frames it has; None: the frames of the two hixie drafts.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Draft75 | Self::Draft76 => None,
            Self::Hybi7 => Some(Version::V7),
            Self::Hybi8 => Some(Version::V8),
            Self::Rfc6455 => Some(Version::V13),
        }
    }

    /// It has the frames of RFC 6455.
    #[must_use]
    pub fn is_hybi(self) -> bool {
        self.version().is_some()
    }

    fn bit(self) -> u8 {
        match self {
            Self::Draft75 => 0x01,
            Self::Draft76 => 0x02,
            Self::Hybi7 => 0x04,
            Self::Hybi8 => 0x08,
            Self::Rfc6455 => 0x10,
        }
    }
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Self {
        match version {
            Version::V7 => Self::Hybi7,
            Version::V8 => Self::Hybi8,
            Version::V13 => Self::Rfc6455,
        }
    }
}

/// A set of protocols. The default has all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    /// Whether a protocol is one of them.
    #[must_use]
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & protocol.bit() != 0
    }

    /// Those in the set, the oldest first.
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.into_iter().filter(move |protocol| self.contains(*protocol))
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Protocol::ALL.into_iter().collect()
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Self(protocols.into_iter().fold(0, |bits, protocol| bits | protocol.bit()))
    }
}

impl core::fmt::Debug for Protocols {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
