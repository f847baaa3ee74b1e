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
mod runtime;
mod wit;

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::adapter::Adapter;
use crate::bindings::exports::hixie::legacy_websocket::legacy_websocket::{Guest, GuestServer, Server};

struct Component;

impl Guest for Component {
    type Server = Exported;

    fn default_options() -> wit::Options {
        wit::Options {
            version: wit::Version::Auto,
            origins: Vec::new(),
            subprotocols: Vec::new(),
            hosts: Vec::new(),
            public_url: None,
            trust_forwarded: false,
            authorise: false,
            echo: false,
            skip_reserved_frames: false,
            invalid_utf8: wit::InvalidUtf8::Replace,
            flash_policy: None,
            health_path: None,
            limits: adapter::default_limits(),
        }
    }
}

/// Exported resources get `&self`. No call is made while another one runs, so the borrows never overlap; a
/// failed one would give an empty answer rather than a trap.
struct Exported(RefCell<Adapter>);

impl Exported {
    fn step(&self, run: impl FnOnce(&mut Adapter) -> wit::Step) -> wit::Step {
        match self.0.try_borrow_mut() {
            Ok(mut adapter) => run(&mut adapter),
            Err(_) => wit::Step {
                events: Vec::new(),
                transmissions: Vec::new(),
                next_timeout: None,
                paused: Vec::new(),
            },
        }
    }

    fn look<T>(&self, get: impl FnOnce(&Adapter) -> Option<T>) -> Option<T> {
        self.0.try_borrow().ok().and_then(|adapter| get(&adapter))
    }
}

impl GuestServer for Exported {
    fn create(options: wit::Options) -> Result<Server, String> {
        Ok(Server::new(Self(RefCell::new(Adapter::create(&options)?))))
    }

    fn turn(&self, now: u64, inputs: Vec<wit::Input>) -> wit::Step {
        self.step(|adapter| adapter.turn(now, &inputs))
    }

    fn receive(&self, now: u64, reads: Vec<wit::Read>, bytes: Vec<u8>) -> wit::Step {
        #[cfg(feature = "faults")]
        faults::commit(&bytes);
        self.step(|adapter| adapter.receive(now, &reads, &bytes))
    }

    fn command(&self, commands: Vec<wit::Command>) -> wit::Step {
        self.step(|adapter| adapter.command(&commands))
    }

    fn command_partly(&self, commands: Vec<wit::Command>) -> wit::Step {
        self.step(|adapter| adapter.command_partly(&commands))
    }

    fn set_budget(&self, events: u32) {
        if let Ok(mut adapter) = self.0.try_borrow_mut() {
            adapter.set_budget(events);
        }
    }

    fn head(&self, connection: u64) -> Option<wit::RequestHead> {
        self.look(|adapter| adapter.head(connection))
    }

    fn cookies(&self, connection: u64) -> Vec<(String, String)> {
        self.look(|adapter| Some(adapter.cookies(connection))).unwrap_or_default()
    }

    fn connections(&self) -> Vec<wit::Status> {
        self.look(|adapter| Some(adapter.connections())).unwrap_or_default()
    }

    fn counts(&self) -> wit::Counts {
        self.look(|adapter| Some(adapter.counts())).unwrap_or(wit::Counts {
            open: 0,
            connected75: 0,
            connected76: 0,
            buffered_bytes: 0,
            messages_received: 0,
            messages_sent: 0,
        })
    }
}
