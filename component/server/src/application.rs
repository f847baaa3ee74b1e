//! The application, to which the server is composed.

use alloc::vec::Vec;

use crate::bindings::hixie::legacy_websocket::handler::handle;
use crate::undecided::undecided;
use crate::wit::{Acceptance, Command, Event, Recipients};

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

/// As the engine's budget counts them.
pub(crate) fn event_count(events: &[Event]) -> usize {
    let count = |event: &Event| match event {
        Event::Messages(messages) => messages.ends.len(),
        Event::StateChanged(_) => 0,
        _ => 1,
    };
    events.iter().map(count).sum()
}

/// What a command holds, about.
pub(crate) fn command_bytes(command: &Command) -> usize {
    match command {
        Command::Send(outgoing) => {
            let to = match &outgoing.to {
                Recipients::Many(connections) => size_of_val(connections.as_slice()),
                _ => 0,
            };
            outgoing.text.len().saturating_add(size_of_val(outgoing.ends.as_slice())).saturating_add(to)
        }
        Command::Respond(response) => response.body.len(),
        _ => 0,
    }
}
