//! Listening addresses, host names and Unix sockets; TCP keepalive.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use crate::file;
use crate::support::client::Client;
use crate::support::server::{Server, program, run};
use crate::support::{ANSWER, DEADLINE, KEY3, answer76, frame, head76};

const LOCATION: &str = "ws://example.com/demo";

/// Opens a draft 76 connection over a Unix socket.
fn open_unix(path: &str, before: &[u8], fields: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&[before, &head76(fields), KEY3].concat()).unwrap();
    expect(&mut stream, &[&answer76(LOCATION, "")[..], ANSWER].concat());
    stream
}

#[track_caller]
fn expect(stream: &mut UnixStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read.escape_ascii().to_string(), bytes.escape_ascii().to_string());
}

#[track_caller]
fn echo(stream: &mut UnixStream, text: &str) {
    stream.write_all(&frame(text)).unwrap();
    expect(stream, &frame(text));
}

/// A path where no file exists.
fn path(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run.
    let _ = fs::remove_file(&path);
    path.to_str().unwrap().into()
}

fn start_unix(path: &str, options: &[&str]) -> Server {
    let listen = format!("unix:{path}");
    let options = [&["--engine", "native", "--debug", "--listen", &listen], options].concat();
    Server::start_announcing(1, &options)
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let path = path("served.sock");
    let server = start_unix(&path, &["--max-connections-per-peer", "1", "--workers", "2"]);
    let mut clients = [(); 3].map(|()| open_unix(&path, b"", ""));
    for client in &mut clients {
        echo(client, "in");
    }
    server.wait_for_logs(&["connected", "peer=unix"], 3);
    assert_eq!(PathBuf::from(&path).metadata().unwrap().permissions().mode() & 0o777, 0o777 & !umask());
    server.signal("TERM");
    for client in &mut clients {
        expect(client, b"\xff\0");
        client.write_all(b"\xff\0").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert!(server.wait().0.success());
    assert!(!PathBuf::from(&path).exists());
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let path = path("stale.sock");
    // Killed, so the socket file stays behind.
    drop(start_unix(&path, &[]));
    assert!(PathBuf::from(&path).exists());
    let server = start_unix(&path, &[]);
    let listen = format!("unix:{path}");
    let second = run(&["serve", "--engine", "native", "--listen", &listen]);
    let log = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && log.contains(&format!("cannot listen on {listen}: ")), "{log}");
    assert!(log.contains("in use"), "{log}");
    echo(&mut open_unix(&path, b"", ""), "still served");
    server.stop();
    let other = file("no.sock", b"precious");
    let refused = run(&["serve", "--engine", "native", "--listen", &format!("unix:{other}")]);
    let log = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && log.contains("is no socket"), "{log}");
    assert_eq!(fs::read(other).unwrap(), b"precious");
}

#[test]
fn a_proxy_on_a_unix_socket_names_the_peer() {
    let path = path("proxy.sock");
    let server = start_unix(&path, &["--trust-forwarded"]);
    echo(&mut open_unix(&path, b"", "X-Forwarded-For: 192.0.2.7\r\n"), "in");
    server.wait_for_log(&["connected", "peer=192.0.2.7"]);
    server.stop();
    let server = start_unix(&path, &["--proxy-protocol", "--max-connections-per-peer", "1"]);
    let header = b"PROXY TCP4 192.0.2.8 127.0.0.1 12345 80\r\n";
    let mut client = open_unix(&path, header, "");
    echo(&mut client, "in");
    server.wait_for_log(&["connected", "peer=192.0.2.8:12345"]);
    let mut second = UnixStream::connect(&path).unwrap();
    second.write_all(header).unwrap();
    let mut refused = String::new();
    second.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
}

/// The umask of this process and its children.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(umask.trim(), 8).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn ipv4_and_ipv6_share_a_port() {
    if !has_ipv6() {
        return;
    }
    for order in [["[::]", "0.0.0.0"], ["127.0.0.1", "[::]"]] {
        let port = free_port();
        let listen = order.map(|address| format!("{address}:{port}"));
        let listen: Vec<_> = listen.iter().map(String::as_str).collect();
        let server = Server::start_on(&listen, &["--engine", "native", "--debug"]);
        for client in ["127.0.0.1", "[::1]"] {
            let mut client = Client::open75(format!("{client}:{port}").parse().unwrap());
            client.echo("in");
            // An IPv4 peer is not shown as ::ffff:127.0.0.1.
            server.wait_for_log(&["connected", &format!("peer={} ", client.address())]);
        }
    }
}

#[test]
fn the_ipv6_wildcard_accepts_both_families() {
    if !has_ipv6() {
        return;
    }
    let server = Server::start_on(&["[::]:0"], &["--engine", "native"]);
    let port = server.address().port();
    for client in ["127.0.0.1", "[::1]"] {
        Client::open75(format!("{client}:{port}").parse().unwrap()).echo("in");
    }
}

#[test]
fn a_host_name_listens_on_all_its_addresses() {
    let can_bind = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let mut expected: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().filter(can_bind).collect();
    expected.dedup();
    let server = Server::start_announcing(expected.len(), &["--engine", "native", "--listen", "localhost:0"]);
    for (address, expected) in server.addresses().iter().zip(expected) {
        assert_eq!(address.ip(), expected.ip());
        Client::open75(*address).echo("in");
    }
    let output = run(&["serve", "--listen", "nowhere.invalid:8000"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && log.contains("cannot listen on nowhere.invalid:8000: "), "{log}");
}

#[test]
fn the_environment_sets_the_default_address() {
    let mut command = program();
    command.args(["serve", "--engine", "native"]).env("LEGACY_WEBSOCKET_LISTEN", "127.0.0.2:0");
    let server = Server::start_command(command, 1);
    assert_eq!(server.address().ip().to_string(), "127.0.0.2");
    server.open76().echo("in");
    let mut command = program();
    command
        .args(["serve", "--engine", "native", "--listen", "127.0.0.3:0"])
        .env("LEGACY_WEBSOCKET_LISTEN", "127.0.0.2:0");
    assert_eq!(Server::start_command(command, 1).address().ip().to_string(), "127.0.0.3");
}

/// The kind of the kernel timer on the server's side of a connection, and when it is due, in hundredths of a second.
fn timer(server: SocketAddr, client: SocketAddr) -> Option<(String, u64)> {
    let hex = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
        }
        SocketAddr::V6(_) => panic!("IPv4"),
    };
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let (server, client) = (hex(server), hex(client));
    table.lines().find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (kind, when) = columns.get(5)?.split_once(':')?;
        let is_ours = columns[1] == server && columns[2] == client;
        is_ours.then(|| (kind.into(), u64::from_str_radix(when, 16).unwrap()))
    })
}

#[test]
fn tcp_keepalive_is_set() {
    const NONE: &str = "00";
    const KEEPALIVE: &str = "02";
    for (options, kind, due) in [
        (&[][..], KEEPALIVE, 1..=6_000),
        (&["--tcp-keepalive", "10m"][..], KEEPALIVE, 6_001..=60_000),
        (&["--tcp-keepalive", "0s"][..], NONE, 0..=0),
    ] {
        let server = Server::start(&[&["--engine", "native"], options].concat());
        let mut client = server.open75();
        client.echo("in");
        // Until the echo is acknowledged, another timer runs.
        let is_set = (0..1000).any(|_| {
            let (found, when) = timer(server.address(), client.address()).expect("a row of /proc/net/tcp");
            thread::yield_now();
            found == kind && due.contains(&when)
        });
        assert!(is_set, "{options:?}");
    }
}
