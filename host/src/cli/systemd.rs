//! What systemd, or another service manager that does as it does, hands over and wants to know.

use std::env;
use std::error::Error;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tracing::debug;

/// The name (`FileDescriptorName=`) of a socket for wss.
const SECURE: &str = "wss";

/// A listening socket that the service manager holds as well, so that a restart refuses nobody.
pub(super) struct Socket {
    pub(super) tcp: TcpListener,
    pub(super) secure: bool,
}

/// The sockets that were handed over (`LISTEN_FDS`). Runs inside the runtime, once.
pub(super) fn take_sockets() -> Result<Vec<Socket>, Box<dyn Error>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').collect();
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..handed.len() {
        let socket =
            handed.take_tcp_listener(at).map_err(|error| format!("socket {at} of LISTEN_FDS: {error}"))?;
        if let Some(socket) = socket {
            socket.set_nonblocking(true)?;
            let secure = names.get(at) == Some(&SECURE);
            sockets.push(Socket { tcp: TcpListener::from_std(socket)?, secure });
        }
    }
    Ok(sockets)
}

/// How many sockets are handed over.
pub(super) fn count_sockets() -> usize {
    env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0)
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
        debug!("the service manager was not told: {error}");
    }
}
