//! Bursts from one client that once stalled the server or closed its other clients, and a shutdown with clients that
//! wait for FIN.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::load::{Protocol, connect};
use crate::process::{Kind, Process, Role};
use crate::trips::Trips;

/// The most connections at once.
pub(crate) const MEMBERS: usize = 8000;

/// Members, and the messages one of them writes at once.
const FAN_OUTS: [(usize, usize); 2] = [(600, 43_700), (MEMBERS, 20_000)];

/// Sizes of the requests written at once.
const PIPELINED_MEGABYTES: [usize; 2] = [1, 8];

/// Clients connected at shutdown.
const WEBKITS: usize = 100;

/// Time limit of a burst.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(kinds: &[Kind], workers: usize) -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for &kind in kinds {
        for (members, messages) in FAN_OUTS {
            let server = Process::start(kind, Role::Broadcast, workers)?;
            fan_out(&runtime, &server, members, messages)?;
        }
        let server = Process::start(kind, Role::Echo, workers)?;
        for megabytes in PIPELINED_MEGABYTES {
            runtime.block_on(pipeline(&server, megabytes))?;
        }
        runtime.block_on(stop(server))?;
    }
    Ok(())
}

/// One member writes tiny messages, which go to all. Meanwhile another member measures its round trips.
fn fan_out(
    runtime: &Runtime,
    server: &Process,
    members: usize,
    messages: usize,
) -> Result<(), Box<dyn Error>> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut all = runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..members {
                all.push(connect(server.address, server.kind, Protocol::Draft76).await?);
            }
            Ok::<_, io::Error>(all)
        })?;
        // On its own thread, so that its round trips exclude the time the others take to read.
        let other = all.pop().ok_or("no members")?.into_std()?;
        let trips = scope.spawn(|| {
            other.set_nonblocking(false)?;
            Trips::make(other, || !over.load(Ordering::Relaxed))
        });
        let began = Instant::now();
        let lost = runtime.block_on(async {
            let mut reading = JoinSet::new();
            for (at, stream) in all.into_iter().enumerate() {
                reading.spawn(member(stream, messages, at == 0));
            }
            let ended = timeout(PATIENCE, reading.join_all())
                .await
                .map_err(|_| "not all members received everything in time")?;
            Ok::<_, &str>(ended.iter().filter(|ended| ended.is_err()).count())
        });
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        let trips = trips.join().map_err(|_| "the thread of the other member panicked")??;
        println!(
            "{:<12} {messages} messages to {members}: {} ms, {} lost; another's round trip {:.1} ms at the median, {:.1} at the most",
            server.kind.name(),
            took.as_millis(),
            lost?,
            trips.percentile(0.5),
            trips.percentile(1.0),
        );
        Ok(())
    })
}

/// Reads until it has received everything.
async fn member(mut stream: TcpStream, messages: usize, writes: bool) -> io::Result<()> {
    let (mut reading, mut writing) = stream.split();
    let write = async { if writes { writing.write_all(&b"\0x\xff".repeat(messages)).await } else { Ok(()) } };
    let read = async {
        let (mut buffer, mut received) = (vec![0; 16 * 1024], 0);
        while received < messages {
            let read = reading.read(&mut buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received += buffer[..read].iter().filter(|&&byte| byte == b'x').count();
        }
        Ok(())
    };
    tokio::try_join!(write, read).map(drop)
}

/// One client pipelines requests.
async fn pipeline(server: &Process, megabytes: usize) -> Result<(), Box<dyn Error>> {
    let request = format!("GET /nothing HTTP/1.1\r\nHost: example.com\r\nA: {}\r\n\r\n", "a".repeat(51));
    let count = megabytes * 1_000_000 / request.len();
    let answer = answer_length(server.address, request.as_bytes()).await?;
    let mut stream = TcpStream::connect(server.address).await?;
    let (mut reading, mut writing) = stream.split();
    let began = Instant::now();
    let requests = request.repeat(count);
    let read = async {
        let (mut buffer, mut left) = (vec![0; 64 * 1024], answer * count);
        while left > 0 {
            let read = reading.read(&mut buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left = left.saturating_sub(read);
        }
        Ok(())
    };
    let both = async { tokio::try_join!(writing.write_all(requests.as_bytes()), read) };
    timeout(PATIENCE, both).await.map_err(|_| "not all requests were answered in time")??;
    println!(
        "{:<12} {megabytes} MB of pipelined requests ({count}): {} ms",
        server.kind.name(),
        began.elapsed().as_millis()
    );
    Ok(())
}

async fn answer_length(server: SocketAddr, request: &[u8]) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request).await?;
    // The answer arrives in one write.
    stream.read(&mut [0; 4096]).await
}

/// SIGTERM with clients that close only after FIN, as WebKit 534 does.
async fn stop(mut server: Process) -> Result<(), Box<dyn Error>> {
    let mut clients = JoinSet::new();
    for _ in 0..WEBKITS {
        let mut stream = connect(server.address, server.kind, Protocol::Draft76).await?;
        clients.spawn(async move {
            let mut last = Vec::new();
            stream.read_to_end(&mut last).await?;
            Ok::<_, io::Error>(last == [0xff, 0])
        });
    }
    let began = Instant::now();
    server.terminate()?;
    let ended =
        timeout(PATIENCE, clients.join_all()).await.map_err(|_| "not all clients were closed in time")?;
    let in_order = ended.iter().filter(|ended| matches!(ended, Ok(true))).count();
    let status = server.wait(PATIENCE)?;
    println!(
        "{:<12} stop with {WEBKITS} clients that wait for FIN: {} ms, {in_order} closed in order, {}",
        server.kind.name(),
        began.elapsed().as_millis(),
        status.map_or("still running".into(), |status| status.to_string()),
    );
    Ok(())
}
