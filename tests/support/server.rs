//! The program as a user runs it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::DEADLINE;
use super::client::Client;
use super::hosts;

/// The program, to be given its arguments.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_legacy-websocket"));
    program.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program runs")
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addresses: Vec<SocketAddr>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it on a port that the system chooses. `--engine` may name a WASI host that runs a composed server, in
    /// place of the program.
    #[track_caller]
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_on(&["127.0.0.1:0"], options)
    }

    #[track_caller]
    pub(crate) fn start_on(listen: &[&str], options: &[&str]) -> Self {
        let listen_options: Vec<_> = listen.iter().flat_map(|address| ["--listen", address]).collect();
        if let Some((mut command, options)) = hosts::command(options) {
            command.args(listen_options).args(options);
            return Self::start_command(command, listen.len());
        }
        let secure = options.iter().filter(|option| **option == "--tls-listen").count();
        Self::start_announcing(listen.len() + secure, &[&listen_options, options].concat())
    }

    /// Starts it with just these options, which make it listen on so many addresses.
    #[track_caller]
    pub(crate) fn start_announcing(count: usize, options: &[&str]) -> Self {
        let mut command = program();
        command.arg("serve").args(options);
        Self::start_command(command, count)
    }

    /// Starts it in a way of the test's own.
    #[track_caller]
    pub(crate) fn start_command(mut command: Command, count: usize) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let log = Arc::new(Log::default());
        let (stderr, theirs) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = thread::spawn(move || theirs.fill(BufReader::new(stderr)));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let addresses = (0..count).map(|_| announced(&mut stdout, &log)).collect();
        Self { child, stdout, addresses, log, reader: Some(reader) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub(crate) fn open75(&self) -> Client {
        Client::open75(self.address())
    }

    pub(crate) fn open76(&self) -> Client {
        Client::open76(self.address())
    }

    /// Waits for a line of the log that holds all `parts`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, parts: &[&str]) -> String {
        self.wait_for_logs(parts, 1).remove(0)
    }

    /// Waits for that many such lines.
    #[track_caller]
    pub(crate) fn wait_for_logs(&self, parts: &[&str], count: usize) -> Vec<String> {
        match self.log.wait(parts, count) {
            Ok(lines) => lines,
            Err(log) => panic!("the log has not {count} times {parts:?}:\n{log}"),
        }
    }

    /// All of the log so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Sends a signal by its name, as TERM.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end: how it ended, and its whole log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut more = String::new();
        self.stdout.read_to_string(&mut more).unwrap();
        assert_eq!(more, "", "standard output is for the addresses");
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.log.text())
    }

    /// SIGTERM, or the end of standard input if it has one; then a regular end: the line of the log that sums up.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        match self.child.stdin.take() {
            Some(stdin) => drop(stdin),
            None => self.signal("TERM"),
        }
        let (status, log) = self.wait();
        assert!(status.success(), "{status}\n{log}");
        log.lines().find(|line| line.contains(" stopped ")).unwrap_or_else(|| panic!("{log}")).into()
    }

    /// Resident memory of the process.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of one `listening on` line, which has to be exactly as documented.
#[track_caller]
fn announced(stdout: &mut impl BufRead, log: &Log) -> SocketAddr {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let url = line.strip_prefix("listening on ").and_then(|rest| rest.strip_suffix("/\n"));
    let address = url.and_then(|url| url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://")));
    let Some(address) = address else { panic!("announced {line:?}, log:\n{}", log.text()) };
    address.parse().unwrap()
}

/// What the program has written to standard error.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn fill(&self, stderr: impl BufRead) {
        for line in stderr.lines() {
            self.lines.lock().unwrap().push(line.unwrap());
            self.more.notify_all();
        }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    fn wait(&self, parts: &[&str], count: usize) -> Result<Vec<String>, String> {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            let fits = |line: &&String| parts.iter().all(|part| line.contains(part));
            let found: Vec<_> = lines.iter().filter(fits).cloned().collect();
            if found.len() >= count {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lines.join("\n"));
            }
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}
