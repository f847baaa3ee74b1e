//! The host's clocks.

use super::bindings::wasi::clocks::{monotonic_clock, system_clock};

/// Nanoseconds since the origin of the monotonic clock.
pub(crate) fn monotonic() -> u64 {
    monotonic_clock::now()
}

/// Seconds since 1970, and nanoseconds.
pub(crate) fn wall() -> (u64, u32) {
    let now = system_clock::now();
    (u64::try_from(now.seconds).unwrap_or_default(), now.nanoseconds)
}
