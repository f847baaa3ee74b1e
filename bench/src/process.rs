//! A server in its own process.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::ValueEnum;

use crate::load::Protocol;

/// The server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Bare tokio TCP echo: the baseline.
    Tcp,
    /// The host with the engine in a component.
    Component,
    /// The host with the engine compiled in.
    Native,
    /// The host with engine and application in components.
    Application,
    /// The composed echo on the wasmtime command line.
    Wasmtime,
    /// The same for WASI 0.3.
    #[value(name = "wasmtime-0.3")]
    WasmtimeP3,
    /// An echo of bytes for WASI 0.3 on the wasmtime command line: the limit of the runtime's sockets.
    #[value(name = "bare-wasmtime-0.3")]
    BareWasmtimeP3,
    /// npm's websocket-driver, of tests/peers.
    WebsocketDriver,
    /// Netty's WebSocketServerHandshaker00, of tests/peers.
    Netty,
    /// tokio-tungstenite, which speaks RFC 6455 only.
    Tungstenite,
    /// npm's current ws, of tests/peers, which speaks RFC 6455 only.
    Ws,
    /// The gateway, in front of another server.
    #[value(skip)]
    Gateway,
    /// nginx, in front of another server.
    #[value(skip)]
    Nginx,
}

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Sends it back.
    Echo,
    /// Sends it to everyone.
    Broadcast,
    /// Works for a while and sends it back.
    Work,
    /// Ignores it, but sends 3.9 MB to each client that connects.
    Greeting,
    /// Sends it back, or to everyone if it begins with b; engine and application can be made to trap.
    Soak,
}

impl Kind {
    /// Our servers, and the baseline.
    pub(crate) const OURS: [Self; 3] = [Self::Tcp, Self::Component, Self::Native];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "bare TCP",
            Self::Component => "component",
            Self::Native => "native",
            Self::Application => "application",
            Self::Wasmtime => "wasmtime",
            Self::WasmtimeP3 => "wasmtime-0.3",
            Self::BareWasmtimeP3 => "bare wasmtime-0.3",
            Self::WebsocketDriver => "websocket-driver",
            Self::Netty => "Netty 00",
            Self::Tungstenite => "tokio-tungstenite",
            Self::Ws => "ws",
            Self::Gateway => "gateway",
            Self::Nginx => "nginx",
        }
    }

    /// The baseline, then those of `kinds` that are available here.
    pub(crate) fn available(kinds: &[Self]) -> Vec<Self> {
        let others = kinds.iter().copied().filter(|kind| *kind != Self::Tcp);
        let available = |kind: &Self| match kind.peer().map(|peer| run_peer(&["--install", peer]).status()) {
            None => true,
            Some(Ok(status)) if status.success() => true,
            Some(why) => {
                eprintln!("{} is skipped, it cannot be installed: {why:?}", kind.name());
                false
            }
        };
        [Self::Tcp].into_iter().chain(others).filter(available).collect()
    }

    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        match self {
            Self::Netty => protocol == Protocol::Draft76,
            Self::Tungstenite | Self::Ws | Self::Nginx => protocol == Protocol::Rfc6455,
            _ => true,
        }
    }

    /// Whether it returns the bytes as they are, without a handshake.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Tcp | Self::BareWasmtimeP3)
    }

    /// Whether it is a third-party server.
    pub(crate) fn is_peer(self) -> bool {
        self == Self::Tungstenite || self.peer().is_some()
    }

    /// Its name in tests/peers.
    fn peer(self) -> Option<&'static str> {
        match self {
            Self::Tcp
            | Self::Component
            | Self::Native
            | Self::Application
            | Self::Wasmtime
            | Self::WasmtimeP3
            | Self::BareWasmtimeP3
            | Self::Tungstenite
            | Self::Gateway
            | Self::Nginx => None,
            Self::WebsocketDriver => Some("websocket-driver"),
            Self::Netty => Some("netty"),
            Self::Ws => Some("ws-current"),
        }
    }
}

/// What a server did during a measurement, and what it cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) count: f64,
    pub(crate) elapsed: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
}

/// Measures a sample; started once its connections are open.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    server: &'a Process,
    start: Instant,
    cpu: Duration,
}

