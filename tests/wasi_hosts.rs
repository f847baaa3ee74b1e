//! The end-to-end checks on a composed server, run by third-party WASI hosts.

mod support;

#[path = "end_to_end/frames.rs"]
mod frames;
#[path = "end_to_end/handshakes.rs"]
mod handshakes;
#[path = "end_to_end/later_protocols.rs"]
mod later_protocols;
#[path = "end_to_end/limits.rs"]
mod limits;
#[path = "end_to_end/policy.rs"]
mod policy;
#[path = "wasi_hosts/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use legacy_websocket_artifacts::ECHO;
use support::browser::chat_with_draft75;
use support::chat::talk;
use support::client::Client;
use support::hosts::Composed;
use support::optional::{install, trial};
use support::server::{Server, program, run};
use support::{CLOSING, Test, frame, hosts};
use test_components::CHAT;

const HOSTS: [Host; 5] = [
    Host { name: "wasmtime", install: hosts::wasmtime, command: hosts::wasmtime_command },
    Host { name: "wasmtime-0.3", install: hosts::wasmtime, command: hosts::wasmtime_p3_command },
    Host { name: "jco", install: jco, command: jco_command },
    Host { name: "embedded", install: embedded, command: embedded_command },
    Host { name: "embedded-0.3", install: embedded, command: embedded_p3_command },
];

