//! Starts the program as a user does, and observes it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rlimit::{Resource, prlimit};

use super::DEADLINE;
use super::client::Client;
use super::hosts;

/// A command for the program, without arguments.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_legacy-websocket"));
    program.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// Runs the program until it exits.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program runs")
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    addresses: Vec<SocketAddr>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server on a port that the system chooses. `--engine` may also name a WASI host that runs a composed
    /// server.
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

    /// Starts it with just these options, which make it listen on `count` addresses.
    #[track_caller]
    pub(crate) fn start_announcing(count: usize, options: &[&str]) -> Self {
        let mut command = program();
        command.arg("serve").args(options);
        Self::start_command(command, count)
    }

    /// Starts it with the test's own command.
    #[track_caller]
    pub(crate) fn start_command(mut command: Command, count: usize) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command, count)
    }

    /// Starts it with standard output and standard error as set by the test; they are read only if they are
    /// [`Stdio::piped`].
    #[track_caller]
    pub(crate) fn spawn(mut command: Command, count: usize) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Log::default());
        let reader = child.stderr.take().map(|stderr| {
            let theirs = Arc::clone(&log);
            thread::spawn(move || theirs.fill(BufReader::new(stderr)))
        });
        let mut stdout = child.stdout.take().map(BufReader::new);
        let addresses = match &mut stdout {
            Some(stdout) => (0..count).filter_map(|_| announced(stdout, &log)).collect(),
            None => Vec::new(),
        };
        Self { child, stdout, addresses, log, reader }
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

    /// Waits for a log line that contains all `parts`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, parts: &[&str]) -> String {
        self.wait_for_logs(parts, 1).remove(0)
    }

    /// Waits for `count` such lines.
    #[track_caller]
    pub(crate) fn wait_for_logs(&self, parts: &[&str], count: usize) -> Vec<String> {
        match self.log.wait(parts, count) {
            Ok(lines) => lines,
            Err(log) => panic!("the log lacks {count} lines with {parts:?}:\n{log}"),
        }
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Sets a resource limit of the process; None raises it to the hard limit.
    pub(crate) fn limit(&self, resource: Resource, limit: Option<u64>) {
        let process = self.child.id().try_into().unwrap();
        let (mut soft, mut hard) = (0, 0);
        prlimit(process, resource, None, Some((&mut soft, &mut hard))).unwrap();
        prlimit(process, resource, Some((limit.unwrap_or(hard), hard)), None).unwrap();
    }

    /// Sends a signal, by name (such as TERM).
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for it to exit; returns its status and whole log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut more = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut more).unwrap();
        }
        assert_eq!(more, "", "standard output contains more than the addresses");
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.log.text())
    }

    /// Waits until, according to the kernel, it listens on `count` IPv4 addresses, and returns them.
    #[track_caller]
    pub(crate) fn listening(&self, count: usize) -> Vec<SocketAddr> {
        let end = Instant::now() + DEADLINE;
        loop {
            let addresses = listening(self.child.id());
            if addresses.len() >= count {
                return addresses;
            }
            assert!(Instant::now() < end, "the server listens only on {addresses:?}");
            thread::yield_now();
        }
    }

    /// Waits for it to exit, at most [`DEADLINE`].
    #[track_caller]
    pub(crate) fn wait_in_time(mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not exit");
            thread::yield_now();
        }
    }

    /// Stops it by SIGTERM, or by closing its standard input if it has one; returns the summary line of the log.
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

    /// Number of open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Leaves the process room for so many descriptors more, once it has nothing to do: what is open for a moment
    /// counts.
    pub(crate) fn leave_descriptors(&self, count: usize) {
        let end = Instant::now() + DEADLINE;
        // Two threads may have woken each other between the looks at them.
        while !(self.is_asleep() && self.is_asleep()) {
            assert!(Instant::now() < end, "the server is busy, or has exited");
            thread::yield_now();
        }
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let used: BTreeSet<u64> =
            entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
        let limit = (0..).filter(|descriptor| !used.contains(descriptor)).nth(count);
        self.limit(Resource::NOFILE, limit);
    }

    /// Whether all threads of the process wait for something.
    fn is_asleep(&self) -> bool {
        let mut threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.all(|thread| {
            // A thread may end meanwhile.
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        })
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
        // The server may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The IPv4 addresses on which a process listens.
fn listening(process: u32) -> Vec<SocketAddr> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    let theirs: BTreeSet<_> =
        targets.filter_map(|target| target.into_os_string().into_string().ok()).collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let listening = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.split_once(':')?;
        let inode = format!("socket:[{}]", columns.get(9)?);
        // 0A is TCP_LISTEN; addresses are in native byte order.
        (*columns.get(3)? == "0A" && theirs.contains(&inode)).then(|| {
            let address = u32::from_str_radix(address, 16).unwrap().to_ne_bytes();
            (address, u16::from_str_radix(port, 16).unwrap()).into()
        })
    });
    listening.collect()
}

/// The address of a `listening on` line, which must match the documented format; None for a Unix socket.
#[track_caller]
fn announced(stdout: &mut impl BufRead, log: &Log) -> Option<SocketAddr> {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if line.starts_with("listening on unix:/") {
        return None;
    }
    let url = line.strip_prefix("listening on ").and_then(|rest| rest.strip_suffix("/\n"));
    let address = url.and_then(|url| url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://")));
    let Some(address) = address else { panic!("announced {line:?}, log:\n{}", log.text()) };
    Some(address.parse().unwrap())
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
