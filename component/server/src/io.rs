//! What both versions of WASI tell the rest of the server.

use alloc::vec::Vec;

/// Nanoseconds per millisecond.
pub(crate) const NANOSECONDS: u64 = 1_000_000;

/// A readiness notification.
#[derive(Clone, Copy)]
pub(crate) enum Ready {
    Time,
    Stdin,
    Listener(usize),
    Readable(u64),
    Writable(u64),
    #[cfg_attr(feature = "wasi-0-3", expect(dead_code, reason = "hosts of WASI 0.3 hold no output"))]
    Draining,
    /// The exchange with this connection's request.
    #[cfg(feature = "http")]
    Exchange(u64),
}

/// What a socket has received.
pub(crate) enum Received {
    Bytes(Vec<u8>),
    Nothing,
    /// The peer's FIN.
    End,
    Reset,
}

/// Where output is that the host has taken.
#[cfg_attr(feature = "wasi-0-3", expect(dead_code, reason = "hosts of WASI 0.3 hold no output"))]
pub(crate) enum Flush {
    /// With the kernel.
    Done,
    /// With the host, which waits for the peer.
    Blocked,
    /// With the host, for a moment.
    Soon,
}

/// The connection is gone; nothing can be written.
pub(crate) struct Gone;
