//! Pages over kept connections, from one thread.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::process::{Clock, Process, Sample};

/// The test page has about 8 kB.
pub(crate) const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

/// Counts responses; each connection asks again once it has one.
pub(crate) fn run(server: &Process, connections: usize, length: Duration) -> Result<Sample, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(server.address).await?;
            stream.set_nodelay(true)?;
            // No port stays in TIME_WAIT.
            stream.set_zero_linger()?;
            streams.push(stream);
        }
        let clock = Clock::start(server)?;
        let end = Instant::now() + length;
        let mut clients = JoinSet::new();
        for stream in streams {
            clients.spawn(client(stream, end));
        }
        let mut responses = 0;
        while let Some(client) = clients.join_next().await {
            responses += client??;
        }
        clock.stop(f64::from(responses))
    })
}

async fn client(mut stream: TcpStream, end: Instant) -> io::Result<u32> {
    let (mut responses, mut buffer) = (0, Vec::with_capacity(16 * 1024));
    while Instant::now() < end {
        stream.write_all(REQUEST).await?;
        buffer.clear();
        while response_length(&buffer)?.is_none_or(|length| buffer.len() < length) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        responses += 1;
    }
    Ok(responses)
}

/// The length of the response of which these are the first bytes, head included; `None` as long as its head is not
/// complete.
fn response_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("not the page: {head}")));
    }
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.map(|body| Some(end + 4 + body)).ok_or_else(|| io::Error::other("no Content-Length"))
}
