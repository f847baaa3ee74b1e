//! Socket activation, readiness notification and restarts, as under systemd.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::client::Client;
use crate::support::server::{Server, program};
use crate::support::tls::Certificate;
use crate::support::{ANSWER, DEADLINE, KEY3, head76};

/// Starts the server as systemd does: the socket as descriptor 3, its name and the process id in the environment.
struct Manager {
    socket: TcpListener,
    notify: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Left over from an earlier run.
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket: TcpListener::bind("127.0.0.1:0").unwrap(), notify, path }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn start(&self, name: &str, options: &[&str]) -> Server {
        let server = self.start_with(self.socket.try_clone().unwrap().into(), name, options);
        assert_eq!(server.address(), self.address());
        server
    }

    /// Like [`Self::start`], with another socket.
    fn start_with(&self, socket: OwnedFd, name: &str, options: &[&str]) -> Server {
        let program = program();
        let mut shell = Command::new("sh");
        // exec keeps the process id, so LISTEN_PID is the program's.
        shell
            .args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@" 3<&0 0</dev/null"#])
            .arg(program.get_program())
            .arg("serve")
            .args(options)
            .envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", name)])
            .env("NOTIFY_SOCKET", &self.path)
            .env_remove("RUST_LOG")
            .stdin(socket);
        Server::start_command(shell, 1)
    }

    #[track_caller]
    fn expect_notification(&self, what: &str) {
        let mut message = [0; 1024];
        let count = self.notify.recv(&mut message).expect("a message");
        let message = String::from_utf8_lossy(&message[..count]);
        assert!(message.lines().any(|line| line == what), "{message}");
    }
}

#[test]
fn a_socket_is_inherited_and_the_manager_notified() {
    let manager = Manager::new("notified.socket");
    let server = manager.start("http", &["--engine", "native"]);
    manager.expect_notification("READY=1");
    server.open76().echo("in");
    // There is nothing to reload, and the server keeps running.
    server.signal("HUP");
    manager.expect_notification("RELOADING=1");
    manager.expect_notification("READY=1");
    server.signal("TERM");
    manager.expect_notification("STOPPING=1");
    assert!(server.wait().0.success());
}

#[test]
fn a_socket_named_wss_serves_tls() {
    let manager = Manager::new("wss.socket");
    let certificate = Certificate::new("handed-over");
    let server = manager.start("wss", &[&["--engine", "native"], &certificate.options()[2..]].concat());
    let mut client = Client::connect_tls(server.address(), certificate.client()).unwrap();
    client.shake_hands76("wss://example.com/demo");
}

#[test]
fn an_inherited_unix_socket_is_not_removed() {
    let manager = Manager::new("unix.notify");
    let path = manager.path.with_extension("sock");
    // Left over from an earlier run.
    let _ = std::fs::remove_file(&path);
    let socket = UnixListener::bind(&path).unwrap();
    for options in [&["--engine", "native"][..], &["--engine", "native", "--health-path", "/healthz"]] {
        let server = manager.start_with(socket.try_clone().unwrap().into(), "", options);
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[&head76(""), KEY3].concat()).unwrap();
        let mut answer = Vec::new();
        for byte in BufReader::new(&client).bytes() {
            answer.push(byte.unwrap());
            if answer.ends_with(ANSWER) {
                break;
            }
        }
        drop(client);
        server.stop();
        assert!(path.exists());
    }
    let certificate = Certificate::new("unix-handed-over");
    let mut refused = program();
    refused.args(["serve", "--tls-listen", "unix:/run/no.sock"]).args(&certificate.options()[2..]);
    let log = String::from_utf8(refused.output().unwrap().stderr).unwrap();
    assert!(log.contains("a Unix socket carries no TLS"), "{log}");
}

#[test]
fn a_restart_refuses_no_client() {
    let manager = Manager::new("restart.socket");
    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut server = manager.start("", &["--engine", "native"]);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, served, address) = (Arc::clone(&done), Arc::clone(&served), manager.address());
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    served.fetch_add(usize::from(completes_handshake(address)), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        wait_for_more(&served);
        server.stop();
        // New connections wait in the backlog for the next server.
        server = manager.start("", &["--engine", "native"]);
    }
    wait_for_more(&served);
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no client was refused");
    }
    server.stop();
}

/// True if the opening handshake completed; false if the server stopped meanwhile and closed the connection cleanly.
fn completes_handshake(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).expect("not refused");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    match stream.write_all(&[&head76(""), KEY3].concat()).and_then(|()| {
        // `bytes` retries interrupted reads.
        for byte in BufReader::new(&stream).bytes() {
            answer.push(byte?);
            if answer.ends_with(ANSWER) {
                break;
            }
        }
        Ok(())
    }) {
        Ok(()) => answer.ends_with(ANSWER),
        // Written after the server had closed its side.
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
            false
        }
    }
}

#[track_caller]
fn wait_for_more(served: &AtomicUsize) {
    let before = served.load(Ordering::Relaxed);
    let end = std::time::Instant::now() + DEADLINE;
    while served.load(Ordering::Relaxed) < before + 20 {
        assert!(std::time::Instant::now() < end, "no client is served");
        thread::yield_now();
    }
}
