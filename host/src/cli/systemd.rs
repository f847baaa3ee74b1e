//! Socket activation and readiness notification, for systemd and compatible service managers.

use std::env;
use std::error::Error;
use std::io;
use std::process;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tracing::debug;

use crate::accept::bind::Keepalive;
use crate::accept::listener::Listener;

/// The name (`FileDescriptorName=`) of a socket for wss.
const SECURE: &str = "wss";

/// A listening socket that the service manager holds as well, so that a restart refuses no client.
pub(super) struct HandedOver {
    pub(super) listener: Listener,
    pub(super) is_secure: bool,
}

/// Takes the TCP and Unix sockets passed in (`LISTEN_FDS`). Called inside the runtime, once.
pub(super) fn take_sockets(keepalive: Keepalive) -> Result<Vec<HandedOver>, Box<dyn Error>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').collect();
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..handed.len() {
        let listener = take(&mut handed, at, keepalive)
            .map_err(|error| format!("socket {at} of LISTEN_FDS: {error}"))?;
        let is_secure = names.get(at) == Some(&SECURE);
        sockets.push(HandedOver { listener: listener.lent(), is_secure });
    }
    Ok(sockets)
}

/// Sockets of the other kind are left there.
fn take(handed: &mut ListenFd, at: usize, keepalive: Keepalive) -> io::Result<Listener> {
    if let Ok(Some(unix)) = handed.take_unix_listener(at) {
        unix.set_nonblocking(true)?;
        return Ok(UnixListener::from_std(unix)?.into());
    }
    let tcp = handed.take_tcp_listener(at)?.ok_or(io::ErrorKind::NotFound)?;
    keepalive.apply(&tcp)?;
    tcp.set_nonblocking(true)?;
    Ok(TcpListener::from_std(tcp)?.into())
}

/// The number of sockets passed in.
pub(super) fn count_sockets() -> usize {
    env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Whether systemd itself started this process, for example as `ExecStartPre=`, which gets no socket, though the next
/// process may.
pub(super) fn runs_us() -> bool {
    match env::var("SYSTEMD_EXEC_PID") {
        Ok(id) => id == process::id().to_string(),
        // Before version 248.
        Err(_) => env::var_os("INVOCATION_ID").is_some(),
    }
}

pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("cannot notify the service manager: {error}");
    }
}