impl<'a> Clock<'a> {
    pub(crate) fn start(server: &'a Process) -> Result<Self, Box<dyn Error>> {
        Ok(Self { server, cpu: server.cpu()?, start: Instant::now() })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ends the sample, with `count` things done.
    pub(crate) fn stop(self, count: f64) -> Result<Sample, Box<dyn Error>> {
        Ok(Sample { count, elapsed: self.elapsed(), cpu: self.server.cpu()?.saturating_sub(self.cpu) })
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The process to measure.
    measured: u32,
    stdout: BufReader<ChildStdout>,
    pub(crate) kind: Kind,
    /// Whether it is the build that `--before` names.
    before: bool,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// `workers` applies to our servers only.
    pub(crate) fn start(kind: Kind, role: Role, workers: usize) -> Result<Self, Box<dyn Error>> {
        Self::start_of(None, kind, role, workers)
    }

    /// Starts it from another build of this benchmark, if one is given.
    fn start_of(
        before: Option<&Path>,
        kind: Kind,
        role: Role,
        workers: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let command = match kind.peer() {
            Some(_) if role != Role::Echo => return Err(format!("{} only echoes", kind.name()).into()),
            // Some log every client that disconnects.
            Some(peer) => {
                let mut command = run_peer(&[peer]);
                command.stderr(Stdio::null());
                command
            }
            None => {
                let mut command =
                    Command::new(before.map_or_else(env::current_exe, |program| Ok(program.into()))?);
                command.args(["serve", value(&kind)?.get_name(), value(&role)?.get_name()]);
                command.arg(workers.to_string());
                command
            }
        };
        Self::announced(command, kind, before.is_some())
    }

    /// Starts a gateway with one worker in front of a server.
    pub(crate) fn gateway(backend: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve-gateway", &backend.to_string()]);
        Self::announced(command, Kind::Gateway, false)
    }

    /// Starts a server that prints its address.
    fn announced(mut command: Command, kind: Kind, before: bool) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
        stdout.read_line(&mut line)?;
        let address = line
            .trim()
            .trim_start_matches("listening on ws://")
            .trim_end_matches("/echo")
            .trim_end_matches('/');
        let address = address.parse().map_err(|_| format!("{} said {line:?}", kind.name()))?;
        Ok(Self { measured: child.id(), child, stdout, kind, before, address })
    }

    /// Starts a server that takes its listening socket as standard input.
    pub(crate) fn inheriting(
        mut command: Command,
        kind: Kind,
        listener: TcpListener,
    ) -> Result<Self, Box<dyn Error>> {
        let address = listener.local_addr()?;
        let mut child = command.stdin(OwnedFd::from(listener)).stdout(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { measured: child.id(), child, stdout, kind, before: false, address })
    }

    /// Measures its child instead, which serves.
    pub(crate) fn measure_child(&mut self) -> Result<(), Box<dyn Error>> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        self.measured = children.split_whitespace().next().ok_or("no child")?.parse()?;
        Ok(())
    }

    /// Starts each server, followed by the same from the build `before`.
    pub(crate) fn start_all(
        kinds: &[Kind],
        before: Option<&Path>,
        role: Role,
        workers: usize,
    ) -> Result<Vec<Self>, Box<dyn Error>> {
        let mut all = Vec::new();
        for &kind in kinds {
            all.push(Self::start(kind, role, workers)?);
            if let Some(program) = before.filter(|_| kind != Kind::Tcp && !kind.is_peer()) {
                all.push(Self::start_of(Some(program), kind, role, workers)?);
            }
        }
        Ok(all)
    }

    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.kind.name(), if self.before { " before" } else { "" })
    }

    /// User and system time used so far.
    fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.measured))?;
        // After the name in parentheses: state is field 3, utime 14, stime 15, in hundredths of a second.
        let fields: Vec<_> = stat.rsplit(") ").next().ok_or("stat")?.split(' ').collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<u64, Box<dyn Error>> {
        self.status("VmRSS:")
    }

    /// Peak resident memory in bytes.
    pub(crate) fn peak(&self) -> Result<u64, Box<dyn Error>> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.measured))?;
        let line = status.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize, Box<dyn Error>> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.measured))?.count())
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> Result<(), Box<dyn Error>> {
        let status = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err("kill failed".into()) }
    }

    /// Tells it to stop: by SIGTERM, or on the wasmtime command line, which knows no signals, by the end of its input.
    pub(crate) fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        if matches!(self.kind, Kind::Wasmtime | Kind::WasmtimeP3) {
            self.child.stdin = None;
            return Ok(());
        }
        self.terminate()
    }

    /// Its output after the address, read until it exits.
    pub(crate) fn remaining_output(&mut self) -> Result<String, Box<dyn Error>> {
        let mut words = String::new();
        self.stdout.read_to_string(&mut words)?;
        Ok(words)
    }

    /// Its exit status, or None if it has not exited in time.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>, Box<dyn Error>> {
        let end = Instant::now() + within;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL would leave nginx's worker running.
        if self.kind != Kind::Nginx || self.terminate().is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn value(of: &impl ValueEnum) -> Result<clap::builder::PossibleValue, Box<dyn Error>> {
    of.to_possible_value().ok_or_else(|| "no name".into())
}

/// `tests/peers/run`, which becomes the peer.
fn run_peer(arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder: PathBuf = root.join("target/peers");
    let mut command = Command::new(root.join("tests/peers/run"));
    command.args(arguments).arg(folder);
    command
}
