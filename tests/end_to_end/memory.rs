//! Peers that read slowly or not at all, and the memory the server holds for them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::admin::start;
use crate::support::client::Client;
use crate::support::on_both_engines;
use crate::support::server::{Server, program};
use crate::support::{DEADLINE, frame};

on_both_engines!(
    total_pending_output_is_limited,
    a_slow_but_steady_reader_is_not_closed,
    a_large_engine_is_replaced_once_its_connections_are_closed,
);

const MIB: usize = 1 << 20;

/// No single peer reaches its own limit.
fn total_pending_output_is_limited(engine: &str) {
    const HOGS: usize = 40;
    const LIMIT: usize = 4 * MIB;
    let limit = LIMIT.to_string();
    let (server, admin) = start(
        engine,
        &["--workers", "2", "--max-total-queue-bytes", &limit, "--max-queue-bytes", &limit, "--debug"],
    );
    let mut innocents = [server.open75(), server.open76()];
    let message = frame(&"a".repeat(16_000));
    // The kernel buffers a lot before the server has to.
    let mut hogs: Vec<_> = (0..HOGS).map(|_| server.open76().into_stream()).collect();
    hogs.iter().for_each(|hog| hog.set_nonblocking(true).unwrap());
    let mut closed = 0;
    let began = Instant::now();
    while closed < HOGS / 2 {
        assert!(began.elapsed() < DEADLINE, "only {closed} connections were closed");
        hogs.retain_mut(|hog| goes_on(hog, &message));
        closed = HOGS - hogs.len();
        let metrics = admin.metrics();
        let (held, limited) =
            (metrics["legacy_websocket_queue_bytes"], metrics["legacy_websocket_queue_bytes_limit"]);
        assert_eq!(limited, LIMIT as f64);
        assert!(held <= (LIMIT + LIMIT / 8 + 2 * MIB) as f64, "{held} bytes are held");
        innocents.iter_mut().for_each(|innocent| innocent.echo("not held up"));
    }
    assert!(admin.metrics()["legacy_websocket_slow_readers_total"] >= closed as f64);
    server.wait_for_log(&["closed", "slow-reader"]);
    server.wait_for_log(&["too much output waits", &format!("limit={LIMIT}")]);
    drop(hogs);
    innocents.iter_mut().for_each(|innocent| innocent.echo("still not held up"));
    let began = Instant::now();
    while admin.metrics()["legacy_websocket_queue_bytes"] > 0.0 {
        assert!(began.elapsed() < DEADLINE, "the queue was never released");
    }
}

/// Writes until the kernel buffer is full; false once the connection is closed.
fn goes_on(peer: &mut TcpStream, bytes: &[u8]) -> bool {
    loop {
        match peer.write(bytes) {
            // A partial write just makes a longer message.
            Ok(1..) => {}
            Ok(0) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// The kernel reports a socket as writable only once a third of its buffer is free. At this pace that takes four times
/// the write timeout.
fn a_slow_but_steady_reader_is_not_closed(engine: &str) {
    let server = Server::start(&["--engine", engine, "--write-timeout", "2s"]);
    let mut client = server.open76();
    let text = "a".repeat(60_000);
    let mut peer = client.reader().into_stream();
    peer.set_nonblocking(true).unwrap();
    // Until both directions are full.
    let mut written = 0;
    let mut rest = 0;
    let message = frame(&text);
    let mut full = 0;
    while full < 20 {
        match peer.write(&message[rest..]) {
            Ok(count) => {
                (written, full) = (written + count, 0);
                rest = (rest + count) % message.len();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                full += 1;
                sleep(Duration::from_millis(10));
            }
        }
    }
    let began = Instant::now();
    let mut read = 0;
    let mut buffer = vec![0; 8192];
    while began.elapsed() < Duration::from_secs(7) {
        match peer.read(&mut buffer) {
            Ok(count) => {
                assert!(count > 0, "closed after {read} of {written} bytes");
                read += count;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        sleep(Duration::from_millis(40));
    }
    assert!(!server.log().contains("slow-reader"), "{}", server.log());
    peer.set_nonblocking(false).unwrap();
    client.send(&message[rest..]);
    while read < written + message.len() - rest {
        read += peer.read(&mut buffer).unwrap();
    }
    client.close76();
}

fn a_large_engine_is_replaced_once_its_connections_are_closed(engine: &str) {
    let (server, admin) = start(engine, &["--workers", "1", "--debug"]);
    let begin = |mut client: Client| {
        client.send(&[b"\0", &[b'a'; 1_000_000][..]].concat());
        client
    };
    let mut peers: Vec<_> = (0..40).map(|_| begin(server.open76())).collect();
    for peer in &mut peers {
        peer.send(b"\xff");
        peer.expect(&frame(&"a".repeat(1_000_000)));
    }
    let unfinished: Vec<_> = (0..40).map(|_| begin(server.open76())).collect();
    let began = Instant::now();
    while admin.metrics()["legacy_websocket_buffered_bytes"] < 40_000_000.0 {
        assert!(began.elapsed() < DEADLINE, "the messages are not buffered");
    }
    drop((peers, unfinished));
    if engine == "component" {
        server.wait_for_log(&["an engine that had grown large is replaced"]);
    }
    let mut client = server.open75();
    client.echo("as before");
    // The counters of the replaced engine are kept.
    let metrics = admin.metrics();
    assert_eq!(metrics[r#"legacy_websocket_messages_total{direction="sent"}"#], 41.0);
    assert_eq!(metrics["legacy_websocket_restarts_total"], 0.0);
    drop(client);
    let stopped = server.stop();
    assert!(stopped.contains("traps=0"), "{stopped}");
}

/// wasmtime itself would run damaged code.
#[test]
fn damaged_compiled_code_is_recompiled() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("damaged-cache");
    let _ = fs::remove_dir_all(&folder);
    let start = || {
        let mut command = program();
        command.env("XDG_CACHE_HOME", &folder).args(["serve", "--listen", "127.0.0.1:0", "--workers", "1"]);
        let server = Server::start_command(command, 1);
        server.open76().echo("it works");
        server
    };
    start().stop();
    let code = code(&folder.join("legacy-websocket/code")).expect("compiled code in the cache");
    let good = fs::read(&code).unwrap();
    for place in 1..8 {
        let mut damaged = good.clone();
        damaged[good.len() * place / 8] ^= 0x10;
        fs::write(&code, &damaged).unwrap();
        let server = start();
        server.wait_for_log(&["is damaged"]);
        server.stop();
        let server = start();
        assert!(!server.log().contains("damaged"), "{}", server.log());
    }
}

/// The largest file below a folder.
fn code(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter_map(|path| if path.is_dir() { code(&path) } else { Some(path) });
    files.max_by_key(|path| path.metadata().unwrap().len())
}
