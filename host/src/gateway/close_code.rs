//! How the end of one side is told to the other.

use legacy_websocket::Protocol;
use legacy_websocket::step::CloseCause;

/// The close frame that tells the backend how the client has ended: `None` for no close frame, `Some(None)` for one
/// without a code.
pub(super) fn for_backend(protocol: Protocol, cause: &CloseCause, code: Option<u16>) -> Option<Option<u16>> {
    let is_hixie = matches!(protocol, Protocol::Draft75 | Protocol::Draft76);
    Some(match cause {
        CloseCause::ByPeer if !is_hixie => code,
        // FF 00 has no code, and draft 75 not even that.
        CloseCause::ByPeer => Some(1000),
        CloseCause::EndOfStream if protocol == Protocol::Draft75 => Some(1000),
        CloseCause::Reset => return None,
        CloseCause::MessageLimit | CloseCause::BufferLimit => Some(1009),
        CloseCause::BadText => Some(1007),
        CloseCause::BadFrame(_) => Some(1002),
        CloseCause::MessageTimeout => Some(1008),
        _ => Some(1001),
    })
}

/// The code that a client is told, whose protocol has codes, for that of a backend's close frame; 1005 is a frame
/// without one. Those that must not be in a frame become none (RFC 6455 section 7.4.1).
pub(super) fn for_client(code: u16) -> Option<u16> {
    (!matches!(code, 1004..=1006 | 1015)).then_some(code)
}
