//! The application with which the server is composed.

use alloc::vec::Vec;

use legacy_websocket::step::{Command, Event};
use legacy_websocket_guest::{lower_event, with_commands};
use legacy_websocket_shell::Handshakes;

use crate::system::handle;

/// Passes it events, and its commands to `carry`. Handshakes it does not decide are accepted.
pub(crate) fn ask<R>(events: Vec<Event>, carry: impl FnOnce(&[Command<'_>]) -> R) -> R {
    let handshakes = Handshakes::of(&events);
    let events: Vec<_> = events.into_iter().map(lower_event).collect();
    with_commands(&handle(&events), |commands| {
        let mut commands: Vec<Command<'_>> = commands;
        handshakes.accept_undecided(&mut commands);
        carry(&commands)
    })
}
