//! Command-line options.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::file;
use crate::support::admin::Admin;
use crate::support::client::Client;
use crate::support::hybi::{TEXT, masked};
use crate::support::server::{Server, program, run};

#[test]
fn help_shows_every_option_with_its_default() {
    let output = run(&["serve", "--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    // Ignores line wrapping.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for option in [
        "--listen",
        "--metrics",
        "--metrics-host",
        "--worker-fill",
        "--tls-listen",
        "--proxy-protocol",
        "--max-connections-per-peer",
        "--protocol",
        "--origin",
        "--subprotocol",
        "--host",
        "--public-url",
        "--trust-forwarded",
        "--max-head-bytes",
        "--max-fields",
        "--max-message-bytes",
        "--max-queue-bytes",
        "--max-total-queue-bytes",
        "--max-connections",
        "--handshake-timeout",
        "--idle-timeout",
        "--close-timeout",
        "--config",
        "--engine",
        "--component",
        "--record",
        "--record-max-bytes",
        "--record-max-connection-bytes",
        "--debug",
    ] {
        assert!(help.contains(&format!(" {option}")), "{option}\n{help}");
    }
    for default in ["[default: 127.0.0.1:8000]", "[default: all]", "[default: *]", "[default: component]"] {
        assert!(help.contains(default), "{default}\n{help}");
    }
    for values in ["draft75, draft76, hybi7, hybi8 or rfc6455", "component, native"] {
        assert!(help.contains(values), "{values}\n{help}");
    }
}

/// Expects a failure whose error line contains all `parts`.
#[track_caller]
fn expect_failure(options: &[&str], parts: &[&str]) {
    let output = run(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
    let (out, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!output.status.success(), "{log}");
    assert_eq!(out, "");
    // clap prints the usage after the error line.
    let line = log.lines().find(|line| line.to_lowercase().contains("error")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{part}\n{log}");
    }
}

#[test]
fn invalid_options_are_reported() {
    expect_failure(&["--public-url", "http://example.com"], &["public", "ws://"]);
    expect_failure(&["--origin", "example.com"], &["origin", "\"http://example.com\""]);
    expect_failure(&["--origin", "http://example.com/"], &["origin", "\"http://example.com\""]);
    expect_failure(&["--host", "http://example.com"], &["host", "\"example.com\""]);
    expect_failure(&["--max-connections", "0"], &["--max-connections", "'0'"]);
    for limit in [
        "--max-fields",
        "--max-head-bytes",
        "--max-message-bytes",
        "--max-buffered-bytes",
        "--max-queue-bytes",
    ] {
        expect_failure(&[limit, "0"], &[limit, "'0'", "must be at least 1"]);
    }
    expect_failure(&["--handshake-timeout", "soon"], &["--handshake-timeout", "soon"]);
    expect_failure(&["--protocol", "draft77"], &["--protocol", "draft77"]);
    expect_failure(&["--no-such-option"], &["--no-such-option"]);
    expect_failure(
        &["--engine", "native", "--component", "x.wasm"],
        &["--component", "requires --engine component"],
    );
    expect_failure(&["--idle-timeout", "999us"], &["--idle-timeout", "0s", "1ms"]);
    expect_failure(
        &["--max-message-bytes", "2000", "--max-buffered-bytes", "1999"],
        &["--max-buffered-bytes 1999", "--max-message-bytes 2000"],
    );
    expect_failure(
        &["--max-queue-bytes", "2000", "--max-total-queue-bytes", "1999"],
        &["--max-queue-bytes", "--max-total-queue-bytes"],
    );
    expect_failure(&["--flash-policy", "/does/not/exist"], &["/does/not/exist", "No such file"]);
    expect_failure(&["--listen", "8000"], &["--listen", "as in 127.0.0.1:8000"]);
}

#[test]
fn without_arguments_it_says_what_one_can_do() {
    let output = run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for command in ["legacy-websocket gateway --to", "legacy-websocket serve", "legacy-websocket compose"] {
        assert!(said.contains(command), "{said}");
    }
}

#[test]
fn completions_and_man_pages_have_every_command() {
    let commands = ["serve", "gateway", "compose", "new", "try", "check-config", "completions"];
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("max-connections-per-peer"), "{shell}: {script}");
        commands.iter().for_each(|command| assert!(script.contains(command), "{shell}: {command}"));
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man-pages");
    let output = run(&["man-pages", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for command in commands {
        let page = fs::read_to_string(folder.join(format!("legacy-websocket-{command}.1"))).unwrap();
        assert!(page.contains(&format!("legacy\\-websocket\\-{}", command.replace('-', "\\-"))), "{page}");
    }
}

/// The longest timeouts mean "never"; adding one to the current time must not overflow.
#[test]
fn the_longest_timeouts_do_not_overflow() {
    let longest = format!("{}s", u64::MAX);
    let times =
        ["--call-timeout", "--handshake-timeout", "--idle-timeout", "--close-timeout", "--write-timeout"];
    let options: Vec<_> = times.into_iter().flat_map(|time| [time, longest.as_str()]).collect();
    let server = Server::start(&options);
    let mut client = server.open76();
    client.echo("not late");
    client.close76();
    let times = [
        "--connect-timeout",
        "--backend-timeout",
        "--backend-idle-timeout",
        "--backend-ping-interval",
        "--tunnel-idle-timeout",
        "--retry-after",
    ];
    let more: Vec<_> = times.into_iter().flat_map(|time| [time, longest.as_str()]).collect();
    let to = format!("http://{}", server.address());
    let mut command = program();
    command.args(["gateway", "--listen", "127.0.0.1:0", "--to", &to]).args(&options).args(more);
    let gateway = Server::start_command(command, 1);
    let mut client = gateway.open76();
    client.echo("not late, either");
    client.close76();
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 200 "));
    let mut client = Client::open_hybi(gateway.address(), 13);
    client.send(&masked(TEXT, b"through"));
    client.expect_frame(TEXT, b"through");
    drop(client);
    gateway.stop();
    server.stop();
}

#[test]
fn an_address_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--engine", "native", "--listen", &address]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(log.contains(&format!("cannot listen on {address}: ")) && log.contains("in use"), "{log}");
    assert!(log.contains("another program listens there"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    expect_failure(&["--metrics", &address], &["--metrics", &address, "in use", "another program"]);
}

#[test]
fn an_invalid_component_file_is_reported() {
    expect_failure(&["--component", "/does/not/exist.wasm"], &["/does/not/exist.wasm", "No such file"]);
    let text = file("no-component.wasm", b"text");
    expect_failure(&["--component", &text], &["no-component.wasm", "it is not WebAssembly"]);
    let module = file("core-module.wasm", b"\0asm\x01\0\0\0");
    for options in [&["--component", module.as_str()][..], &[&module]] {
        expect_failure(options, &["core-module.wasm", "it is a core module (built for wasm32-wasip2?)"]);
    }
    let empty = file("empty-component.wasm", b"\0asm\x0d\0\x01\0");
    expect_failure(&["--component", &empty], &["empty-component.wasm"]);
}

/// Anyone who reads the announcement may connect, so it must come last.
#[test]
fn no_address_is_announced_until_all_are_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--engine", "native", "--listen", "127.0.0.1:0", "--metrics", &address]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("cannot listen on {address}")), "{log}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

/// Runs the server under `ulimit -n 64`.
#[test]
fn the_connection_limit_follows_the_descriptor_limit() {
    let mut shell = Command::new("sh");
    let program = program();
    shell
        .args(["-c", r#"ulimit -n 64; exec "$0" "$@""#])
        .arg(program.get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics", "0", "--workers", "2"])
        .env_remove("RUST_LOG");
    let server = Server::start_command(shell, 1);
    server.wait_for_log(&["WARN", "only 64 files can be open", "--max-connections is "]);
    let line = server.wait_for_log(&["status on http://"]);
    let admin = Admin(line.split("http://").nth(1).unwrap().trim_end_matches('/').into());
    let limit = admin.metrics()["legacy_websocket_connections_limit"] as usize;
    assert!((4..64).contains(&limit), "{limit}");
    let mut clients: Vec<_> = (0..limit).map(|_| server.open76()).collect();
    let is_refused = |_: &i32| server.connect().read_to_end().starts_with(b"HTTP/1.1 503 ");
    // Only a limited number of refusals is answered at a time.
    assert!((0..20).filter(is_refused).count() > 5);
    assert_eq!(admin.ask("GET", "/readyz").1, "full\n");
    clients.iter_mut().for_each(|client| client.echo("in"));
}
