//! Opening handshakes that an application leaves to its shell.
//!
//! Compiled twice, as the adapter is: here, and in the host. Whoever includes it provides a module `wit`.
#![allow(elided_lifetimes_in_paths, reason = "what is owned in one of the bindings is borrowed in the other")]

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::wit;

/// Those that the commands in answer to the events do not decide, and that are accepted behind them, as `handler` says.
pub(crate) fn undecided<'e>(events: &'e [wit::Event], commands: &[wit::Command]) -> Vec<&'e wit::Handshake> {
    let mut undecided: Vec<_> = events.iter().filter_map(handshake).collect();
    if !undecided.is_empty() {
        let decided: BTreeSet<u64> = commands.iter().filter_map(decides).collect();
        undecided.retain(|handshake| !decided.contains(&handshake.connection));
    }
    undecided
}

fn handshake(event: &wit::Event) -> Option<&wit::Handshake> {
    match event {
        wit::Event::Handshake(handshake) => Some(handshake),
        _ => None,
    }
}

/// About whose handshake a command decides.
fn decides(command: &wit::Command) -> Option<u64> {
    match command {
        wit::Command::Accept(acceptance) => Some(acceptance.connection),
        wit::Command::Reject(refusal) => Some(refusal.connection),
        wit::Command::Close(connection) => Some(*connection),
        _ => None,
    }
}
