//! Autobahn's fuzzing server as the gateway's backend, echoed by old clients.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::support::client::Client;
use super::support::hybi::{CLOSE, head_hybi, masked};
use super::support::server::{Server, program};
use super::support::{ANSWER, CLOSING, KEY3, frame, head76};
use super::{Verdict, Verdicts, read};

/// The groups of cases. 9 is the same in more bytes.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

/// How many cases that is.
const COUNT: usize = 247;

/// Cases that run at the same time: many only wait.
const AT_ONCE: usize = 8;

/// The cases in which the server sends a binary message, and wants one.
const NEED_BINARY: [&str; 8] = ["1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.5", "1.2.6", "1.2.7", "1.2.8"];

/// The cases in which the server breaks the protocol right after a message. Autobahn calls it not strict if the message
/// is not echoed: the gateway closes at once, and its client is no faster.
const BROKEN_BEFORE_THE_ECHO: [&str; 10] =
    ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"];

/// Cases on which Autobahn gives no verdict.
const WITHOUT_VERDICT: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

#[derive(Clone, Copy, Debug)]
enum Agent {
    /// Has only text.
    Draft76,
    /// Asks for subprotocol `base64`: what it is sent and sends is binary.
    Draft76Base64,
    Hybi8,
}

/// No case fails but those that need binary, for a client that has only text.
pub(super) fn old_clients_echo(wstest: &Path) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("autobahn-backend");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let backend = start_fuzzing_server(wstest, &folder);
    let to = format!("http://{}", backend.listening(1)[0]);
    let mut command = program();
    command.args(["gateway", "--listen", "127.0.0.1:0", "--to", &to]);
    let gateway = Server::start_command(command, 1);
    let address = gateway.address();
    Agent::Draft76.open(address, "/getCaseCount").expect(&frame(&COUNT.to_string()));
    let cases = |agent: Agent| (1..=COUNT).map(move |case| (agent, format!("case={case}")));
    let needing_binary = NEED_BINARY.map(|case| (Agent::Draft76Base64, format!("casetuple={case}")));
    let runs: Vec<_> = cases(Agent::Draft76).chain(cases(Agent::Hybi8)).chain(needing_binary).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((agent, case)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    agent.echo(address, &format!("/runCase?{case}&agent={agent:?}"));
                }
            });
        }
    });
    // It closes when they are written.
    Agent::Draft76.open(address, "/updateReports?agent=Draft76").read_to_end();
    gateway.stop();
    check(&read(&fs::read(folder.join("index.json")).unwrap()));
}

/// Its port is the system's choice.
fn start_fuzzing_server(wstest: &Path, folder: &Path) -> Server {
    let specification = folder.join("specification.json");
    let content = json!({
        "url": "ws://127.0.0.1:0",
        "outdir": folder,
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    fs::write(&specification, content.to_string()).unwrap();
    let log = fs::File::create(folder.join("wstest.log")).unwrap();
    let mut command = Command::new(wstest);
    command.args(["-m", "fuzzingserver", "--webport", "0", "--spec"]).arg(&specification);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Server::spawn(command, 0)
}

#[track_caller]
fn check(verdicts: &Verdicts) {
    let is_expected = |agent: &str, case: &str, verdict: &Verdict| {
        let Verdict { behavior, close } = verdict;
        if agent == "Draft76" && NEED_BINARY.contains(&case) {
            return behavior == "FAILED";
        }
        if WITHOUT_VERDICT.contains(&case) {
            return behavior == "INFORMATIONAL";
        }
        let is_lenient = behavior == "NON-STRICT" && BROKEN_BEFORE_THE_ECHO.contains(&case);
        (behavior == "OK" || is_lenient) && close == "OK"
    };
    let unexpected: Vec<_> = verdicts
        .iter()
        .map(|((agent, case), verdict)| (agent, case.to_string(), verdict))
        .filter(|(agent, case, verdict)| !is_expected(agent, case, verdict))
        .map(|(agent, case, verdict)| format!("{agent} {case}: {verdict:?}"))
        .collect();
    assert!(unexpected.is_empty(), "target/tmp/autobahn-backend has the report:\n{}", unexpected.join("\n"));
    assert_eq!(verdicts.len(), 2 * COUNT + NEED_BINARY.len());
}

impl Agent {
    /// Performs the opening handshake.
    #[track_caller]
    fn open(self, address: SocketAddr, path: &str) -> Client {
        let mut client = Client::connect(address);
        let head = match self {
            Self::Draft76 => head76(""),
            Self::Draft76Base64 => head76("Sec-WebSocket-Protocol: base64\r\n"),
            Self::Hybi8 => head_hybi(8, ""),
        };
        let head = String::from_utf8(head).unwrap().replacen("/demo", path, 1);
        client.send(head.as_bytes());
        if !matches!(self, Self::Hybi8) {
            client.send(KEY3);
        }
        let answer = client.read_until(b"\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        if !matches!(self, Self::Hybi8) {
            client.expect(ANSWER);
        }
        client
    }

    /// Echoes all messages of a connection until it ends.
    #[track_caller]
    fn echo(self, address: SocketAddr, path: &str) {
        let mut client = self.open(address, path);
        while !client.is_at_end() {
            let (echo, ends) = match self {
                Self::Draft76 | Self::Draft76Base64 => {
                    let frame = client.read_until(b"\xff");
                    let closing = frame == CLOSING[..1];
                    (if closing { [frame, client.read_exact(1)].concat() } else { frame }, closing)
                }
                Self::Hybi8 => {
                    let frame = client.read_frame();
                    (masked(frame.first, &frame.payload), frame.first == CLOSE)
                }
            };
            client.send(&echo);
            if ends {
                client.finish();
                break;
            }
        }
        client.read_until_gone();
    }
}
