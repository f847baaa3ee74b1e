//! The application, to which the server is composed.

use alloc::vec::Vec;

use crate::bindings::hixie::legacy_websocket::handler::handle;
use crate::undecided::undecided;
use crate::wit::{Acceptance, Command, Event};

/// Hands events to the application. A handshake that it does not decide is accepted.
pub(crate) fn ask(events: &[Event]) -> Vec<Command> {
    if events.is_empty() {
        return Vec::new();
    }
    let mut commands = handle(events);
    for handshake in undecided(events, &commands) {
        commands.push(Command::Accept(Acceptance {
            connection: handshake.connection,
            subprotocol: handshake.subprotocol.clone(),
            fields: Vec::new(),
        }));
    }
    commands
}
