//! What a peer sends.

use alloc::string::String;
use alloc::vec::Vec;

use super::close::CloseCode;

/// A message or a control frame (RFC 6455 sections 5.5 and 5.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "as many as the RFC has")]
pub enum Event {
    /// A text message, from all of its fragments.
    Text(String),
    /// A binary message, from all of its fragments.
    Binary(Vec<u8>),
    /// A ping, which has been answered; at most 125 bytes.
    Ping(Vec<u8>),
    /// A pong; at most 125 bytes.
    Pong(Vec<u8>),
    /// A close frame, the last thing that is read.
    Close {
        /// Why, if it says.
        code: Option<CloseCode>,
        /// In words, or empty; at most 123 bytes.
        reason: String,
    },
}
