//! The crate `log`, to standard error, which servers write to their log.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::{env, io};

use log::{LevelFilter, Log, Metadata, Record};

/// The variable with the level: `serve --env RUST_LOG=debug`.
const VARIABLE: &str = "RUST_LOG";

/// From here on, `log::info!` and the others write a line to standard error, if the level is that of the environment
/// variable `RUST_LOG` or a more severe one: `off`, `error`, `warn`, `info` (the default), `debug` or `trace`, alone:
/// targets, as in `chat=debug`, are not supported. To be called in the application's first call; any further call does
/// nothing. The macros are those of the crate `log`: `cargo add log`.
///
/// ```
/// use legacy_websocket_application::{Application, Command, Event, logger};
///
/// #[derive(Default)]
/// struct Quiet;
///
/// impl Application for Quiet {
///     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
///         if events.is_empty() {
///             logger::init();
///         }
///         log::debug!("{} events", events.len());
///         Vec::new()
///     }
/// }
/// ```
pub fn init() {
    let level = env::var(VARIABLE).ok().and_then(|level| level.parse().ok());
    init_with(level.unwrap_or(LevelFilter::Info));
}

/// Does what [`init`] does, with a level of your own.
pub fn init_with(level: LevelFilter) {
    // Fails if there is a logger already, which then stays.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Where nobody reads, lines are lost.
            let _ = io::stderr().write_all(line(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

fn line(record: &Record<'_>) -> String {
    let mut line = format!("{} {}: ", record.level(), record.target());
    // Cannot fail: writes to a string.
    let _ = write!(Escaped(&mut line), "{}", record.args());
    line.push('\n');
    line
}

/// Text from peers must not make lines of its own.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character.is_control() {
                true => self.0.extend(character.escape_default()),
                false => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let record = |text: &str| {
            let arguments = format_args!("{text} left");
            line(&Record::builder().level(Level::Warn).target("chat").args(arguments).build())
        };
        assert_eq!(record("\u{e9}va"), "WARN chat: \u{e9}va left\n");
        assert_eq!(record("a\nERROR chat: b"), "WARN chat: a\\nERROR chat: b left\n");
    }
}
