//! The sockets of one case. Each is read continuously, so that nothing is lost when the server ends it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use legacy_websocket_trace::Connection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::taken::is_taken;
use super::tls::Tls;

/// Maximum bytes accepted on one connection of a case. After that we stop reading.
const MAX_RECEIVED: usize = 64 << 20;

/// How often to check whether the server has read everything.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

pub(crate) enum News {
    Bytes(Connection, Vec<u8>),
    End { connection: Connection, reset: bool },
}

pub(crate) struct Sockets {
    open: BTreeMap<Connection, Socket>,
    news: UnboundedReceiver<News>,
    /// Kept so that the channel stays open.
    reporter: UnboundedSender<News>,
}

struct Socket {
    ours: SocketAddr,
    theirs: SocketAddr,
    write: WriteHalf<Stream>,
    reader: Reader,
    /// Another handle to the same TCP socket, whatever runs on top of it.
    control: socket2::Socket,
}

/// TCP, or TLS on it.
type Stream = Box<dyn Io>;

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// Ends together with the case.
struct Reader(JoinHandle<()>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sockets {
    pub(crate) fn new() -> Self {
        let (reporter, news) = unbounded_channel();
        Self { open: BTreeMap::new(), news, reporter }
    }

    pub(crate) async fn open(
        &mut self,
        connection: Connection,
        address: SocketAddr,
        tls: Option<&Tls>,
    ) -> io::Result<()> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (ours, theirs) = (stream.local_addr()?, stream.peer_addr()?);
        let control = SockRef::from(&stream).try_clone()?;
        let stream: Stream = match tls {
            Some(tls) => Box::new(tls.connect(stream).await?),
            None => Box::new(stream),
        };
        let (read, write) = split(stream);
        let reader = Reader(tokio::spawn(report(connection, read, self.reporter.clone())));
        self.open.insert(connection, Socket { ours, theirs, write, reader, control });
        Ok(())
    }

    /// The client's own address.
    pub(crate) fn address(&self, connection: Connection) -> Option<SocketAddr> {
        self.open.get(&connection).map(|socket| socket.ours)
    }

    pub(crate) async fn write(&mut self, connection: Connection, bytes: &[u8]) -> io::Result<usize> {
        match self.open.get_mut(&connection) {
            Some(socket) => {
                let count = socket.write.write(bytes).await?;
                socket.write.flush().await?;
                Ok(count)
            }
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until the server has read everything written on every connection, as far as that can be known.
    pub(crate) async fn taken(&self, end: Instant) {
        let waits = |socket: &Socket| !socket.reader.0.is_finished() && !is_taken(socket.ours, socket.theirs);
        while self.open.values().any(waits) && Instant::now() < end {
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Ends our side, or resets.
    pub(crate) async fn end(&mut self, connection: Connection, reset: bool) {
        if !reset {
            if let Some(socket) = self.open.get_mut(&connection) {
                // It may have ended already.
                let _ = socket.write.shutdown().await;
            }
            return;
        }
        let Some(Socket { mut reader, control, .. }) = self.open.remove(&connection) else { return };
        let _ = control.set_linger(Some(Duration::ZERO));
        // The socket is closed when its last owner is dropped.
        reader.0.abort();
        let _ = (&mut reader.0).await;
    }

    pub(crate) fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(crate) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

async fn report(connection: Connection, mut read: ReadHalf<Stream>, to: UnboundedSender<News>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    while received < MAX_RECEIVED {
        let news = match read.read(&mut buffer).await {
            Ok(0) => News::End { connection, reset: false },
            Ok(count) => {
                received += count;
                News::Bytes(connection, buffer[..count].to_vec())
            }
            // TLS that ends without close_notify is still an end.
            Err(error) => News::End { connection, reset: error.kind() != io::ErrorKind::UnexpectedEof },
        };
        let ended = matches!(news, News::End { .. });
        if to.send(news).is_err() || ended {
            return;
        }
    }
}
