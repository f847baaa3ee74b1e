//! Clients that come, go and break off, and a backend that restarts, again and again: nothing is lost without a word,
//! nothing is reordered, nothing leaks.
//!
//! `GATEWAY_SOAK_MINUTES=10` runs so long, instead of a number of connections.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::expect_descriptors;
use crate::pair::{PROTOCOLS, Protocol};
use crate::service::{FLOOD_BYTES, Service, body};
use crate::support::admin::{Admin, until};
use crate::support::hybi::{CLOSE, TEXT, close, head_hybi, masked};
use crate::support::server::{Server, program};
use crate::support::{ANSWER, CLOSING, DEADLINE};
use crate::wire::Wire;

tests!(nothing_is_lost_or_leaks);

/// Concurrent clients.
const CLIENTS: u64 = 40;

/// How many connections are made if no time is given.
const CONNECTIONS: u64 = 2000;

/// Connections from one restart of the backend to the next.
const RESTART_EVERY: u64 = 200;

/// How much the gateway may grow after the first fifth: allocator slack, but no leak.
const MAX_GROWTH: u64 = 8 << 20;

/// What all clients have seen.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    /// Echoed texts.
    texts: AtomicU64,
    /// Old clients closed by the gateway, since the backend was gone.
    lost: AtomicU64,
    /// Requests answered with 502.
    refused: AtomicU64,
    /// Responses whose backend was gone.
    cut: AtomicU64,
    /// Whole ones.
    responses: AtomicU64,
    restarts: AtomicU64,
    /// One more connection is over.
    over: (Mutex<()>, Condvar),
}

impl Seen {
    fn note(&self) {
        let (lock, over) = &self.over;
        drop(lock.lock().unwrap());
        over.notify_all();
    }

    /// Looks at it whenever a connection is over.
    #[track_caller]
    fn wait_until(&self, is_so: impl Fn() -> bool) {
        let (lock, over) = &self.over;
        let mut guard = lock.lock().unwrap();
        while !is_so() {
            let (next, waited) = over.wait_timeout(guard, DEADLINE).unwrap();
            assert!(!waited.timed_out(), "no progress: {self:?}");
            guard = next;
        }
    }
}

/// How long it goes on.
#[derive(Clone, Copy, Debug)]
enum Length {
    Connections(u64),
    Time(Instant, Duration),
}

impl Length {
    fn chosen() -> Self {
        let minutes = std::env::var("GATEWAY_SOAK_MINUTES").ok();
        let time = |minutes: String| Duration::from_secs_f64(60.0 * minutes.parse::<f64>().unwrap());
        minutes.map_or(Self::Connections(CONNECTIONS), |minutes| Self::Time(Instant::now(), time(minutes)))
    }

    /// From 0 to 1.
    fn done(self, seen: &Seen) -> f64 {
        match self {
            Self::Connections(count) => seen.connections.load(Ordering::SeqCst) as f64 / count as f64,
            Self::Time(start, time) => start.elapsed().as_secs_f64() / time.as_secs_f64(),
        }
    }
}

fn nothing_is_lost_or_leaks() {
    let mut service = Service::start();
    let gateway = start(&service.url());
    let admin = Admin::of(&gateway);
    let seen = Seen::default();
    // What is opened once.
    let address = gateway.address();
    for number in 0..CLIENTS {
        come(address, &mut Dice(number + 1), &seen);
    }
    until(&admin, is_empty);
    let before = gateway.descriptors();
    let length = Length::chosen();
    let resident = thread::scope(|scope| {
        for number in 0..CLIENTS {
            let seen = &seen;
            scope.spawn(move || {
                let mut dice = Dice(number + 1);
                while length.done(seen) < 1.0 {
                    come(address, &mut dice, seen);
                    seen.note();
                }
            });
        }
        restart_repeatedly(&mut service, &gateway, length, &seen)
    });
    until(&admin, is_empty);
    expect_descriptors(&gateway, before);
    let metrics = admin.metrics();
    gateway.signal("TERM");
    // Only now is it whole.
    let (status, log) = gateway.wait();
    assert!(status.success(), "{status}\n{log}");
    let failures = check_failures(&metrics, &log, &seen);
    println!("{seen:?}; {failures} failures; {resident}");
}

/// Without the limit on lines about backends: each failure has to have one.
fn start(to: &str) -> Server {
    let mut command = program();
    command.args(["gateway", "--listen", "127.0.0.1:0", "--metrics", "0", "--to", to]);
    command.args(["--retry-after", "0", "--workers", "2"]);
    command.env("RUST_LOG", "info,legacy_websocket_host::observe::log=debug");
    Server::start_command(command, 1)
}

