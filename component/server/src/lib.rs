//! A server for draft 75 and draft 76 on any WASI 0.2 host: world `server`. Empty for other targets.
//!
//! One thread, one loop: wait for sockets and time, read, one turn of the engine and of the application, write.
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

mod application;
mod arguments;
mod bindings;
mod clock;
mod link;
mod listener;
mod log;
mod shell;

use legacy_websocket_shell::Level;

use crate::arguments::{Parsed, parse};
use crate::bindings::exports::wasi::cli::run::Guest;
use crate::bindings::wasi::cli::environment::get_arguments;
use crate::log::{Log, print};
use crate::shell::Shell;

struct Component;

impl Guest for Component {
    fn run() -> Result<(), ()> {
        let mut log = Log::new();
        let arguments = match parse(get_arguments().into_iter().skip(1)) {
            Ok(Parsed::Serve(arguments)) => arguments,
            Ok(Parsed::Print(text)) => {
                print(&text);
                return Ok(());
            }
            Err(error) => {
                log.write(Level::Error, format_args!("{error}; --help shows every option"));
                return Err(());
            }
        };
        log.debug = arguments.debug;
        match Shell::start(*arguments, log) {
            Ok(shell) => {
                shell.run();
                Ok(())
            }
            Err(mut failed) => {
                failed.log.write(Level::Error, format_args!("{}", failed.reason));
                Err(())
            }
        }
    }
}
