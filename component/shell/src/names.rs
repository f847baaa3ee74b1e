//! Names used in the log, in metrics and on the status page: those of the WIT package.

use legacy_websocket::step::{CloseCause, CommandKind, Failure, Protocol, State};

/// The name of a cause.
#[must_use]
pub fn cause_name(cause: &CloseCause) -> &'static str {
    match cause {
        CloseCause::ByPeer => "by-peer",
        CloseCause::ByUs => "by-us",
        CloseCause::ByUsAbruptly => "by-us-abruptly",
        CloseCause::EndOfStream => "end-of-stream",
        CloseCause::Reset => "reset",
        CloseCause::HandshakeTimeout => "handshake-timeout",
        CloseCause::IdleTimeout => "idle-timeout",
        CloseCause::PingTimeout => "ping-timeout",
        CloseCause::MessageTimeout => "message-timeout",
        CloseCause::CloseTimeout => "close-timeout",
        CloseCause::Refused => "refused",
        CloseCause::Responded => "responded",
        CloseCause::BadFrame(_) => "bad-frame",
        CloseCause::BadText => "bad-text",
        CloseCause::MessageLimit => "message-limit",
        CloseCause::BufferLimit => "buffer-limit",
        CloseCause::SlowReader => "slow-reader",
        CloseCause::EngineLost => "engine-lost",
        CloseCause::Other(_) => "other",
    }
}

/// The details of a cause, after its name.
#[must_use]
pub fn cause_detail(cause: &CloseCause) -> Option<&str> {
    match cause {
        CloseCause::BadFrame(detail) | CloseCause::Other(detail) => Some(detail),
        _ => None,
    }
}

/// The name of a state.
#[must_use]
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Unknown => "unknown",
        State::Opening => "opening",
        State::Waiting => "waiting",
        State::Handshaking => "handshaking",
        State::Connected => "connected",
        State::Closed => "closed",
    }
}

/// The name of a protocol.
#[must_use]
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Draft75 => "draft75",
        Protocol::Draft76 => "draft76",
        Protocol::Hybi7 => "hybi7",
        Protocol::Hybi8 => "hybi8",
        Protocol::Rfc6455 => "rfc6455",
    }
}

pub(crate) fn command_name(command: CommandKind) -> &'static str {
    match command {
        CommandKind::Send => "send",
        CommandKind::SendBinary => "send-binary",
        CommandKind::Close => "close",
        CommandKind::Accept => "accept",
        CommandKind::Reject => "reject",
        CommandKind::Respond => "respond",
    }
}

pub(crate) fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::UnknownConnection => "unknown-connection",
        Failure::WrongState => "wrong-state",
        Failure::Invalid => "invalid",
        Failure::NotText => "not-text",
    }
}