/// Returns the memory in words.
fn restart_repeatedly(service: &mut Service, gateway: &Server, length: Length, seen: &Seen) -> String {
    let (mut settled, mut most) = (0, 0);
    let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
    let wait = |is_so: &dyn Fn() -> bool| seen.wait_until(|| is_so() || length.done(seen) >= 1.0);
    while length.done(seen) < 1.0 {
        let next = load(&seen.connections) + RESTART_EVERY;
        wait(&|| load(&seen.connections) >= next);
        let refused = load(&seen.refused);
        service.kill();
        wait(&|| load(&seen.refused) > refused);
        service.start_again();
        seen.restarts.fetch_add(1, Ordering::SeqCst);
        let resident = gateway.resident_bytes();
        // The first may be late on a slow machine.
        if settled == 0 || length.done(seen) < 0.2 {
            settled = settled.max(resident);
        } else {
            most = most.max(resident);
            assert!(resident < settled + MAX_GROWTH, "{resident} bytes, {settled} in the first fifth");
        }
    }
    format!("{} kB resident at most in the first fifth, {} kB then", settled >> 10, most >> 10)
}

fn is_empty(metrics: &BTreeMap<String, f64>) -> bool {
    let open = ["gateway_pairs", "gateway_tunnels", "backend_connections{"];
    let open = open.map(|name| format!("legacy_websocket_{name}"));
    metrics.iter().all(|(name, value)| *value == 0.0 || !open.iter().any(|open| name.starts_with(open)))
}

/// Every failure that was counted was logged, and every pair that a client lost is among them. Returns how many.
fn check_failures(metrics: &BTreeMap<String, f64>, log: &str, seen: &Seen) -> usize {
    assert_eq!(metrics["legacy_websocket_log_lines_lost_total"], 0.0);
    let failures = metrics.iter().filter(|(name, _)| name.starts_with("legacy_websocket_backend_failures"));
    let counted: f64 = failures.clone().map(|(_, count)| count).sum();
    let lost: f64 =
        failures.filter(|(name, _)| name.contains("reason=\"lost\"")).map(|(_, count)| count).sum();
    assert!(lost >= seen.lost.load(Ordering::SeqCst) as f64, "{lost} are counted as lost: {seen:?}");
    let is_failure = |line: &&str| line.contains(" WARN ") && line.contains("backend=");
    let logged = log.lines().filter(is_failure).count();
    assert_eq!(logged as f64, counted, "{metrics:#?}");
    logged
}

/// Pseudorandom numbers (xorshift).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }
}

/// One connection, to its end.
fn come(address: SocketAddr, dice: &mut Dice, seen: &Seen) {
    seen.connections.fetch_add(1, Ordering::SeqCst);
    let wire = Wire::new(TcpStream::connect(address).unwrap());
    // `None` where the connection ended before it was to.
    let _: Option<()> = match dice.below(10) {
        0 => download(wire, dice, seen),
        1 => tunnel(wire, dice),
        2 => break_off_the_handshake(wire, dice),
        _ => {
            let protocol = PROTOCOLS[dice.below(4) as usize];
            Old { address, wire, protocol }.live(dice, seen)
        }
    };
}

fn break_off_the_handshake(mut wire: Wire, dice: &mut Dice) -> Option<()> {
    let request = PROTOCOLS[dice.below(4) as usize].request("");
    wire.send(&request[..dice.below(request.len() as u64 + 1) as usize]);
    if dice.below(2) == 0 {
        wire.reset();
    }
    Some(())
}

