//! The host's clock.

use core::time::Duration;

use crate::bindings::wasi::clocks::monotonic_clock;

/// Milliseconds since the origin of the host's clock.
pub(crate) fn now() -> u64 {
    monotonic_clock::now() / 1_000_000
}

/// Measures elapsed time.
pub(crate) struct Stopwatch(u64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(monotonic_clock::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now().saturating_sub(self.0))
    }
}
