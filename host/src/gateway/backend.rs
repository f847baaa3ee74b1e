//! Connections to a backend.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::{Connected, Connection};
use legacy_websocket_shell::{LogCategory, LogPermit};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::warn;

use super::health::Health;
use super::status::BackendStatus;
use super::target::Target;
use crate::observe::log;

/// Idle time before TCP keepalive probes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Time between two attempts to connect to a Unix socket whose backlog is full.
const BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// Up to so many bytes in several slices, a copy of them costs less than a vectored write.
const COPIED_BYTES: usize = 2 << 10;

/// One backend, shared by all workers.
#[derive(Debug)]
pub(crate) struct Backend {
    target: Target,
    /// The target, as text.
    name: String,
    tls: Option<Tls>,
    retry_after: Duration,
    write_timeout: Duration,
    health: Mutex<Health>,
    open: AtomicUsize,
    connects: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a backend could not be connected to.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect: {0}")]
    Io(io::Error),
    #[error("does not accept a connection in time")]
    Timeout,
    /// It is the gateway that lacks a descriptor or a port.
    #[error("cannot be connected to: the gateway is out of descriptors or ports: {0}")]
    LocalLimit(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        // EMFILE, ENFILE, EADDRNOTAVAIL.
        if matches!(error.raw_os_error(), Some(24 | 23)) || error.kind() == ErrorKind::AddrNotAvailable {
            Self::LocalLimit(error)
        } else {
            Self::Io(error)
        }
    }
}

impl Backend {
    /// # Errors
    /// Why the name cannot be one of a certificate.
    pub(super) fn new(
        target: Target,
        connector: Option<&TlsConnector>,
        retry_after: Duration,
        write_timeout: Duration,
    ) -> Result<Self, String> {
        let tls = match (&target, connector) {
            (Target::Tcp { host, secure: true, .. }, Some(connector)) => {
                let name = ServerName::try_from(host.clone()).map_err(|error| format!("{host}: {error}"))?;
                Some(Tls { connector: connector.clone(), name })
            }
            _ => None,
        };
        Ok(Self {
            name: target.to_string(),
            target,
            tls,
            retry_after,
            write_timeout,
            health: Mutex::default(),
            open: AtomicUsize::new(0),
            connects: AtomicU64::new(0),
            failures: Mutex::default(),
        })
    }

    /// Whether it is worth a try: it was not down a moment ago.
    pub(super) fn is_up(&self) -> bool {
        self.health().is_up(self.retry_after)
    }

    /// Connects, and remembers whether that was possible; counts and logs a failure.
    pub(super) async fn connect(self: &Arc<Self>, within: Duration) -> Result<BackendStream, ConnectError> {
        let began = Instant::now();
        let error = match timeout(within, self.open()).await {
            Ok(Ok(socket)) => {
                self.health().connected();
                self.connects.fetch_add(1, Ordering::Relaxed);
                self.open.fetch_add(1, Ordering::Relaxed);
                let mut socket = Box::pin(TimeoutStream::new(socket));
                socket.as_mut().set_write_timeout_pinned(Some(self.write_timeout));
                return Ok(BackendStream { socket, backend: Arc::clone(self) });
            }
            Ok(Err(error)) => error.into(),
            Err(_) => ConnectError::Timeout,
        };
        if let ConnectError::LocalLimit(_) = error {
            self.count_failure("limits");
        } else {
            self.health().failed(began);
            self.count_failure("connect");
        }
        // Whoever waits for it may be gone by then, or try another backend.
        if let Some(LogPermit { unlogged }) = log::permit(LogCategory::Backend) {
            warn!(backend = %self, unlogged, "backend {error}");
        }
        Err(error)
    }

    /// Its host and port; `None` for a Unix socket.
    pub(super) fn authority(&self) -> Option<&str> {
        self.name.split_once("://").map(|(_, authority)| authority)
    }

    pub(super) fn count_failure(&self, reason: &'static str) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    pub(super) fn status(&self) -> BackendStatus {
        BackendStatus {
            name: self.name.clone(),
            down: self.health().down(),
            open: self.open.load(Ordering::Relaxed),
            connects: self.connects.load(Ordering::Relaxed),
            failures: self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self) -> io::Result<Box<dyn BackendSocket>> {
        let (host, port) = match &self.target {
            Target::Unix(path) => return Ok(Box::new(connect_unix(path).await?)),
            Target::Tcp { host, port, .. } => (host.as_str(), *port),
        };
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        // One that has gone without a word is found, too.
        SockRef::from(&tcp)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4))?;
        Ok(match &self.tls {
            Some(Tls { connector, name }) => Box::new(connector.connect(name.clone(), tcp).await?),
            None => Box::new(tcp),
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Waits while the backlog is full, as TCP does by itself.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(BACKLOG_RETRY).await,
            connected => return connected,
        }
    }
}

/// An open connection to a backend.
#[derive(Debug)]
pub(super) struct BackendStream {
    /// Fails if the backend takes nothing for too long.
    socket: Pin<Box<TimeoutStream<Box<dyn BackendSocket>>>>,
    backend: Arc<Backend>,
}

/// TCP, TLS, or a Unix socket.
trait BackendSocket: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {
    /// Tells TLS, as far as the kernel takes it at once, that the end is meant.
    fn notify_end(&mut self) {}
}

impl BackendSocket for TcpStream {}

impl BackendSocket for UnixStream {}

impl BackendSocket for TlsStream<TcpStream> {
    fn notify_end(&mut self) {
        let (tcp, session) = self.get_mut();
        session.send_close_notify();
        while session.wants_write()
            && session.write_tls(&mut &*SockRef::from(&*tcp)).is_ok_and(|count| count > 0)
        {}
    }
}

impl BackendStream {
    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for BackendStream {
    fn drop(&mut self) {
        self.socket.as_mut().get_pin_mut().get_mut().notify_end();
        self.backend.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells hyper which backend answered, by an extension of the response.
impl Connection for BackendStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(&self.backend))
    }
}

impl AsyncRead for BackendStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.as_mut().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if bytes > COPIED_BYTES {
            return self.socket.as_mut().poll_write_vectored(cx, slices);
        }
        let mut copy = Vec::with_capacity(bytes);
        slices.iter().for_each(|slice| copy.extend_from_slice(slice));
        self.socket.as_mut().poll_write(cx, &copy)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_shutdown(cx)
    }
}