const TESTS: &[Test] = &[
    ("a_thousand_connections_are_served_at_once", a_thousand_connections_are_served_at_once),
    ("a_slow_reader_is_closed_and_no_other_client", a_slow_reader_is_closed_and_no_other_client),
    ("total_pending_output_is_limited", total_pending_output_is_limited),
    ("a_peer_that_floods_an_echo_slows_itself_down", a_peer_that_floods_an_echo_slows_itself_down),
    ("clients_of_both_drafts_share_a_chat", clients_of_both_drafts_share_a_chat),
    ("it_stops_cleanly_when_standard_input_ends", it_stops_cleanly_when_standard_input_ends),
    ("invalid_options_are_reported_on_standard_error", invalid_options_are_reported_on_standard_error),
    ("its_defaults_match_the_native_program", its_defaults_match_the_native_program),
];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let lists = [
        ("handshakes", handshakes::TESTS),
        ("frames", frames::TESTS),
        ("later_protocols", later_protocols::TESTS),
        ("limits", limits::TESTS),
        ("policy", policy::TESTS),
        ("hosts", TESTS),
    ];
    let (echo, chat) = (Composed::new("echo", ECHO), Composed::new("chat", CHAT));
    let phantomjs = install("install-phantomjs");
    let mut trials = Vec::new();
    for Host { name, install, command } in HOSTS {
        let program = install().and_then(|program| {
            hosts::register(name, command(&program, &echo)?);
            hosts::register(&chatting(name), command(&program, &chat)?);
            Ok(program)
        });
        let both = program.clone().and(phantomjs.clone());
        trials.push(trial(&format!("{name}::browser::a_chat"), &both, |phantomjs| {
            chat_with_draft75(phantomjs, &Server::start(&["--engine", &chatting(name)]));
        }));
        for (list, tests) in lists {
            for (test, run) in tests {
                trials.push(trial(&format!("{name}::{list}::{test}"), &program, |_| run(name)));
            }
        }
    }
    trials.push(trial("wasmtime::missing_network_access_is_explained", &hosts::wasmtime(), |wasmtime| {
        let composed = Composed::new("no-network", ECHO);
        for server in [composed.server, composed.server_p3] {
            let output = Command::new(wasmtime).arg("run").arg(server).output().unwrap();
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{log}");
            assert!(
                log.contains("access-denied") && log.contains("wasmtime needs -S inherit-network"),
                "{log}"
            );
        }
    }));
    let with_site = site::install();
    for (name, run) in site::TESTS {
        trials.push(trial(&format!("wasmtime-0.3::site::{name}"), &with_site, |_| run(site::HOST)));
    }
    for host in ["embedded", "embedded-0.3"] {
        let name = format!("{host}::hosts::a_cancelled_server_ends_at_once");
        trials.push(trial(&name, &embedded(), |_| a_cancelled_server_ends_at_once(host)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A WASI host.
struct Host {
    name: &'static str,
    /// Its program, or why it is unavailable here.
    install: fn() -> Result<PathBuf, String>,
    /// The command that runs a composed server.
    command: fn(&Path, &Composed) -> Result<Vec<OsString>, String>,
}

/// The name of this host running the chat instead of the echo.
fn chatting(host: &str) -> String {
    format!("{host}, chatting")
}

fn jco() -> Result<PathBuf, String> {
    install("install-jco")
}

/// What `jco run` generates and runs, generated once.
fn jco_command(jco: &Path, composed: &Composed) -> Result<Vec<OsString>, String> {
    let folder = composed.server.with_extension("jco");
    let _ = fs::remove_dir_all(&folder);
    let made = Command::new(jco)
        .args(["run".as_ref(), "--jco-dir".as_ref(), folder.as_os_str(), composed.server.as_os_str()])
        .arg("--help")
        .output()
        .map_err(|error| error.to_string())?;
    if !made.status.success() {
        return Err(format!("jco: {}", String::from_utf8_lossy(&made.stderr)));
    }
    Ok(vec!["node".into(), folder.join("_run.js").into()])
}

/// The example, which is next to the program once both are built.
fn embedded() -> Result<PathBuf, String> {
    let example = Path::new(program().get_program()).with_file_name("wasi-host");
    let there = example.exists();
    there.then_some(example).ok_or_else(|| "cargo build --release -p wasi-host has not been run".into())
}

fn embedded_command(example: &Path, composed: &Composed) -> Result<Vec<OsString>, String> {
    Ok(vec![example.into(), composed.application.clone().into()])
}

/// The same with a server that was composed before.
fn embedded_p3_command(example: &Path, composed: &Composed) -> Result<Vec<OsString>, String> {
    Ok(vec![example.into(), composed.server_p3.clone().into()])
}

/// Cancelled, it ends at once: no closing handshake, and its clients' connections are closed.
fn a_cancelled_server_ends_at_once(host: &str) {
    let server = Server::start(&["--engine", host]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    client75.echo("in");
    server.signal("INT");
    assert_eq!(client75.read_until_gone(), b"");
    assert_eq!(client76.read_until_gone(), b"");
    let (status, log) = server.wait();
    assert!(status.code() == Some(1) && !log.contains("stopped"), "{status}\n{log}");
}

fn a_thousand_connections_are_served_at_once(host: &str) {
    let server = Server::start(&["--engine", host]);
    let open = |number| if number % 2 == 0 { server.open75() } else { server.open76() };
    let mut clients: Vec<Client> = (0..1000).map(open).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&frame(&format!("message {number}")));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect(&frame(&format!("message {number}")));
    }
    clients.truncate(1);
    clients[0].echo("still connected");
    drop(clients);
    let stopped = server.stop();
    assert!(stopped.contains("connections=1000 connected=1000"), "{stopped}");
}

fn a_slow_reader_is_closed_and_no_other_client(host: &str) {
    let server = Server::start(&["--engine", host, "--max-queue-bytes", "65536", "--write-timeout", "1s"]);
    let mut innocent = server.open76();
    let mut slow = server.open75();
    assert!(slow.flood(&frame(&"a".repeat(1000)), usize::MAX));
    innocent.echo("not held up");
    server.wait_for_log(&["closed", &slow.address().to_string(), "slow-reader"]);
    innocent.echo("still not held up");
    innocent.close76();
    drop((slow, innocent));
    let stopped = server.stop();
    assert!(stopped.contains("slow_readers=1"), "{stopped}");
}

fn total_pending_output_is_limited(host: &str) {
    let limit = "2000000";
    let server =
        Server::start(&["--engine", host, "--max-total-queue-bytes", limit, "--max-queue-bytes", "1000000"]);
    let mut innocent = server.open76();
    let mut hogs: Vec<_> = (0..8).map(|_| server.open75().into_stream()).collect();
    hogs.iter().for_each(|hog| hog.set_nonblocking(true).unwrap());
    let message = frame(&"a".repeat(16_000));
    while hogs.len() == 8 {
        hogs.retain_mut(|hog| match hog.write(&message) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        innocent.echo("not held up");
    }
    server.wait_for_log(&["too much output waits", limit]);
    server.wait_for_log(&["closed", "slow-reader"]);
    drop(hogs);
    innocent.close76();
    server.stop();
}

/// The server stops reading from a peer that does not read, so the peer gets everything once it does.
fn a_peer_that_floods_an_echo_slows_itself_down(host: &str) {
    const MESSAGES: usize = 20_000;
    let server = Server::start(&["--engine", host, "--max-queue-bytes", "65536"]);
    let mut client = server.open76();
    let message = frame(&"a".repeat(1000));
    let mut reader = client.reader();
    let writer = thread::spawn(move || {
        for _ in 0..MESSAGES {
            client.send(&message);
        }
        client
    });
    for _ in 0..MESSAGES {
        reader.expect(&frame(&"a".repeat(1000)));
    }
    writer.join().unwrap();
    drop(reader);
    let stopped = server.stop();
    assert!(stopped.contains("slow_readers=0"), "{stopped}");
}

fn clients_of_both_drafts_share_a_chat(host: &str) {
    let server = Server::start(&["--engine", &chatting(host)]);
    talk(&server);
    server.stop();
}

fn invalid_options_are_reported_on_standard_error(host: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (options, reason) in [
        (&["--listen", &address][..], "address-in-use"),
        (&["--public-url", "http://example.com"], "ws://"),
        (&["--origin", "example.com"], "http://example.com"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--unheard-of"], "--unheard-of"),
    ] {
        let (mut command, _) = hosts::command(&["--engine", host]).unwrap();
        let output = command.args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("ERROR") && log.contains(reason), "{options:?}: {log}");
    }
}

fn it_stops_cleanly_when_standard_input_ends(host: &str) {
    let server = Server::start(&["--engine", host]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    client75.echo("in");
    let stopped = thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        client75.expect_end();
        client76.expect(CLOSING);
        client76.send(CLOSING);
        client76.expect_end();
        drop((client75, client76));
        stopping.join().unwrap()
    });
    assert!(stopped.contains("connections=2 connected=2"), "{stopped}");
}

fn its_defaults_match_the_native_program(host: &str) {
    let (mut command, _) = hosts::command(&["--engine", host]).unwrap();
    let (theirs, ours) = (command.arg("--help").output().unwrap(), run(&["serve", "--help"]));
    let (theirs, ours) = (defaults(&theirs.stdout), defaults(&ours.stdout));
    assert!(theirs.len() > 10, "{theirs:?}");
    for (option, default) in theirs {
        assert_eq!(Some(&default), ours.get(&option), "{option}");
    }
}

/// The default of each option for which a help text shows one.
fn defaults(help: &[u8]) -> BTreeMap<String, String> {
    const TEXT_INDENT: usize = 10;
    let mut texts: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(help).lines() {
        let text = line.trim_start();
        if text.starts_with("--") && line.len() - text.len() < TEXT_INDENT {
            let option = text.split(' ').next().unwrap_or_default();
            texts.push((option.into(), text.into()));
        } else if let Some((_, all)) = texts.last_mut() {
            *all += &format!(" {text}");
        }
    }
    let default = |(option, text): (String, String)| {
        let (_, default) = text.split_once("[default: ")?;
        Some((option, default.split(']').next()?.into()))
    };
    texts.into_iter().filter_map(default).collect()
}
