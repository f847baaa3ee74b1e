//! Admission of new connections: accepted, or refused if there are too many.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use legacy_websocket::step::{Input, Opened};
use legacy_websocket_shell::{Level, LogCategory, Refusal};

use super::Shell;
use crate::clock::now;
use crate::link::Link;
use crate::system::Socket;

/// Connections accepted in one turn.
const MAX_ACCEPTS: usize = 256;

/// Connections being refused concurrently; any more are closed without an answer.
const MAX_REFUSALS: usize = 64;

/// How long to stop accepting after a failed accept, in milliseconds: the host may be out of descriptors.
const ACCEPT_PAUSE: u64 = 100;

impl Shell {
    pub(super) fn accept(&mut self, at: usize, inputs: &mut Vec<Input>) {
        for _ in 0..MAX_ACCEPTS {
            let Some(listener) = self.listeners.get_mut(at) else {
                return;
            };
            match listener.accept() {
                Ok(Some(socket)) => match socket.peer() {
                    Some(peer) => self.let_in(socket, peer.to_string(), inputs),
                    None => {
                        self.log.write(Level::Debug, format_args!("connection closed before it was served"));
                    }
                },
                Ok(None) => return,
                Err(error) => {
                    self.accept_from = now().saturating_add(ACCEPT_PAUSE);
                    if let Some(permit) = self.log.permit(LogCategory::Admission) {
                        self.log.write(
                            Level::Warn,
                            format_args!("accept failed: {error}; retrying in {ACCEPT_PAUSE}ms{permit}"),
                        );
                    }
                    return;
                }
            }
        }
    }

    fn let_in(&mut self, socket: Socket, peer: String, inputs: &mut Vec<Input>) {
        let refused = self.links.len().saturating_sub(self.open);
        let full = self.open.saturating_add(self.draining.len()) >= self.options.max_connections;
        if full {
            self.observe_refused(&peer, Refusal::Full);
            if refused >= MAX_REFUSALS {
                return;
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        if full {
            self.links.insert(id, Link::refuse(socket, peer, Refusal::Full, &self.options, &self.held));
            self.touched.push(id);
            return;
        }
        self.totals.connections += 1;
        self.open += 1;
        self.links.insert(id, Link::new(socket, peer.clone(), &self.options, &self.held));
        self.link_changed(id);
        inputs.push(Input::Opened(Opened { connection: id, peer, secure: false }));
    }
}
