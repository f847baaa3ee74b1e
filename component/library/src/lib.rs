//! The engine as a component: world `library`. An adapter and nothing else.
//! For other targets it is empty.
#![cfg(target_arch = "wasm32")]
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

extern crate alloc;

mod adapter;
mod bindings;
#[cfg(feature = "faults")]
mod faults;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use legacy_websocket::step;
use legacy_websocket_guest::{lower_head, types, with_commands};

use crate::adapter::{
    default_options, lift_input, lift_options, lift_read, lower_counts, lower_status, lower_step,
};
use crate::bindings::exports::hixie::legacy_websocket::legacy_websocket as wit;

struct Component;

impl wit::Guest for Component {
    type Server = Exported;

    fn default_options() -> wit::Options {
        default_options()
    }
}

/// Exported resources get `&self`. No call is made while another one runs, so the borrows never overlap; a
/// failed one would give an empty answer rather than a trap.
struct Exported(RefCell<step::Server>);

impl Exported {
    fn step(&self, run: impl FnOnce(&mut step::Server) -> step::Step) -> wit::Step {
        lower_step(self.0.try_borrow_mut().map(|mut server| run(&mut server)).unwrap_or_default())
    }

    fn look<T: Default>(&self, get: impl FnOnce(&step::Server) -> T) -> T {
        self.0.try_borrow().map(|server| get(&server)).unwrap_or_default()
    }
}

impl wit::GuestServer for Exported {
    fn create(options: wit::Options) -> Result<wit::Server, String> {
        let server = step::Server::new(lift_options(options)).map_err(|error| error.to_string())?;
        Ok(wit::Server::new(Self(RefCell::new(server))))
    }

    fn turn(&self, now: u64, inputs: Vec<wit::Input>) -> wit::Step {
        let inputs: Vec<_> = inputs.into_iter().map(lift_input).collect();
        self.step(|server| server.turn(now, &inputs))
    }

    fn receive(&self, now: u64, reads: Vec<wit::Read>, bytes: Vec<u8>) -> wit::Step {
        #[cfg(feature = "faults")]
        faults::commit(&bytes);
        let reads: Vec<_> = reads.into_iter().map(lift_read).collect();
        self.step(|server| server.receive(now, &reads, &bytes))
    }

    fn command(&self, commands: Vec<types::Command>, last: bool) -> wit::Step {
        self.step(|server| {
            with_commands(&commands, |commands| match last {
                true => server.command(&commands),
                false => server.command_partly(&commands),
            })
        })
    }

    fn set_budget(&self, events: u32) {
        if let Ok(mut server) = self.0.try_borrow_mut() {
            server.set_budget(events);
        }
    }

    fn head(&self, connection: u64) -> Option<types::RequestHead> {
        self.look(|server| server.head(connection)).map(lower_head)
    }

    fn cookies(&self, connection: u64) -> Vec<(String, String)> {
        self.look(|server| server.cookies(connection))
    }

    fn connections(&self) -> Vec<wit::Status> {
        self.look(step::Server::connections).into_iter().map(lower_status).collect()
    }

    fn counts(&self) -> wit::Counts {
        lower_counts(self.look(step::Server::counts))
    }
}
