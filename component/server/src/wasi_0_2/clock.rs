//! The host's clocks.

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};

/// Nanoseconds since the origin of the monotonic clock.
pub(crate) fn monotonic() -> u64 {
    monotonic_clock::now()
}

/// Seconds since 1970, and nanoseconds.
pub(crate) fn wall() -> (u64, u32) {
    let now = wall_clock::now();
    (now.seconds, now.nanoseconds)
}
