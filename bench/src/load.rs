//! Echo load from one thread.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::process::{Clock, Kind, Process, Sample};

/// The draft 76 example of section 1.2.
pub(crate) const REQUEST: &[u8] = b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U";
const ANSWER_END: &[u8] = b"\r\n\r\n8jKS'y:G*Co,Wxa-";

/// Time after the end of a measurement for the last answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// The messages to send. Bare TCP gets the same bytes, without a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
}

impl Load {
    /// Counts the messages echoed.
    pub(crate) fn run(self, server: &Process, length: Duration) -> Result<Sample, Box<dyn Error>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..self.connections {
                streams.push(connect(server.address, server.kind).await?);
            }
            let clock = Clock::start(server)?;
            let end = Instant::now() + length;
            let mut clients = JoinSet::new();
            for stream in streams {
                clients.spawn(self.client(stream, end));
            }
            let mut messages = 0;
            // Netty loses frames that are split across reads; without a timeout this would hang.
            let all = async {
                while let Some(client) = clients.join_next().await {
                    messages += client??;
                }
                Ok::<_, Box<dyn Error>>(())
            };
            timeout(length + PATIENCE, all).await.map_err(|_| "messages are lost")??;
            clock.stop(messages as f64)
        })
    }

    /// Keeps `in_flight` messages in flight until the end, then waits for the last.
    async fn client(self, mut stream: TcpStream, end: Instant) -> io::Result<usize> {
        let mut frame = vec![b'x'; self.bytes + 2];
        frame[0] = 0x00;
        frame[self.bytes + 1] = 0xff;
        let burst = frame.repeat(self.in_flight);
        // Small, because each of thousands of clients has one.
        let mut buffer = vec![0; burst.len().clamp(4096, 64 * 1024)];
        let (mut waiting, mut partial, mut done) = (self.in_flight, 0, 0);
        stream.write_all(&burst).await?;
        while waiting > 0 {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            partial += read;
            let whole = partial / frame.len();
            partial %= frame.len();
            done += whole;
            waiting -= whole;
            if whole > 0 && Instant::now() < end {
                stream.write_all(&burst[..whole * frame.len()]).await?;
                waiting += whole;
            }
        }
        Ok(done)
    }
}

/// Connects, and performs the handshake unless the server is bare TCP. Closing resets the connection, so that no port
/// stays in TIME_WAIT: a run has more connections than there are ports.
pub(crate) async fn connect(address: SocketAddr, kind: Kind) -> io::Result<TcpStream> {
    shake_hands(TcpStream::connect(address).await?, kind).await
}

pub(crate) async fn shake_hands(mut stream: TcpStream, kind: Kind) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    if kind != Kind::Tcp {
        stream.write_all(REQUEST).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(ANSWER_END) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(stream)
}
