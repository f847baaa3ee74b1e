//! The operator's log, on standard error.

use alloc::format;
use alloc::string::String;
use core::fmt::Arguments;

use legacy_websocket_shell::{Level, LogCategory, LogPermit, LogRateLimiter};

use crate::clock::now;
use crate::system::clock::wall;
use crate::system::stdio::Stderr;

/// The operator's log, in the same format as the host's.
pub(crate) struct Log {
    pub(crate) stderr: Stderr,
    /// Also write lines of [`Level::Debug`].
    pub(crate) debug: bool,
    /// Lines dropped because standard error had no room.
    lost: u64,
    limiter: LogRateLimiter,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { stderr: Stderr::new(), debug: false, lost: 0, limiter: LogRateLimiter::default() }
    }

    /// Whether one more line that peers can cause may be written. With `--debug` it always may.
    pub(crate) fn permit(&mut self, category: LogCategory) -> Option<LogPermit> {
        if self.debug {
            return Some(LogPermit { unlogged: None });
        }
        self.limiter.permit(category, now())
    }

    /// Whether this level is enabled.
    pub(crate) fn writes(&self, level: Level) -> bool {
        self.debug || level != Level::Debug
    }

    /// Writes a line, or drops it if the host says that standard error is not being read. (wasmtime never says so: it
    /// waits.)
    pub(crate) fn write(&mut self, level: Level, line: Arguments<'_>) {
        if !self.writes(level) {
            return;
        }
        let level = match level {
            Level::Error => "ERROR",
            Level::Warn => " WARN",
            Level::Info => " INFO",
            Level::Debug => "DEBUG",
        };
        let time = timestamp();
        let mut text = format!("{time} {level} {line}\n");
        if self.lost > 0 {
            text = format!("{time}  WARN lines of the log were lost lines={}\n{text}", self.lost);
        }
        let written = self.stderr.write(text.as_bytes());
        self.lost = if written { 0 } else { self.lost.saturating_add(1) };
    }
}

/// The time in RFC 3339 format, in UTC.
fn timestamp() -> String {
    let (seconds, nanoseconds) = wall();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = nanoseconds / 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day from days since 1970, by Howard Hinnant's `civil_from_days`: its years begin in March, so that
/// the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
