//! Starts the program's log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::{panic, thread};

use legacy_websocket_shell::Printable;
use tracing::error;
use tracing_subscriber::EnvFilter;

use super::log::{LOG, LineQueue, flush};

/// Writes all events and panic messages to standard error. `RUST_LOG` takes precedence over `filter`.
pub(crate) fn start_log(filter: &str) {
    // A separate descriptor: a blocking write would hold `std`'s lock.
    let started = stderr().as_fd().try_clone_to_owned().and_then(|to| LineQueue::start(File::from(to)));
    let queue = match started {
        Ok(queue) => LOG.get_or_init(|| queue).clone(),
        Err(error) => {
            let _ = writeln!(stderr(), "there is no log: {error}");
            return;
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || queue.clone())
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .log_internal_errors(false)
        .init();
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        let message = panic.to_string().replace('\n', " ");
        let message = Printable::whole(message.as_bytes());
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => error!("thread {name} {message}\n{backtrace}"),
            _ => error!("thread {name} {message}"),
        }
        flush();
    }));
}
