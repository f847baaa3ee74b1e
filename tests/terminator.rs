//! A period browser engine that speaks TLS 1.0 at best, through a TLS terminator in front of the server.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::thread;

use support::optional::{install, trial};
use support::server::Server;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let programs = install("install-phantomjs").and_then(|_| install("install-tls10"));
    let trials = vec![
        trial("a_period_browser_connects_by_tls_1_0_through_stunnel", &programs, through_stunnel),
        trial("a_period_browser_connects_by_tls_1_0_through_haproxy", &programs, through_haproxy),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// stunnel sends a PROXY header of version 1, which cannot convey TLS.
fn through_stunnel(folder: &Path) {
    let (server, listen) = free_address();
    let text = format!(
        "foreground = yes\npid =\ndebug = 6\n\
         sslVersionMin = TLSv1\nsslVersionMax = TLSv1\nsecurityLevel = 0\n\
         cert = {0}/certificates/cert.pem\nkey = {0}/key.pem\n\
         [ws]\naccept = 127.0.0.1:0\nconnect = {server}\nprotocol = proxy\n",
        folder.display()
    );
    let mut stunnel = Command::new(folder.join("stunnel"));
    stunnel.arg(configuration("stunnel.conf", &text));
    let (_terminator, mut log) = start(stunnel);
    let line = wait_for(&mut log, "bound to 127.0.0.1:");
    let address = line.rsplit(' ').next().unwrap().parse().unwrap();
    thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
    browse(folder, address, &listen, &["--public-url", &format!("wss://{address}/")]);
}

/// HAProxy sends a PROXY header of version 2, which conveys TLS.
fn through_haproxy(folder: &Path) {
    let (server, listen) = free_address();
    let text = format!(
        "defaults\nmode tcp\ntimeout connect 5s\ntimeout client 1d\ntimeout server 1d\n\
         frontend old\nbind fd@0 ssl crt {}/both.pem ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.0 \
         ciphers DEFAULT:@SECLEVEL=0\ndefault_backend server\n\
         backend server\nserver one {server} send-proxy-v2-ssl\n",
        folder.display()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut haproxy = Command::new(folder.join("haproxy"));
    // HAProxy inherits this descriptor as its listening socket, so the system chooses the port.
    haproxy.args(["-db", "-f"]).arg(configuration("haproxy.cfg", &text)).stdin(OwnedFd::from(listener));
    let (_terminator, log) = start(haproxy);
    thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
    browse(folder, address, &listen, &[]);
}

/// Drives the browser through the served page, at the terminator's address.
#[track_caller]
fn browse(folder: &Path, terminator: SocketAddr, listen: &str, options: &[&str]) {
    let server = Server::start_on(&[listen], &[&["--proxy-protocol", "--debug"], options].concat());
    let phantomjs = install("install-phantomjs").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/drive.js");
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(r#"mount --bind "$1/certificates" /etc/ssl/certs && shift && exec "$@""#)
        .arg("sh")
        .arg(folder)
        .arg(phantomjs)
        .args(["--ssl-protocol=tlsv1", script, &format!("https://{terminator}/"), "tour"])
        .env_remove("SSL_CERT_DIR")
        .env("LD_LIBRARY_PATH", folder.join("openssl-1.0"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let saw = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{saw}\n{}", String::from_utf8_lossy(&output.stderr));
    let opened = format!("open wss://{terminator}/echo");
    for line in [&opened, "opened", "< h\u{e9} \u{20ac} \u{1f600}", ", all in order", "STATE closed"] {
        assert!(saw.contains(line), "{line:?} is not in {saw}");
    }
    server.wait_for_log(&["connected", "protocol=draft76"]);
}

/// A running terminator. Dropping it kills it.
struct Terminator(Child);

fn start(mut command: Command) -> (Terminator, BufReader<ChildStderr>) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the terminator starts");
    let log = BufReader::new(child.stderr.take().unwrap());
    (Terminator(child), log)
}

impl Drop for Terminator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Terminator and server must know each other's addresses, so one of them is chosen in advance.
fn free_address() -> (SocketAddr, String) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (address, address.to_string())
}

fn configuration(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn wait_for(log: &mut impl BufRead, part: &str) -> String {
    let mut lines = log.lines().map_while(Result::ok);
    lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in the log"))
}
