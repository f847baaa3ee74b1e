//! Third-party clients, driven by lines.
//!
//! They do what they are told: `text TEXT`, `binary HEX`, `fragments WORD…` (one message), `ping TEXT`,
//! `close CODE REASON`. And they tell what happens: `open SUBPROTOCOL`, or `refused STATUS`; `text TEXT`, `binary HEX`,
//! `ping`, `pong TEXT`; `close CODE REASON`. What there is none of is left out.

use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::DEADLINE;

/// A running client. Dropping it kills it.
pub(crate) struct ThirdParty {
    child: Child,
    tell: Box<dyn FnMut(&str) + Send>,
    lines: Receiver<String>,
    /// What it has told, for the message of a failure.
    told: Vec<String>,
}

impl ThirdParty {
    /// npm's ws. `modules` is what `tests/install-ws` prints; `library` is `ws` or `ws-0.4`.
    pub(crate) fn ws(
        modules: &Path,
        library: &str,
        version: u8,
        server: SocketAddr,
        subprotocols: &[&str],
    ) -> Self {
        let mut command = Command::new("node");
        command.arg(folder().join("ws.js")).arg(modules.join(library)).arg(version.to_string());
        Self::start(command.arg(url(server)).args(subprotocols))
    }

    /// PyPI's websockets, on the Python of `tests/install-websockets`.
    pub(crate) fn websockets(python: &Path, server: SocketAddr, subprotocols: &[&str]) -> Self {
        let mut command = Command::new(python);
        Self::start(command.arg(folder().join("websockets_client.py")).arg(url(server)).args(subprotocols))
    }

    /// PhantomJS, which opens the server's page: it tells `shows LINE` instead of `text TEXT`, and of no `open`. It can
    /// also be told to `press` the button of an ID.
    pub(crate) fn phantomjs(phantomjs: &Path, server: SocketAddr, name: &str) -> Self {
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/room.js"));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("phantomjs-{name}"));
        let mut file = File::create(&path).unwrap();
        let mut child = Command::new(phantomjs)
            .arg(script)
            .arg(format!("http://{server}/"))
            .arg(path)
            // PhantomJS crashes at startup if this is set.
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PhantomJS starts");
        let lines = lines(child.stdout.take().unwrap());
        Self::new(child, lines, move |line| writeln!(file, "{line}").unwrap())
    }

    /// One that reads lines on standard input and writes lines on standard output.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self::new(child, lines, move |line| writeln!(stdin, "{line}").unwrap())
    }

    pub(crate) fn new(
        child: Child,
        lines: Receiver<String>,
        tell: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        Self { child, tell: Box::new(tell), lines, told: Vec::new() }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        (self.tell)(line);
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        let next = self.next(line);
        assert_eq!(next, line, "after {:#?}", self.told);
    }

    /// The next line, of which only the beginning is known.
    #[track_caller]
    pub(crate) fn expect_start(&mut self, start: &str) {
        let next = self.next(start);
        assert!(next.starts_with(start), "{next:?} instead of {start:?} after {:#?}", self.told);
    }

    /// A line, whatever comes before it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, line: &str) {
        while self.next(line) != line {}
    }

    /// The same, of which only the beginning is known.
    #[track_caller]
    pub(crate) fn wait_for_start(&mut self, start: &str) -> String {
        loop {
            let line = self.next(start);
            if line.starts_with(start) {
                return line;
            }
        }
    }

    #[track_caller]
    fn next(&mut self, awaited: &str) -> String {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => {
                self.told.push(line.clone());
                line
            }
            Err(error) => panic!("{error}: no {awaited:?} among {:#?}", self.told),
        }
    }
}

impl Debug for ThirdParty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThirdParty")
            .field("child", &self.child)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl Drop for ThirdParty {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program writes, line by line.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        // Whoever no longer reads them is done with the client.
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients"))
}

fn url(server: SocketAddr) -> String {
    format!("ws://{server}/echo")
}
