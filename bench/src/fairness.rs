//! One client's echo latency while others flood the server with tiny messages.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Rounds;
use crate::load::REQUEST;
use crate::process::Process;
use crate::table::median;
use crate::trips::Trips;

/// Flooding connections, and the bytes each writes at once.
const FLOODS: usize = 8;
const WRITE_BYTES: usize = 60_000;

/// A message of one byte.
const TINY: &[u8] = b"\0x\xff";

/// Each server's round trips, alone and beside floods, as medians over the rounds.
pub(crate) fn measure(servers: &[Process], rounds: Rounds) -> Result<(), Box<dyn Error>> {
    println!(
        "round trips of one client beside {FLOODS} that write {WRITE_BYTES} bytes of tiny messages at once"
    );
    println!("{:<18} {:>20} {:>20} {:>14}", "", "alone: p50, p99", "beside: p50, p99", "floods");
    let mut samples = vec![Vec::new(); servers.len()];
    for _ in 0..rounds.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            samples.push(sample(server.address, Duration::from_secs_f64(rounds.seconds))?);
        }
    }
    for (server, samples) in servers.iter().zip(&samples) {
        let [alone50, alone99, beside50, beside99, floods] =
            std::array::from_fn(|at| median(samples.iter().map(|sample| sample[at])));
        println!(
            "{:<18} {:>20} {:>20} {floods:>9.1} MB/s",
            server.name(),
            format!("{alone50:.2}, {alone99:.2} ms"),
            format!("{beside50:.2}, {beside99:.2} ms"),
        );
    }
    Ok(())
}

/// 50th and 99th percentiles of the round trips in ms, alone and beside the floods, and the floods' echoes in MB/s.
fn sample(server: SocketAddr, length: Duration) -> Result<[f64; 5], Box<dyn Error>> {
    let alone = round_trips(server, length)?;
    let (stop, flooded) = (AtomicBool::new(false), AtomicU64::new(0));
    let (beside, bytes) = thread::scope(|scope| {
        for _ in 0..FLOODS {
            scope.spawn(|| flood(server, &stop, &flooded));
        }
        // Gives the floods time to fill all buffers.
        thread::sleep(length / 4);
        let before = flooded.load(Ordering::Relaxed);
        let trips = round_trips(server, length);
        let bytes = flooded.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        trips.map(|trips| (trips, bytes))
    })?;
    let floods = bytes as f64 / length.as_secs_f64() / 1e6;
    let [alone50, alone99] = [0.5, 0.99].map(|part| alone.percentile(part));
    let [beside50, beside99] = [0.5, 0.99].map(|part| beside.percentile(part));
    Ok([alone50, alone99, beside50, beside99, floods])
}

/// Writes as fast as it can and reads the echo.
fn flood(server: SocketAddr, stop: &AtomicBool, flooded: &AtomicU64) -> io::Result<()> {
    let mut stream = connect(server)?;
    let mut reading = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(read @ 1..) = reading.read(&mut buffer) {
                flooded.fetch_add(read as u64, Ordering::Relaxed);
            }
        });
        let burst = TINY.repeat(WRITE_BYTES / TINY.len());
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&burst)?;
        }
        stream.shutdown(std::net::Shutdown::Both)
    })
}

fn round_trips(server: SocketAddr, length: Duration) -> io::Result<Trips> {
    let stream = connect(server)?;
    let end = Instant::now() + length;
    Trips::make(stream, || Instant::now() < end)
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"8jKS'y:G*Co,Wxa-") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.extend(byte);
    }
    Ok(stream)
}
