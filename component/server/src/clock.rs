//! Milliseconds of the host's monotonic clock.

use core::time::Duration;

use crate::io::NANOSECONDS;
use crate::system::clock::monotonic;

/// Milliseconds since the origin of the host's clock.
pub(crate) fn now() -> u64 {
    monotonic() / NANOSECONDS
}

/// Measures elapsed time.
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(monotonic())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(monotonic().saturating_sub(self.0))
    }
}
