//! Echo load from one thread.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::ValueEnum;
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

/// The example of RFC 6455 section 1.3.
pub(crate) const REQUEST_6455: &[u8] = b"GET /echo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Origin: http://example.com\r\n\r\n";

/// Clients mask every frame. A constant key costs the server the same as a random one.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Draft76,
    /// RFC 6455: frames from the client are masked.
    Rfc6455,
}

/// Time after the end of a measurement for the last answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// The messages to send. Bare TCP gets the same bytes, without a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) protocol: Protocol,
}

impl Load {
    /// Counts the messages echoed.
    pub(crate) fn run(self, server: &Process, length: Duration) -> Result<Sample, Box<dyn Error>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..self.connections {
                streams.push(connect(server.address, server.kind, self.protocol).await?);
            }
            // Masked frames come back as they are, too.
            let echoed = if server.kind.is_bare() {
                self.protocol.frame(self.bytes).len()
            } else {
                self.protocol.echoed_bytes(self.bytes)
            };
            let clock = Clock::start(server)?;
            let end = Instant::now() + length;
            let mut clients = JoinSet::new();
            for stream in streams {
                clients.spawn(self.client(stream, echoed, end));
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

    /// Keeps `in_flight` messages in flight until the end, then waits for the last. `echoed` is the length of the frame
    /// that comes back.
    async fn client(self, mut stream: TcpStream, echoed: usize, end: Instant) -> io::Result<usize> {
        let frame = self.protocol.frame(self.bytes);
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
            let whole = partial / echoed;
            partial %= echoed;
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

impl Protocol {
    /// The name of a measure of these clients.
    pub(crate) fn label(self, measure: String) -> String {
        match self {
            Self::Draft76 => measure,
            Self::Rfc6455 => format!("{measure}, RFC 6455"),
        }
    }

    pub(crate) fn request(self) -> &'static [u8] {
        match self {
            Self::Draft76 => REQUEST,
            Self::Rfc6455 => REQUEST_6455,
        }
    }

    /// A text message of this many bytes, as a client sends it.
    fn frame(self, bytes: usize) -> Vec<u8> {
        match self {
            Self::Draft76 => [b"\0", vec![b'x'; bytes].as_slice(), b"\xff"].concat(),
            Self::Rfc6455 => {
                let mut frame = header_6455(bytes);
                frame[1] |= 0x80;
                frame.extend(MASK);
                frame.extend(MASK.iter().cycle().take(bytes).map(|key| b'x' ^ key));
                frame
            }
        }
    }

    /// The length of a message's frame from the server.
    fn echoed_bytes(self, bytes: usize) -> usize {
        match self {
            Self::Draft76 => bytes + 2,
            Self::Rfc6455 => header_6455(bytes).len() + bytes,
        }
    }
}

/// FIN, text, and the length in its shortest form (section 5.2).
fn header_6455(bytes: usize) -> Vec<u8> {
    let mut header = vec![0x81];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(length @ ..126), _) => header.push(length),
        (_, Ok(length)) => {
            header.push(126);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend((bytes as u64).to_be_bytes());
        }
    }
    header
}

/// Connects, and performs the handshake unless the server is bare TCP. Closing resets the connection, so that no port
/// stays in TIME_WAIT: a run has more connections than there are ports.
pub(crate) async fn connect(address: SocketAddr, kind: Kind, protocol: Protocol) -> io::Result<TcpStream> {
    shake_hands(TcpStream::connect(address).await?, kind, protocol).await
}

pub(crate) async fn shake_hands(
    mut stream: TcpStream,
    kind: Kind,
    protocol: Protocol,
) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    if !kind.is_bare() {
        stream.write_all(protocol.request()).await?;
        let end = match protocol {
            Protocol::Draft76 => ANSWER_END,
            Protocol::Rfc6455 => b"\r\n\r\n",
        };
        let mut answer = Vec::new();
        while !answer.ends_with(end) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(stream)
}