fn download(mut wire: Wire, dice: &mut Dice, seen: &Seen) -> Option<()> {
    for _ in 0..1 + dice.below(3) {
        let length = 1 << dice.below(22);
        wire.send(format!("GET /{length} HTTP/1.1\r\nHost: example.com\r\n\r\n").as_bytes());
        let head = wire.until(b"\r\n\r\n")?;
        if head.starts_with(b"HTTP/1.1 502 ") {
            seen.refused.fetch_add(1, Ordering::SeqCst);
            return Some(());
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
        if dice.below(8) == 0 {
            wire.reset();
            return Some(());
        }
        match wire.exact(length) {
            Some(whole) => assert!(whole == body(length), "a response of {length} bytes is another one"),
            None => {
                seen.cut.fetch_add(1, Ordering::SeqCst);
                return None;
            }
        }
        seen.responses.fetch_add(1, Ordering::SeqCst);
    }
    Some(())
}

fn tunnel(mut wire: Wire, dice: &mut Dice) -> Option<()> {
    wire.send(&head_hybi(13, ""));
    if !wire.until(b"\r\n\r\n")?.starts_with(b"HTTP/1.1 101 ") {
        return Some(());
    }
    for number in 0..dice.below(20) {
        let text = number.to_string();
        wire.send(&masked(TEXT, text.as_bytes()));
        assert_eq!(wire.frame()?.payload, text.as_bytes());
    }
    match dice.below(3) {
        0 => wire.reset(),
        1 => drop(wire),
        _ => {
            wire.send(&masked(CLOSE, &close(1000, "")));
            assert_eq!(wire.frame()?.first, CLOSE);
        }
    }
    Some(())
}

/// An old client.
struct Old {
    address: SocketAddr,
    wire: Wire,
    protocol: Protocol,
}

impl Old {
    fn live(mut self, dice: &mut Dice, seen: &Seen) -> Option<()> {
        self.wire.send(&self.protocol.request(""));
        let head = self.wire.until(b"\r\n\r\n").expect("an answer, whatever it is");
        if !head.starts_with(b"HTTP/1.1 101 ") {
            assert!(head.starts_with(b"HTTP/1.1 502 "), "{}", head.escape_ascii());
            seen.refused.fetch_add(1, Ordering::SeqCst);
            return Some(());
        }
        if self.protocol == Protocol::Draft76 {
            assert_eq!(self.wire.exact(ANSWER.len()).as_deref(), Some(ANSWER));
        }
        let talked = if dice.below(20) == 0 { self.read_late(dice, seen) } else { self.talk(dice, seen) };
        if talked.is_none() {
            seen.lost.fetch_add(1, Ordering::SeqCst);
            self.close();
            return None;
        }
        self.leave(dice);
        Some(())
    }

    /// Every text comes back, in order; `None` if the gateway closes.
    fn talk(&mut self, dice: &mut Dice, seen: &Seen) -> Option<()> {
        for round in 0..dice.below(20) {
            let texts: Vec<_> =
                (0..1 + dice.below(10)).map(|number| format!("{round}:{number}:h\u{e9}")).collect();
            self.wire.send(&texts.iter().flat_map(|text| self.protocol.text(text)).collect::<Vec<_>>());
            for text in texts {
                assert_eq!(self.text()?, text);
                seen.texts.fetch_add(1, Ordering::SeqCst);
            }
        }
        Some(())
    }

    /// More than the gateway holds for a client that does not read.
    fn read_late(&mut self, dice: &mut Dice, seen: &Seen) -> Option<()> {
        const COUNT: usize = 4000;
        self.wire.send(&self.protocol.text(&format!("flood:{COUNT}")));
        // Meanwhile the gateway has time for it.
        let _: Option<()> = download(Wire::new(TcpStream::connect(self.address).unwrap()), dice, seen);
        for number in 0..COUNT {
            assert_eq!(self.text()?, format!("{number:0FLOOD_BYTES$}"));
            seen.texts.fetch_add(1, Ordering::SeqCst);
        }
        Some(())
    }

    /// The next text; `None` if the gateway closes.
    fn text(&mut self) -> Option<String> {
        let payload = match self.protocol {
            Protocol::Draft75 | Protocol::Draft76 => {
                let frame = self.wire.until(b"\xff")?;
                if frame == CLOSING[..1] {
                    return None;
                }
                frame[1..frame.len() - 1].to_vec()
            }
            Protocol::Hybi(_) => {
                let frame = self.wire.frame()?;
                if frame.first == CLOSE {
                    return None;
                }
                frame.payload
            }
        };
        Some(String::from_utf8(payload).unwrap())
    }

    fn leave(mut self, dice: &mut Dice) {
        match dice.below(5) {
            0 => self.wire.reset(),
            1 => self.wire.finish(),
            2 => {
                // In the middle of a frame.
                let text = self.protocol.text("never whole");
                self.wire.send(&text[..text.len() - 1]);
                if dice.below(2) == 0 {
                    self.wire.reset();
                }
            }
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        match self.protocol {
            Protocol::Draft75 => true,
            Protocol::Draft76 => self.wire.send(CLOSING),
            Protocol::Hybi(_) => self.wire.send(&masked(CLOSE, &close(1000, ""))),
        };
        self.wire.finish();
        self.wire.drain();
    }
}
