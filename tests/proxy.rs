//! Behind nginx as an HTTP proxy, which withholds key3 until it has seen the 101. (From 2.4, HAProxy refuses these
//! drafts in HTTP mode, because RFC 6455's Sec-WebSocket-Key is missing.)

mod support;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use support::client::Client;
use support::optional::{install, trial};
use support::recorder::Recorder;
use support::server::Server;
use support::{ANSWER, DEADLINE, KEY3, contains, head75, head76};

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let nginx = install("install-nginx");
    let trials = vec![
        trial("the_proxy_withholds_key3_until_the_101", &nginx, holds_key3_back),
        trial("draft_76_passes", &nginx, draft_76_passes),
        trial("draft_75_passes", &nginx, draft_75_passes),
        trial("forwarded_fields_of_a_trusted_proxy_are_used", &nginx, trusted),
        trial("draft_76_passes_over_a_unix_socket", &nginx, draft_76_passes_over_a_unix_socket),
        trial("the_test_page_passes", &nginx, page_passes),
        trial("a_shutdown_passes", &nginx, stop_passes),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A running nginx. Dropping it kills it.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    fn start(nginx: &Path, server: SocketAddr) -> Self {
        Self::start_for(nginx, &server.to_string())
    }

    /// Starts nginx in front of `server`, in nginx's notation.
    fn start_for(nginx: &Path, server: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, configure(&folder, address, server)).unwrap();
        let child = Command::new(nginx)
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&configuration)
            .arg("-e")
            .arg(folder.join("log"))
            // nginx inherits this descriptor as its listening socket, so the system chooses the port.
            .env("NGINX", "0;")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .spawn()
            .expect("nginx runs");
        Self { child, address }
    }

    fn connect(&self) -> Client {
        // The socket was listening before nginx started, so no connection is refused.
        Client::connect(self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGKILL would leave its worker running.
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, listen: SocketAddr, server: &str) -> String {
    let folder = folder.display();
    format!(
        "user root; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log warn;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            upstream legacy {{ server {server}; }}
            server {{
                listen {listen};
                location / {{
                    proxy_pass http://legacy;
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $http_connection;
                    proxy_set_header X-Forwarded-Proto https;
                    proxy_set_header X-Forwarded-For 192.0.2.7;
                }}
            }}
        }}"
    )
}

/// A server that waits for key3 before it answers, as many did, never gets it.
fn holds_key3_back(nginx: &Path) {
    let dumb = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(nginx, dumb.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(wait_for_key3_first(dumb.accept().unwrap().0)));
    let mut client = proxy.connect();
    client.send(&[&head76(""), KEY3].concat());
    let (nothing, key3) = told.recv_timeout(DEADLINE * 3).expect("the proxy connects");
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert_eq!(key3, KEY3);
}

/// The error of reading key3 before the 101, and key3 as read after it.
fn wait_for_key3_first(mut stream: TcpStream) -> (io::Error, Vec<u8>) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut head = Vec::new();
    let mut key3 = vec![0; KEY3.len()];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut key3[..1]).unwrap();
        head.push(key3[0]);
    }
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let nothing = stream.read(&mut key3).unwrap_err();
    let answer =
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(answer).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.read_exact(&mut key3).unwrap();
    (nothing, key3)
}

fn draft_76_passes_over_a_unix_socket(nginx: &Path) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("behind-nginx.sock");
    // Left over from an earlier run.
    let _ = fs::remove_file(&path);
    let listen = format!("unix:{}", path.display());
    let server = Server::start_announcing(1, &["--listen", &listen, "--trust-forwarded", "--debug"]);
    let proxy = Proxy::start_for(nginx, &listen);
    let mut client = proxy.connect();
    client.send(&[&head76("")[..], KEY3].concat());
    let answer = client.read_until(b"\r\n\r\n");
    let location = b"\r\nSec-WebSocket-Location: wss://example.com/demo\r\n";
    assert!(contains(&answer, location), "{}", answer.escape_ascii());
    client.expect(ANSWER);
    client.echo("in");
    server.wait_for_log(&["connected", "peer=192.0.2.7"]);
    client.close76();
}

fn draft_76_passes(nginx: &Path) {
    let server = Server::start(&[]);
    let recorder = Recorder::start(server.address());
    let proxy = Proxy::start(nginx, recorder.address());
    let mut client = proxy.connect();
    client.send(&[&head76("Sec-WebSocket-Protocol: sample\r\n"), KEY3].concat());
    let answer = client.read_until(b"\r\n\r\n");
    for field in [
        "HTTP/1.1 101 ",
        "\r\nUpgrade: WebSocket\r\n",
        "\r\nSec-WebSocket-Origin: http://example.com\r\n",
        "\r\nSec-WebSocket-Location: ws://example.com/demo\r\n",
        "\r\nSec-WebSocket-Protocol: sample\r\n",
    ] {
        assert!(contains(&answer, field.as_bytes()), "{field:?} is not in {}", answer.escape_ascii());
    }
    client.expect(ANSWER);
    client.echo("h\u{e9} \u{20ac} \u{1f600}");
    client.close76();
    assert!(recorder.wait_for_websocket().client.bytes.ends_with(b"\xff\x00"));
}

fn draft_75_passes(nginx: &Path) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(nginx, server.address());
    let mut client = proxy.connect();
    client.send(&head75(""));
    let answer = client.read_until(b"\r\n\r\n");
    let location = b"\r\nWebSocket-Location: ws://example.com/demo\r\n";
    assert!(contains(&answer, location), "{}", answer.escape_ascii());
    client.echo("h\u{e9} \u{20ac} \u{1f600}");
    client.finish();
    client.expect_end();
}

fn trusted(nginx: &Path) {
    let server = Server::start(&["--trust-forwarded", "--debug"]);
    let proxy = Proxy::start(nginx, server.address());
    let mut client = proxy.connect();
    client.send(&[&head76(""), KEY3].concat());
    let answer = client.read_until(b"\r\n\r\n");
    let location = b"\r\nSec-WebSocket-Location: wss://example.com/demo\r\n";
    assert!(contains(&answer, location), "{}", answer.escape_ascii());
    client.expect(ANSWER);
    server.wait_for_log(&["connected", "peer=192.0.2.7"]);
    client.close76();
    server.wait_for_log(&["closed", "peer=192.0.2.7"]);
}

fn page_passes(nginx: &Path) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(nginx, server.address());
    let mut client = proxy.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    let answer = client.read_to_end();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
    assert!(contains(&answer, include_bytes!("../host/src/application/page.html")));
}

fn stop_passes(nginx: &Path) {
    let server = Server::start(&["--close-timeout", "300ms"]);
    let proxy = Proxy::start(nginx, server.address());
    let mut client = proxy.connect();
    client.send(&[&head76(""), KEY3].concat());
    client.read_until(b"\r\n\r\n");
    client.expect(ANSWER);
    server.stop();
    client.expect(support::CLOSING);
    client.expect_end();
}
