//! What one client waits for an echo while others flood the server with tiny messages.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::REQUEST;
use crate::process::{Kind, Process, Role};

/// Connections that flood, and what each writes at once.
const FLOODS: usize = 8;
const WRITE_BYTES: usize = 60_000;

/// A message of one byte.
const TINY: &[u8] = b"\0x\xff";

/// Between two round trips.
const PAUSE: Duration = Duration::from_millis(2);

/// Each server's round trips, alone and beside floods; and `beside`, another build of the program.
pub(crate) fn measure(kinds: &[Kind], beside: Option<&Path>, length: Duration) -> Result<(), Box<dyn Error>> {
    println!(
        "round trips of one client beside {FLOODS} that write {WRITE_BYTES} bytes of tiny messages at once"
    );
    println!("{:<17} {:>20} {:>20} {:>14}", "", "alone: p50, p99", "beside: p50, p99", "floods");
    for kind in kinds.iter().copied().filter(|kind| *kind != Kind::Tcp) {
        let server = Process::start(kind, Role::Echo, 1)?;
        report(kind.name(), server.address, length)?;
    }
    if let Some(program) = beside {
        let server = Program::start(program)?;
        report(&program.display().to_string(), server.address, length)?;
    }
    Ok(())
}

fn report(name: &str, server: SocketAddr, length: Duration) -> Result<(), Box<dyn Error>> {
    let alone = round_trips(server, length)?;
    let (stop, flooded) = (AtomicBool::new(false), AtomicU64::new(0));
    let (beside, bytes) = thread::scope(|scope| {
        for _ in 0..FLOODS {
            scope.spawn(|| flood(server, &stop, &flooded));
        }
        // Until the floods have filled what there is to fill.
        thread::sleep(length / 4);
        let before = flooded.load(Ordering::Relaxed);
        let trips = round_trips(server, length);
        let bytes = flooded.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        trips.map(|trips| (trips, bytes))
    })?;
    let megabytes = bytes as f64 / length.as_secs_f64() / 1e6;
    println!("{name:<17} {:>20} {:>20} {megabytes:>9.1} MB/s", show(&alone), show(&beside));
    Ok(())
}

/// Writes as fast as it can, and reads what comes back.
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

/// Sorted.
fn round_trips(server: SocketAddr, length: Duration) -> io::Result<Vec<Duration>> {
    let mut stream = connect(server)?;
    let mut trips = Vec::new();
    let end = Instant::now() + length;
    while Instant::now() < end {
        let began = Instant::now();
        stream.write_all(TINY)?;
        stream.read_exact(&mut [0; TINY.len()])?;
        trips.push(began.elapsed());
        thread::sleep(PAUSE);
    }
    trips.sort_unstable();
    Ok(trips)
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

fn show(trips: &[Duration]) -> String {
    let at = |part: f64| trips.get((trips.len() as f64 * part) as usize).copied().unwrap_or_default();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.2}, {:.2} ms", millis(at(0.5)), millis(at(0.99)))
}

/// Another build of `legacy-websocket`.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(program: &Path) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(PathBuf::from(program))
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1"])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let address = line.trim().trim_start_matches("listening on ws://").trim_end_matches('/').parse()?;
        Ok(Self { child, address })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
