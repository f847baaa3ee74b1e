//! For clients that speak TLS 1.0 at best: stunnel before the server, and a browser engine of the time before it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use support::DEADLINE;
use support::optional::{install, trial};
use support::server::Server;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let programs = install("install-phantomjs").and_then(|_| install("install-tls10"));
    let trials = vec![trial("a_browser_engine_of_the_time_by_tls_1_0", &programs, by_tls10)];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A running stunnel. Dropping it kills it.
struct Stunnel {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
}

impl Stunnel {
    /// Starts it before there is a server, which has to know its address.
    fn start(folder: &Path, server: SocketAddr) -> Self {
        let configuration = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stunnel.conf");
        let folder_name = folder.display();
        let text = format!(
            "foreground = yes\npid =\ndebug = 6\n\
             sslVersionMin = TLSv1\nsslVersionMax = TLSv1\nsecurityLevel = 0\n\
             cert = {folder_name}/certificates/cert.pem\nkey = {folder_name}/key.pem\n\
             [ws]\naccept = 127.0.0.1:0\nconnect = {server}\nprotocol = proxy\n"
        );
        fs::write(&configuration, text).unwrap();
        let mut child = Command::new(folder.join("stunnel"))
            .arg(configuration)
            .stderr(Stdio::piped())
            .spawn()
            .expect("stunnel runs");
        let (tell, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut stunnel = Self { child, address: server, log };
        let line = stunnel.wait_for_log("bound to 127.0.0.1:");
        stunnel.address = line.rsplit(' ').next().unwrap().parse().unwrap();
        stunnel
    }

    #[track_caller]
    fn wait_for_log(&self, part: &str) -> String {
        let lines = std::iter::from_fn(|| self.log.recv_timeout(DEADLINE).ok());
        lines.into_iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in the log"))
    }
}

impl Drop for Stunnel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn by_tls10(folder: &Path) {
    // A first server for its port alone: stunnel has to know it, and the server stunnel's.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let stunnel = Stunnel::start(folder, address);
    let url = format!("wss://{}/", stunnel.address);
    drop(port);
    let listen = address.to_string();
    let server = Server::start_on(&[&listen], &["--proxy-protocol", "--public-url", &url, "--debug"]);
    let phantomjs = install("install-phantomjs").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/drive.js");
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(r#"mount --bind "$1/certificates" /etc/ssl/certs && shift && exec "$@""#)
        .arg("sh")
        .arg(folder)
        .arg(phantomjs)
        .args(["--ssl-protocol=tlsv1", script, &format!("https://{}/", stunnel.address), "tour"])
        .env_remove("SSL_CERT_DIR")
        .env("LD_LIBRARY_PATH", folder.join("openssl-1.0"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let saw = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{saw}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["opened", "< h\u{e9} \u{20ac} \u{1f600}", ", all in order", "STATE closed"] {
        assert!(saw.contains(line), "{line:?} is not in {saw}");
    }
    stunnel.wait_for_log("TLSv1 ciphersuite");
    server.wait_for_log(&["connected", "draft=Draft::Draft76"]);
}
