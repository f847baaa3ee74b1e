//! The application, to which the server is composed.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::bindings::hixie::legacy_websocket::handler::handle;
use crate::wit::{Acceptance, Command, Event};

/// Hands events to the application. A handshake that it does not decide is accepted, as `handler` says.
pub(crate) fn ask(events: &[Event]) -> Vec<Command> {
    if events.is_empty() {
        return Vec::new();
    }
    let mut commands = handle(events);
    let decided: BTreeSet<u64> = commands.iter().filter_map(decides).collect();
    for event in events {
        if let Event::Handshake(handshake) = event
            && !decided.contains(&handshake.connection)
        {
            commands.push(Command::Accept(Acceptance {
                connection: handshake.connection,
                subprotocol: handshake.subprotocol.clone(),
                fields: Vec::new(),
            }));
        }
    }
    commands
}

/// About whose handshake a command decides.
fn decides(command: &Command) -> Option<u64> {
    match command {
        Command::Accept(acceptance) => Some(acceptance.connection),
        Command::Reject(refusal) => Some(refusal.connection),
        Command::Close(connection) => Some(*connection),
        _ => None,
    }
}
