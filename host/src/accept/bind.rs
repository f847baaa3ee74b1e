//! Binding listening sockets: TCP with keepalive, and Unix sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use legacy_websocket_shell::Settings;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::accept::listener::Listener;
use crate::accept::socket_file::SocketFile;

/// The listen backlog.
const BACKLOG: i32 = 1024;

/// How many times a silent peer is probed before it counts as gone.
const PROBES: u32 = 4;

/// How the kernel detects peers that vanished silently, since drafts 75 and 76 have no ping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// Silence after which a peer is probed. It counts as gone if it does not answer for as long again. Zero: never
    /// probe.
    pub(crate) after: Duration,
    /// How long sent data may stay unacknowledged: both times together, but at least this long.
    pub(crate) write_timeout: Duration,
}

/// What to do about a failed bind, to be appended to the error.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root, CAP_NET_BIND_SERVICE or a socket from systemd"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for Keepalive {
    fn from(settings: &Settings) -> Self {
        Self {
            after: Duration::from_millis(settings.tcp_keepalive),
            write_timeout: Duration::from_millis(settings.write_timeout),
        }
    }
}

impl Keepalive {
    /// Accepted sockets inherit these options.
    pub(crate) fn apply(self, listener: &impl AsFd) -> io::Result<()> {
        let socket = SockRef::from(listener);
        if self.after.is_zero() {
            return socket.set_keepalive(false);
        }
        // The kernel takes whole seconds, 15 bits.
        let after = self.after.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        let interval = (after / PROBES).max(Duration::from_secs(1));
        let probing = TcpKeepalive::new().with_time(after).with_interval(interval).with_retries(PROBES);
        socket.set_tcp_keepalive(&probing)?;
        // A peer that is being sent data does not count as silent: without this option it would have a quarter of an
        // hour. The option takes 31 bits of milliseconds.
        let longest = Duration::from_millis(i32::MAX as u64);
        socket.set_tcp_user_timeout(Some(self.write_timeout.max(after + interval * PROBES).min(longest)))
    }
}

/// Binds an address for a server. The unspecified address of IPv6 (`[::]`) also takes IPv4 connections, if that is the
/// system's default. A peer that vanished silently is detected after two minutes.
///
/// # Errors
/// The system's: in use, not a local address, not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_tcp(address, false, Keepalive::default())
}

/// The same; with `only_v6`, an IPv6 address leaves IPv4 to another listener.
pub(crate) fn bind_tcp(address: SocketAddr, only_v6: bool, keepalive: Keepalive) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if only_v6 && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    keepalive.apply(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Binds a path. A socket file without a listener is left over from a killed process, and is replaced. The process's
/// umask and the folder determine who can connect: that requires write permission.
///
/// # Errors
/// The system's; [`io::ErrorKind::AddrInUse`] if there is a listener, [`io::ErrorKind::AlreadyExists`] if
/// something else has the path.
pub(crate) fn bind_unix(path: &Path) -> io::Result<Listener> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&address)?;
    let file = Arc::new(SocketFile::new(path)?);
    socket.listen(BACKLOG)?;
    Ok(Listener::with_file(UnixListener::from_std(socket.into())?, file))
}

fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is there and is no socket"));
        }
        Ok(_) => {}
    }
    // Nonblocking: the listener's queue may be full.
    let asked = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?.connect(address);
    match asked {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn accepted(after: Duration, write_timeout: Duration) -> TcpStream {
        let keepalive = Keepalive { after, write_timeout };
        let listener =
            bind_tcp("127.0.0.1:0".parse().unwrap(), false, keepalive).unwrap().into_std().unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap().0
    }

    #[tokio::test]
    async fn accepted_sockets_detect_a_dead_peer_in_twice_the_keepalive_time() {
        for (after, interval, write_timeout, patience) in
            [(60, 15, 30, 120), (1, 1, 1, 5), (60, 15, 600, 600), (40_000, 8191, 30, 65_534)]
        {
            let [write_timeout, patience] = [write_timeout, patience].map(Duration::from_secs);
            let stream = accepted(Duration::from_secs(after), write_timeout);
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(after.min(32_767)));
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
            assert_eq!(socket.tcp_user_timeout().unwrap().map(|set| set.as_secs()), Some(patience.as_secs()));
        }
        assert!(!SockRef::from(&accepted(Duration::ZERO, Duration::ZERO)).keepalive().unwrap());
    }
}
