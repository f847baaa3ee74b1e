//! The Autobahn test suite judges the server: RFC 6455, and hybi-10, which its client also speaks.
//!
//! `AUTOBAHN_INDEX=docs/autobahn.md` writes the results there; without it they are compared with that file.

mod support;

#[path = "autobahn/exceptions.rs"]
mod exceptions;
#[path = "autobahn/fuzzing_server.rs"]
mod fuzzing_server;
#[path = "autobahn/index.rs"]
mod index;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use exceptions::EXCEPTIONS;
use legacy_websocket_artifacts::ECHO;
use serde_json::{Value, json};
use support::hosts::{self, Composed};
use support::optional::{install, trial};
use support::server::{Server, program};

/// The groups of cases that are run. 12 and 13 are compression, which the server does not have. There is no 8 and no
/// 11.
const CASES: [&str; 9] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"];

/// The protocols that Autobahn speaks as a client, and how many of those cases it has for each.
const PROTOCOLS: [Protocol; 2] = [
    Protocol { name: "rfc6455", draft: 18, excluded: &[], cases: 301 },
    // The cases of group 9 are about large messages, which the other run has.
    Protocol { name: "hybi8", draft: 10, excluded: &["9.*"], cases: 247 },
];

/// The longest message of Autobahn's cases, 9.1.6.
const MAX_MESSAGE_BYTES: &str = "16777216";

/// The server by the names of its engines, and the composed server by its host's.
const SERVERS: [&str; 4] = ["component", "native", "wasmtime", "wasmtime-0.3"];

struct Protocol {
    /// As `--protocol` names it.
    name: &'static str,
    /// As Autobahn numbers the drafts; 18 is the RFC.
    draft: u32,
    excluded: &'static [&'static str],
    cases: usize,
}

/// What Autobahn says of a case: of the frames, and of how the connection was closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Verdict {
    behavior: String,
    close: String,
}

/// The verdicts of one server, by protocol and case.
type Verdicts = BTreeMap<(String, Case), Verdict>;

/// A case's number, in parts for the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case(Vec<u32>);

