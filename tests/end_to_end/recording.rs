//! Recordings of connections.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use legacy_websocket_trace::{Protocol, Step, Trace, Variables};
use rlimit::Resource;

use crate::support::client::Client;
use crate::support::server::{Server, run};
use crate::support::{ANSWER, CLOSING, KEY3, answer76, frame, head75, head76, on_both_engines};

on_both_engines!(
    a_connection_is_recorded_and_can_be_replayed,
    frames_are_recorded_readably_and_replayed_to_the_byte,
    a_long_connection_is_truncated_only_in_its_recording,
    serving_continues_when_the_recording_limit_is_reached,
    a_killed_server_leaves_traces,
    recording_resumes_once_descriptors_are_available,
    a_full_disk_truncates_no_line_and_closes_nothing,
    control_characters_do_not_break_a_trace,
);

fn a_connection_is_recorded_and_can_be_replayed(engine: &str) {
    let (folder, server) = start(engine, "replay", &["--skip-reserved-frames", "--idle-timeout", "90s"]);
    let mut client = server.connect();
    client.send(&[&head76("User-Agent: Old/1.0 (very)\r\nCookie: a=b\r\n"), KEY3].concat());
    client.expect(&answer76("ws://example.com/demo", ""));
    client.expect(ANSWER);
    client.echo("h\u{e9}llo");
    client.close76();
    let mut client = server.connect();
    client.send(&head75(""));
    client.read_until(b"\r\n\r\n");
    client.echo("\"quoted\" $ \\");
    client.finish();
    client.expect_end();
    server.connect().refused(b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404");
    server.stop();

    let traces = traces(&folder);
    let protocols: Vec<_> = traces.iter().map(|trace| trace.protocol).collect();
    assert_eq!(protocols, [Protocol::Draft76, Protocol::Draft75, Protocol::None]);
    let first = &traces[0];
    assert_eq!(first.title, "GET /demo HTTP/1.1");
    assert_eq!(first.client.as_deref(), Some("Old/1.0 (very)"));
    assert_eq!(first.notes[0], "complete");
    assert!(first.notes[1].starts_with("peer 127.0.0.1:"), "{first}");
    assert!(first.source.as_ref().unwrap().starts_with("recorded by legacy-websocket "), "{first}");
    let settings: Vec<_> = first.settings.iter().map(ToString::to_string).collect();
    assert_eq!(settings, ["skip-reserved-frames", "idle-timeout 90s"]);
    assert!(sent(first).starts_with(&head76("User-Agent: Old/1.0 (very)\r\nCookie: a=b\r\n")));

    let server = Server::start(&["--engine", engine]);
    for trace in &traces {
        replay(trace, server.connect());
    }
}

fn frames_are_recorded_readably_and_replayed_to_the_byte(engine: &str) {
    let (folder, server) = start(engine, "frames", &[]);
    let mut client = server.connect();
    client.send(
        b"GET /demo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    client.read_until(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    client.send(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    client.expect(b"\x81\x05Hello");
    client.send(b"\x89\x81\0\0\0\0p\x82\x81\0\0");
    client.expect(b"\x8a\x01p");
    client.send(b"\0\0\xff\x88\x82\0\0\0\0\x03\xe8");
    client.expect(b"\x82\x01\xff\x88\x02\x03\xe8");
    client.expect_end();
    server.stop();

    let (text, trace) = (texts(&folder).remove(0), traces(&folder).remove(0));
    for line in [
        "protocol: rfc6455",
        "C frame text mask=37fa213d \"Hello\"",
        "S frame text \"Hello\"",
        // What was split between two reads is not lost.
        "C frame ping mask=00000000 \"p\"\n& \"\\x82\\x81\\x00\\x00\"",
        "S frame pong \"p\"",
        "C \"\\x00\\x00\\xff\"\n& frame close mask=00000000 1000",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
    }
    replay(&trace, Server::start(&["--engine", engine]).connect());
}

fn a_long_connection_is_truncated_only_in_its_recording(engine: &str) {
    let (folder, server) = start(engine, "cut", &["--record-max-connection-bytes", "3000"]);
    let mut client = server.open76();
    for _ in 0..100 {
        client.echo(&"x".repeat(100));
    }
    client.close76();
    server.stop();
    let traces = traces(&folder);
    assert_eq!(traces[0].notes[0], "incomplete: a comment says where something is missing");
    assert!(sent(&traces[0]).len() < 3000);
    let texts = texts(&folder);
    assert!(
        texts[0].ends_with("\n# the rest is missing: --record-max-connection-bytes is reached\n"),
        "{texts:?}"
    );
}

fn serving_continues_when_the_recording_limit_is_reached(engine: &str) {
    let (folder, server) = start(engine, "full", &["--record-max-bytes", "6000"]);
    let mut first = server.open76();
    first.echo("recorded");
    first.close76();
    let mut second = server.open76();
    second.echo("not recorded");
    server.wait_for_log(&["nothing more is recorded: --record-max-bytes is reached"]);
    second.echo("nor this");
    second.close76();
    server.stop();
    assert_eq!(traces(&folder).len(), 1);
}

fn a_killed_server_leaves_traces(engine: &str) {
    let (folder, server) = start(engine, "killed", &[]);
    let mut client = server.open76();
    client.echo("hello");
    wait_for_text(&folder, "S \"\\x00hello\\xff\"\n");
    drop(server);
    let traces = traces(&folder);
    assert_eq!(traces[0].notes[0], "incomplete: the recording ended before the connection did");
    assert!(sent(&traces[0]).ends_with(&frame("hello")));
}

fn recording_resumes_once_descriptors_are_available(engine: &str) {
    let (folder, server) = start(engine, "descriptors", &[]);
    let (mut first, mut second) = (server.open76(), server.open76());
    first.echo("before");
    wait_for_text(&folder, "before");
    server.limit(Resource::NOFILE, Some(0));
    first.echo("meanwhile");
    server.wait_for_log(&["ERROR", "recordings cannot be written", "Too many open files"]);
    first.close76();
    second.echo("meanwhile");
    server.limit(Resource::NOFILE, None);
    server.wait_for_log(&["recordings are written again"]);
    second.close76();
    server.open76().close76();
    server.stop();
    let traces = traces(&folder);
    assert_eq!(traces.len(), 3);
    assert!(traces.iter().all(|trace| trace.notes[0] == "complete"), "{traces:?}");
    for trace in &traces[..2] {
        assert!(sent(trace).ends_with(&[&frame("meanwhile"), CLOSING].concat()), "{trace}");
    }
}

fn a_full_disk_truncates_no_line_and_closes_nothing(engine: &str) {
    let folder = folder("full-disk", engine);
    // SIGXFSZ would kill the process at the file size limit, unless ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_legacy-websocket")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--engine", engine]);
    command.args(["--record", folder.to_str().unwrap()]);
    let server = Server::start_command(command, 1);
    let mut first = server.open76();
    first.echo("before");
    wait_for_text(&folder, "S \"\\x00before\\xff\"\n");
    server.limit(Resource::FSIZE, Some(texts(&folder)[0].len() as u64 + 20));
    first.echo(&"half of it fits".repeat(10));
    server.wait_for_log(&["ERROR", "recordings cannot be written", "too large"]);
    let mut second = server.open76();
    second.echo(&"not even the beginning".repeat(100));
    let cut = traces(&folder);
    assert!(sent(&cut[0]).ends_with(&frame("before")), "{cut:?}");
    server.limit(Resource::FSIZE, None);
    server.wait_for_log(&["recordings are written again"]);
    first.close76();
    second.close76();
    server.stop();
    let traces = traces(&folder);
    assert_eq!(traces.len(), 2);
    assert!(traces.iter().all(|trace| trace.notes[0] == "complete"), "{traces:?}");
    assert!(sent(&traces[0]).ends_with(&[&frame(&"half of it fits".repeat(10)), CLOSING].concat()));
    assert!(sent(&traces[1]).ends_with(&[&frame(&"not even the beginning".repeat(100)), CLOSING].concat()));
}

fn control_characters_do_not_break_a_trace(engine: &str) {
    let (folder, server) = start(engine, "control", &[]);
    for request in [
        &b"\x01\x02\x7f\r\n\r\n"[..],
        b"GET /\x1b[31m HTTP/1.1\r\nHost: a\r\nUser-Agent: \x01\r\n\r\n",
        b"\xc2\x85\xe2\x80\xa8 \x00\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        client.finish();
        client.read_until_gone();
    }
    server.stop();
    let titles: Vec<_> = traces(&folder).into_iter().map(|trace| trace.title).collect();
    assert_eq!(titles, ["\\u{1}\\u{2}\\u{7f}", "GET /\\u{1b}[31m HTTP/1.1", "\\u{0}"]);
    // If not even the first read fits, there is no trace, rather than one without steps.
    let (folder, server) = start(engine, "nothing", &["--record-max-connection-bytes", "10"]);
    server.open76().close76();
    server.stop();
    assert!(traces(&folder).is_empty());
}

#[test]
fn an_unusable_folder_is_refused_at_startup() {
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--record", "/dev/null/traces"]);
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("--record /dev/null/traces: "), "{log}");
}

fn folder(name: &str, engine: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("recording-{name}-{engine}"));
    // Left over from an earlier run.
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn start(engine: &str, name: &str, options: &[&str]) -> (PathBuf, Server) {
    let folder = folder(name, engine);
    let record = ["--engine", engine, "--record", folder.to_str().unwrap()];
    let server = Server::start(&[&record, options].concat());
    (folder, server)
}

/// Files in the order in which the connections were opened.
fn files(folder: &PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn texts(folder: &PathBuf) -> Vec<String> {
    files(folder).iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Another thread writes the recording, so it may take a moment.
fn wait_for_text(folder: &PathBuf, text: &str) {
    while !texts(folder).concat().contains(text) {
        std::thread::yield_now();
    }
}

fn traces(folder: &PathBuf) -> Vec<Trace> {
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(folder) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.extension().unwrap(), legacy_websocket_trace::EXTENSION);
    }
    texts(folder).iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))).collect()
}

/// The bytes the client sent.
fn sent(trace: &Trace) -> Vec<u8> {
    let client = trace.steps.iter().filter_map(|step| match step {
        Step::Client { bytes, .. } => Some(bytes.bytes(&Variables::default())),
        _ => None,
    });
    client.collect::<Vec<_>>().concat()
}

/// Replays the client's side and expects the server's recorded answers.
fn replay(trace: &Trace, mut client: Client) {
    for step in &trace.steps {
        match step {
            Step::Client { bytes, .. } => client.send(&bytes.bytes(&Variables::default())),
            Step::Server { bytes, .. } => client.expect(&bytes.bytes(&Variables::default())),
            Step::ClientEnd { .. } => client.finish(),
            Step::ServerEnd { .. } => client.expect_end(),
            step => panic!("not expected in a recording: {step}"),
        }
    }
}
