//! What ends a pair besides its two sides.

use thiserror::Error;
use tokio_websockets::{CloseCode, Error};

/// What went wrong with a backend, or is not to be passed on.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("ended its connection without a close frame")]
    Lost,
    #[error("connection failed: {0}")]
    Io(std::io::Error),
    #[error("broke the protocol: {0}")]
    Protocol(String),
    #[error("sent a message that is too long")]
    TooLong,
    #[error("sent a binary message to a client that has only text: see the option binary")]
    Binary,
    #[error("cannot be sent what the client said: it is not base64")]
    Base64,
    #[error("does not answer a ping in time")]
    Ping,
    #[error("has sent nothing for too long")]
    Idle,
    #[error("does not answer a close frame in time")]
    CloseTimeout,
}

impl Failure {
    /// The label of the metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Lost | Self::Io(_) => "lost",
            Self::Protocol(_) => "protocol",
            Self::TooLong => "too-long",
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::Ping => "ping",
            Self::Idle => "idle",
            Self::CloseTimeout => "close-timeout",
        }
    }

    /// What the backend is told, unless the library has told it already; none if it cannot hear.
    pub(super) fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Binary => Some(CloseCode::UNSUPPORTED_DATA),
            Self::Base64 => Some(CloseCode::INVALID_FRAME_PAYLOAD_DATA),
            Self::TooLong => Some(CloseCode::MESSAGE_TOO_BIG),
            Self::Ping | Self::Idle => Some(CloseCode::GOING_AWAY),
            Self::Protocol(_) => Some(CloseCode::PROTOCOL_ERROR),
            Self::Lost | Self::Io(_) | Self::CloseTimeout => None,
        }
    }

    /// What a client is told whose protocol has close codes.
    pub(super) fn code_for_client(&self) -> u16 {
        match self {
            Self::TooLong => 1009,
            Self::Base64 => 1007,
            _ => 1011,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Io(error),
            Error::PayloadTooLong { .. } => Self::TooLong,
            Error::AlreadyClosed => Self::Lost,
            error => Self::Protocol(error.to_string()),
        }
    }
}
