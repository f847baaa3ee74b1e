//! The sockets of one case: each is read all the time, so that nothing is lost when the server ends it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use legacy_websocket_trace::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// What a server may send on one connection of a case, in bytes. Past it we stop reading.
const MAX_RECEIVED: usize = 64 << 20;

pub(crate) enum News {
    Bytes(Connection, Vec<u8>),
    End { connection: Connection, reset: bool },
}

pub(crate) struct Sockets {
    open: BTreeMap<Connection, Socket>,
    news: UnboundedReceiver<News>,
    /// Kept, so that the channel does not close.
    reporter: UnboundedSender<News>,
}

struct Socket {
    write: OwnedWriteHalf,
    reader: Reader,
}

/// Ends with the case.
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

    pub(crate) async fn open(&mut self, connection: Connection, address: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let reader = Reader(tokio::spawn(report(connection, read, self.reporter.clone())));
        self.open.insert(connection, Socket { write, reader });
        Ok(())
    }

    pub(crate) async fn write(&mut self, connection: Connection, bytes: &[u8]) -> io::Result<usize> {
        match self.open.get_mut(&connection) {
            Some(socket) => socket.write.write(bytes).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends our side, or resets.
    pub(crate) async fn end(&mut self, connection: Connection, reset: bool) {
        if !reset {
            if let Some(socket) = self.open.get_mut(&connection) {
                // What has ended already needs no end.
                let _ = socket.write.shutdown().await;
            }
            return;
        }
        let Some(Socket { write, mut reader }) = self.open.remove(&connection) else { return };
        let _ = write.as_ref().set_zero_linger();
        // The socket is closed when both halves are gone; a dropped write half would end it in peace before.
        reader.0.abort();
        let _ = (&mut reader.0).await;
        write.forget();
    }

    pub(crate) fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(crate) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

async fn report(connection: Connection, mut read: OwnedReadHalf, to: UnboundedSender<News>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    while received < MAX_RECEIVED {
        let news = match read.read(&mut buffer).await {
            Ok(0) => News::End { connection, reset: false },
            Ok(count) => {
                received += count;
                News::Bytes(connection, buffer[..count].to_vec())
            }
            Err(_) => News::End { connection, reset: true },
        };
        let ended = matches!(news, News::End { .. });
        if to.send(news).is_err() || ended {
            return;
        }
    }
}
