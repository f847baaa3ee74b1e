//! What listening is in both versions of WASI: options, errors, addresses.

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use crate::io::NANOSECONDS;

/// The listen backlog.
pub(crate) const BACKLOG: u64 = 1024;

/// How many times a silent client is probed before it counts as gone.
const PROBES: u32 = 4;

/// A second, in nanoseconds: the shortest keepalive time.
const SECOND: u64 = 1000 * NANOSECONDS;

/// The hint for ports below 1024, which are denied with the same error.
const ACCESS_HINT: &str = " (does the host let it use the network? wasmtime needs -S inherit-network)";

/// When to probe a silent client. Times are in nanoseconds.
pub(crate) struct Keepalive {
    pub(crate) idle: u64,
    pub(crate) interval: u64,
    pub(crate) count: u32,
}

impl Keepalive {
    /// Probes after this many milliseconds, and for as long again. `None` for 0: never.
    pub(crate) fn new(milliseconds: u64) -> Option<Self> {
        let idle = milliseconds.saturating_mul(NANOSECONDS).max(SECOND);
        let interval = (idle / u64::from(PROBES)).max(SECOND);
        (milliseconds != 0).then_some(Self { idle, interval, count: PROBES })
    }
}

/// The message for a failure to listen.
pub(crate) fn listen_error(address: SocketAddr, error: &str, is_denied: bool) -> String {
    let hint = if is_denied { ACCESS_HINT } else { "" };
    format!("cannot listen on {address}: {error}{hint}")
}

/// Addresses as WASI has them, whose types have the same names in both versions.
macro_rules! convert_addresses {
    ($($types:tt)*) => {
        use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

        use $($types)*::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress};

        pub(super) fn family(address: SocketAddr) -> IpAddressFamily {
            match address {
                SocketAddr::V4(_) => IpAddressFamily::Ipv4,
                SocketAddr::V6(_) => IpAddressFamily::Ipv6,
            }
        }

        pub(super) fn lower(address: SocketAddr) -> IpSocketAddress {
            match address {
                SocketAddr::V4(address) => {
                    let [a, b, c, d] = address.ip().octets();
                    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
                }
                SocketAddr::V6(address) => {
                    let [a, b, c, d, e, f, g, h] = address.ip().segments();
                    IpSocketAddress::Ipv6(Ipv6SocketAddress {
                        port: address.port(),
                        flow_info: address.flowinfo(),
                        address: (a, b, c, d, e, f, g, h),
                        scope_id: address.scope_id(),
                    })
                }
            }
        }

        pub(super) fn lift(address: IpSocketAddress) -> SocketAddr {
            match address {
                IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) }) => {
                    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into()
                }
                IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                    let (a, b, c, d, e, f, g, h) = address;
                    SocketAddrV6::new(Ipv6Addr::new(a, b, c, d, e, f, g, h), port, flow_info, scope_id).into()
                }
            }
        }
    };
}

pub(crate) use convert_addresses;

/// Sets a listening socket's options, by functions that have the same names in both versions of WASI. Accepted sockets
/// inherit them. A host may not support them; serving works without.
macro_rules! set_options {
    ($socket:expr, $keepalive:expr) => {
        let (socket, keepalive) = (&$socket, $keepalive);
        let _ = socket.set_listen_backlog_size($crate::listening::BACKLOG);
        // Drafts 75 and 76 have no ping that could detect a dead peer.
        let _ = socket.set_keep_alive_enabled(keepalive != 0);
        if let Some(times) = $crate::listening::Keepalive::new(keepalive) {
            let _ = socket.set_keep_alive_idle_time(times.idle);
            let _ = socket.set_keep_alive_interval(times.interval);
            let _ = socket.set_keep_alive_count(times.count);
        }
    };
}

pub(crate) use set_options;
