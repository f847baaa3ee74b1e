//! A server for every WebSocket protocol browsers have shipped, on any WASI host: world `server` (WASI 0.2) or, with
//! the feature `wasi-0-3`, that of `wit/p3` (WASI 0.3). Empty for other targets.
//!
//! The two differ in one module (sockets, clocks, standard input and output) and in how the shell waits. It is a feature
//! and not a type parameter, because a component is of one world.
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
mod clock;
mod io;
mod link;
mod listening;
mod log;
mod shell;
#[cfg(feature = "http")]
mod site;
#[cfg(not(feature = "wasi-0-3"))]
mod wasi_0_2;
#[cfg(feature = "wasi-0-3")]
mod wasi_0_3;

#[cfg(not(feature = "wasi-0-3"))]
use wasi_0_2 as system;
#[cfg(feature = "wasi-0-3")]
use wasi_0_3 as system;

use legacy_websocket_shell::Level;

use crate::arguments::{Parsed, parse};
use crate::log::Log;
use crate::shell::Shell;
use crate::system::stdio::print;
use crate::system::{Guest, get_arguments};

struct Component;

impl Guest for Component {
    fn run() -> Result<(), ()> {
        #[cfg(feature = "bare")]
        if true {
            return wasi_0_3::bare::serve().map_err(|_| ());
        }
        let mut log = Log::new();
        let arguments = match parse(get_arguments().into_iter().skip(1)) {
            Ok(Parsed::Serve(arguments)) => arguments,
            Ok(Parsed::Print(text)) => {
                print(&text);
                return Ok(());
            }
            Err(error) => {
                log.write(Level::Error, format_args!("{error}; --help shows every option"));
                log.stderr.finish();
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
                failed.log.stderr.finish();
                Err(())
            }
        }
    }
}
