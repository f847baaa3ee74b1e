//! Floods from a second process do not disturb other clients; their echo latency is printed.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fmt, iter};

use libtest_mimic::Trial;
use support::client::Client;
use support::server::Server;
use support::{ANSWER, KEY3, frame, head76};

/// Echoes measured on the innocent client.
const ECHOES: usize = 300;

/// The address the floods come from.
const FLOOD_ADDRESS: [u8; 4] = [127, 0, 0, 2];

fn main() -> ExitCode {
    if let [_, what, address] = env::args().collect::<Vec<_>>().as_slice()
        && let Some(flood) = Flood::ALL.into_iter().find(|flood| *what == format!("flood-{flood}"))
    {
        flood.run(address.parse().expect("an address"));
    }
    let trials = Flood::ALL.into_iter().flat_map(|flood| {
        ["component", "native"].map(|engine| {
            Trial::test(format!("{engine}::a_flood_of_{flood}_does_not_disturb_other_clients"), move || {
                flooded(engine, flood);
                Ok(())
            })
        })
    });
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials.collect()).exit_code()
}

fn flooded(engine: &str, flood: Flood) {
    let server = Server::start(&[&["--engine", engine], flood.options()].concat());
    let mut innocent = server.open76();
    let calm = echoes(&mut innocent);
    let mut process = Process::start(flood, server.address());
    let flooded = echoes(&mut innocent);
    for _ in 0..20 {
        server.open75().echo("new");
        server.open76().echo("new");
    }
    process.still_runs();
    if let Some(parts) = flood.logged() {
        server.wait_for_log(parts);
    }
    drop(process);
    innocent.echo("after");
    println!("{engine}, flood of {flood}: echo in {calm} before, {flooded} meanwhile");
    drop(innocent);
    let stopped = server.stop();
    assert!(stopped.contains("traps=0"), "{stopped}");
}

fn echoes(client: &mut Client) -> Latency {
    let mut times: Vec<_> = iter::repeat_with(|| {
        let start = Instant::now();
        client.echo("h\u{e9} \u{20ac} \u{1f600}");
        start.elapsed()
    })
    .take(ECHOES)
    .collect();
    times.sort();
    Latency { median: times[ECHOES / 2], most: times[ECHOES - 1] }
}

struct Latency {
    median: Duration,
    most: Duration,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (at most {:?})", self.median, self.most)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flood {
    /// As many silent connections as possible.
    Silence,
    /// Endless heads, a byte at a time.
    SlowHeads,
    /// Opening handshakes, one after another.
    Handshakes,
    /// Opening handshakes over the rate limit of their address.
    HandshakesWithLimit,
    /// Messages without pause.
    Frames,
    /// Messages whose echo is never read.
    FramesUnread,
}

impl Flood {
    const ALL: [Self; 6] = [
        Self::Silence,
        Self::SlowHeads,
        Self::Handshakes,
        Self::HandshakesWithLimit,
        Self::Frames,
        Self::FramesUnread,
    ];

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Silence | Self::SlowHeads => {
                &["--max-connections", "200", "--max-connections-per-peer", "100"]
            }
            Self::HandshakesWithLimit => &["--max-handshakes-per-peer", "100"],
            Self::FramesUnread => &["--max-queue-bytes", "65536", "--write-timeout", "1s"],
            Self::Handshakes | Self::Frames => &[],
        }
    }

    /// Parts of the log line that reports the flood.
    fn logged(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Silence | Self::SlowHeads => {
                Some(&["refused", "127.0.0.2", "connections from one address"])
            }
            Self::HandshakesWithLimit => Some(&["refused", "127.0.0.2", "new connections from one address"]),
            Self::FramesUnread => Some(&["closed", "127.0.0.2", "slow-reader"]),
            _ => None,
        }
    }

    /// Floods forever, and reports on standard output once it is under way.
    fn run(self, address: SocketAddr) -> ! {
        let threads: Vec<_> = (0..2).map(|_| thread::spawn(move || self.flood(address))).collect();
        for thread in threads {
            let _ = thread.join();
        }
        panic!("the flood has ended");
    }

    fn flood(self, address: SocketAddr) {
        match self {
            Self::Silence => hold(address, |_| ()),
            Self::SlowHeads => hold(address, |stream| {
                let _ = stream.write_all(b"G");
            }),
            Self::Handshakes | Self::HandshakesWithLimit => loop {
                let mut stream = connect(address);
                // The connection may be refused or closed at once.
                let _ = stream.write_all(&[&head76(""), KEY3].concat());
                let _ = stream.read(&mut [0; 1024]);
                report();
            },
            Self::Frames => {
                let mut stream = open(address);
                let mut reader = stream.try_clone().expect("a second handle");
                thread::spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {});
                let frames = frame("0123456789abcdef0123456789abcdef").repeat(1000);
                while stream.write_all(&frames).is_ok() {
                    report();
                }
            }
            Self::FramesUnread => loop {
                let mut stream = open(address);
                let frames = frame("0123456789abcdef0123456789abcdef").repeat(1000);
                // Until the server closes the connection.
                while stream.write_all(&frames).is_ok() {
                    report();
                }
            },
        }
    }
}

/// Opens as many connections as possible, and runs `again` on each of them repeatedly.
fn hold(address: SocketAddr, mut again: impl FnMut(&mut TcpStream)) {
    let mut held: Vec<_> = (0..150).map(|_| connect(address)).collect();
    loop {
        held.iter_mut().for_each(&mut again);
        report();
        thread::sleep(Duration::from_millis(10));
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(&[&head76(""), KEY3].concat()).expect("a handshake");
    let mut answer = Vec::new();
    while !answer.ends_with(ANSWER) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    stream
}

fn connect(address: SocketAddr) -> TcpStream {
    Client::connect_from(FLOOD_ADDRESS, address).into_stream()
}

/// Reports that the flood is under way; the parent reads only the first line, so errors are ignored.
fn report() {
    let _ = writeln!(std::io::stdout(), "under way");
}

/// The second process. Dropping it kills it.
struct Process {
    child: Child,
}

impl Process {
    fn start(flood: Flood, address: SocketAddr) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([format!("flood-{flood}"), address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the flood process starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "under way\n");
        Self { child }
    }

    #[track_caller]
    fn still_runs(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the flood has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "silence",
            Self::SlowHeads => "slow_heads",
            Self::Handshakes => "handshakes",
            Self::HandshakesWithLimit => "handshakes_of_one_address",
            Self::Frames => "frames",
            Self::FramesUnread => "frames_unread",
        })
    }
}