fn main() -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Many cases wait and do nothing else.
    arguments.test_threads.get_or_insert(SERVERS.len());
    let wstest = install("install-autobahn");
    let composed = hosts::wasmtime().and_then(|wasmtime| {
        let composed = Composed::new("autobahn", ECHO);
        hosts::register("wasmtime", hosts::wasmtime_command(&wasmtime, &composed)?);
        hosts::register("wasmtime-0.3", hosts::wasmtime_p3_command(&wasmtime, &composed)?);
        Ok(wasmtime)
    });
    let results = Arc::new(Mutex::new(BTreeMap::new()));
    let mut trials: Vec<_> = SERVERS
        .map(|server| {
            let needs = if server.starts_with("wasmtime") {
                composed.clone().and(wstest.clone())
            } else {
                wstest.clone()
            };
            let results = Arc::clone(&results);
            trial(&format!("{server}_passes_the_autobahn_test_suite"), &needs, move |wstest| {
                let echo = Server::start(&["--engine", server, "--max-message-bytes", MAX_MESSAGE_BYTES]);
                let verdicts = run(wstest, server, echo, &PROTOCOLS);
                check(&verdicts, &PROTOCOLS);
                results.lock().unwrap().insert(server, verdicts);
            })
        })
        .into();
    trials.push(trial("a_gateway_changes_nothing_for_rfc6455", &wstest, |wstest| {
        let echo = Server::start(&["--engine", "native", "--max-message-bytes", MAX_MESSAGE_BYTES]);
        let mut command = program();
        let to = format!("http://{}", echo.address());
        command.args(["gateway", "--listen", "127.0.0.1:0", "--to", &to]);
        let gateway = Server::start_command(command, 1);
        // Its other clients are connected by the gateway itself, not through a tunnel.
        let rfc6455 = &PROTOCOLS[..1];
        check(&run(wstest, "gateway", gateway, rfc6455), rfc6455);
    }));
    trials.push(trial("old_clients_echo_through_a_gateway", &wstest, fuzzing_server::old_clients_echo));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let results = results.lock().unwrap();
    if results.len() == SERVERS.len()
        && let Err(why) = index::keep(&results, &versions(&wstest, &composed))
    {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Runs the suite against an echo.
fn run(wstest: &Path, name: &str, server: Server, protocols: &[Protocol]) -> Verdicts {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("autobahn-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let specification = folder.join("specification.json");
    let url = format!("ws://{}/", server.address());
    fs::write(&specification, specify(&folder, &url, protocols).to_string()).unwrap();
    let output =
        Command::new(wstest).args(["-m", "fuzzingclient", "-s"]).arg(specification).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    server.stop();
    read(&fs::read(folder.join("index.json")).unwrap())
}

/// Autobahn's "agents" are the servers of its report: here the same one for each protocol.
fn specify(folder: &Path, url: &str, protocols: &[Protocol]) -> Value {
    let server = |Protocol { name, draft, .. }: &Protocol| json!({ "agent": name, "url": url, "options": { "version": draft } });
    let excluded = protocols.iter().map(|protocol| (protocol.name, protocol.excluded));
    json!({
        "outdir": folder,
        "servers": protocols.iter().map(server).collect::<Vec<_>>(),
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": excluded.collect::<BTreeMap<_, _>>(),
    })
}

fn read(index: &[u8]) -> Verdicts {
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_slice(index).unwrap();
    let mut verdicts = Verdicts::new();
    for (protocol, cases) in index {
        for (case, result) in cases {
            let part = |name: &str| result[name].as_str().unwrap().to_owned();
            let verdict = Verdict { behavior: part("behavior"), close: part("behaviorClose") };
            verdicts.insert((protocol.clone(), Case::parse(&case)), verdict);
        }
    }
    verdicts
}

/// Every case was run, and is OK unless it is one of [`EXCEPTIONS`], which all are what they are said to be.
#[track_caller]
fn check(verdicts: &Verdicts, protocols: &[Protocol]) {
    for Protocol { name, cases, .. } in protocols {
        let run = verdicts.keys().filter(|(protocol, _)| protocol == name).count();
        assert_eq!(run, *cases, "cases of {name}");
    }
    let mut expected = verdicts.clone();
    expected.values_mut().for_each(|verdict| *verdict = Verdict::ok());
    let is_run = |key: &(String, Case)| protocols.iter().any(|protocol| protocol.name == key.0);
    let exceptions = EXCEPTIONS.iter().map(|exception| (exception.key(), exception.verdict()));
    expected.extend(exceptions.filter(|(key, _)| is_run(key)));
    let differences: Vec<_> =
        verdicts.iter().filter(|(case, verdict)| expected.get(case) != Some(verdict)).collect();
    assert_eq!(differences, [], "target/tmp/autobahn-* has Autobahn's report");
    assert_eq!(verdicts.len(), expected.len(), "an exception is no case");
}

/// What was run, for the index.
fn versions(wstest: &Result<PathBuf, String>, wasmtime: &Result<PathBuf, String>) -> Vec<String> {
    let python = wstest.as_ref().map(|wstest| wstest.with_file_name("python")).map_err(Clone::clone);
    [(wstest, "--autobahnversion"), (&python, "--version"), (wasmtime, "--version")]
        .into_iter()
        .flat_map(|(program, option)| {
            let output = Command::new(program.as_ref().unwrap()).arg(option).output().unwrap();
            let lines = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            lines.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

impl Verdict {
    fn ok() -> Self {
        Self { behavior: "OK".into(), close: "OK".into() }
    }
}

impl Case {
    fn parse(number: &str) -> Self {
        Self(number.split('.').map(|part| part.parse().unwrap()).collect())
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("."))
    }
}
