//! Which of the protocols with this framing a client speaks.

/// The value of `Sec-WebSocket-Version`. Frames are the same in all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a later version would be another protocol")]
pub enum Version {
    /// draft-ietf-hybi-thewebsocketprotocol-07: Firefox 6.
    V7,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12: Chrome 14 and 15, Firefox 7 to 10.
    V8,
    /// RFC 6455, and draft-ietf-hybi-thewebsocketprotocol-13 to -17: all later browsers.
    V13,
}

impl Version {
    /// All of them, in the order in which a refusal names them.
    pub const ALL: [Self; 3] = [Self::V13, Self::V8, Self::V7];

    /// The number in the field.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::V7 => 7,
            Self::V8 => 8,
            Self::V13 => 13,
        }
    }
}
