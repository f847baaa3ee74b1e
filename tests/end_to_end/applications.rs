//! Applications as components: the examples, and how failures are handled.

use std::fs::{self, File};
use std::process::Command;

use legacy_websocket_artifacts::ECHO;
use rlimit::Resource;
use test_components::{CHAT, FAULTY_APPLICATION, FAULTY_LIBRARY, PUBLISH};

use crate::file;
use crate::support::client::Client;
use crate::support::server::{Server, program, run};
use crate::support::{CLOSING, KEY3, contains, frame, head75, head76, on_both_engines};

on_both_engines!(
    both_drafts_are_echoed,
    clients_of_both_drafts_share_a_chat,
    a_posted_message_is_pushed,
    foreign_posts_do_not_reach_the_application,
    a_foreign_host_does_not_reach_the_application,
    an_idle_application_can_push,
    a_failed_command_is_reported,
    a_panic_costs_one_instance,
    an_endless_call_costs_one_instance,
    unbounded_memory_costs_one_instance,
);

const LIMITS: [&str; 6] = ["--workers", "1", "--call-timeout", "300ms", "--max-memory-bytes", "67108864"];

impl Client {
    /// Expects `text` as the next message.
    #[track_caller]
    pub(crate) fn expect_text(&mut self, text: &str) {
        self.expect(&frame(text));
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&frame(text));
    }
}

fn both_drafts_are_echoed(engine: &str) {
    let server = Server::start(&[wasm!(ECHO), "--engine", engine]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    client75.echo("h\u{e9}llo");
    client76.echo("\u{1f600}");
    // Several messages and the closing frame in one write.
    client76.send(&[&frame("a")[..], &frame(""), &frame("b"), CLOSING].concat());
    client76.expect(&[&frame("a")[..], &frame(""), &frame("b"), CLOSING].concat());
    client76.expect_end();
    // A handshake the application does not decide is accepted with its subprotocol.
    let mut asks = server.connect();
    asks.send(&[&head76("Sec-WebSocket-Protocol: chat\r\n"), KEY3].concat());
    let answer = asks.read_until(b"\r\n\r\n");
    assert!(contains(&answer, b"\r\nSec-WebSocket-Protocol: chat\r\n"), "{}", answer.escape_ascii());
    let mut plain = server.connect();
    plain.refused(b"GET / HTTP/1.0\r\n\r\n", "404");
}

fn clients_of_both_drafts_share_a_chat(engine: &str) {
    let server = Server::start(&[wasm!(CHAT), "--engine", engine]);
    let mut anna = server.open75();
    anna.expect_text("* you are guest 1");
    anna.send_text("anybody there?");
    anna.expect_text("guest 1: anybody there?");
    let mut bob = server.open76();
    bob.expect_text("guest 1: anybody there?");
    bob.expect_text("* you are guest 2");
    anna.expect_text("* guest 2 joined");

    anna.send_text("/nick Anna");
    for client in [&mut anna, &mut bob] {
        client.expect_text("* guest 1 is now Anna");
    }
    bob.send_text("/nick Anna");
    bob.expect_text("* this name is taken");
    bob.send_text("h\u{e9}llo \u{20ac}");
    for client in [&mut anna, &mut bob] {
        client.expect_text("guest 2: h\u{e9}llo \u{20ac}");
    }
    bob.send_text("/stats");
    bob.expect_text("* 2 here: Anna (draft 75), guest 2 (draft 76); 2 messages");
    bob.send_text("/away");
    bob.expect_text("* no such command: /away");

    bob.close76();
    anna.expect_text("* guest 2 left");
    drop(anna);

    let mut page = server.connect();
    page.send(b"GET /?x HTTP/1.0\r\n\r\n");
    let page = String::from_utf8(page.read_to_end()).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("</html>\n"), "{page}");
}

fn post(server: &Server, body: &str) -> String {
    let mut client = server.connect();
    let length = body.len();
    client.send(
        format!(
            "POST /publish HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
    String::from_utf8(client.read_to_end()).unwrap()
}

fn a_posted_message_is_pushed(engine: &str) {
    let server = Server::start(&[wasm!(PUBLISH), "--engine", engine]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    let answer = post(&server, "It rains.");
    assert!(answer.ends_with("sent to 2\n"), "{answer}");
    // Skips the uptime messages sent once a second.
    client75.read_until(&frame("It rains."));
    client76.read_until(&frame("It rains."));
    let mut client = server.connect();
    client.send(b"POST /publish HTTP/1.0\r\nContent-Length: 1\r\n\r\n\xff");
    assert!(client.read_to_end().starts_with(b"HTTP/1.1 400 "));
}

/// Sends a request to the application `publish` and returns its answer.
fn request(server: &Server, method: &str, fields: &str, body: &str) -> String {
    let mut client = server.connect();
    let length = body.len();
    let request = format!(
        "{method} /publish HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n{body}"
    );
    client.send(request.as_bytes());
    String::from_utf8(client.read_to_end()).unwrap()
}

fn foreign_posts_do_not_reach_the_application(engine: &str) {
    let server =
        Server::start(&[wasm!(PUBLISH), "--engine", engine, "--origin", "http://example.com", "--debug"]);
    let mut subscriber = server.open76();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for foreign in ["http://evil.example", "null", "http://example.com:8000"] {
            let fields = format!("Host: example.com\r\nOrigin: {foreign}\r\n");
            let answer = request(&server, method, &fields, "foreign");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{method} from {foreign}: {answer}");
        }
    }
    server.wait_for_logs(&["rejected", "403", "Origin"], 12);
    let read = request(&server, "GET", "Host: example.com\r\nOrigin: http://evil.example\r\n", "");
    assert!(read.starts_with("HTTP/1.1 405 "), "a foreign page may send GET: {read}");
    for (fields, text) in [("Origin: http://example.com\r\n", "a page's"), ("", "no page's")] {
        let answer = request(&server, "POST", &format!("Host: example.com\r\n{fields}"), text);
        assert!(answer.ends_with("sent to 1\n"), "{text}: {answer}");
        let heard = subscriber.read_until(&frame(text));
        assert!(!contains(&heard, b"foreign"), "{}", heard.escape_ascii());
    }
}

fn a_foreign_host_does_not_reach_the_application(engine: &str) {
    let server = Server::start(&[wasm!(PUBLISH), "--engine", engine, "--host", "example.com"]);
    for method in ["GET", "POST", "OPTIONS"] {
        for foreign in ["evil.example", "127.0.0.1", "example.com.evil.example"] {
            let answer = request(&server, method, &format!("Host: {foreign}\r\n"), "foreign");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{method} {foreign}: {answer}");
        }
    }
    assert!(request(&server, "POST", "", "nobody's").starts_with("HTTP/1.1 400 "));
    assert!(request(&server, "POST", "Host: example.com:8000\r\n", "ours").ends_with("sent to 0\n"));
}

fn an_idle_application_can_push(engine: &str) {
    let server = Server::start(&[wasm!(PUBLISH), "--engine", engine]);
    let mut client = server.open76();
    let first = client.read_until(b" s\xff");
    assert!(first.starts_with(b"\0up for "), "{}", first.escape_ascii());
    client.read_until(b" s\xff");
}

fn a_failed_command_is_reported(engine: &str) {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--engine", engine, "--workers", "1"]);
    let mut client = server.open75();
    client.send_text("send:77");
    client.expect_text("CommandKind::Send to 77: Failure::UnknownConnection");
    let _opening = server.connect();
    server.open76();
    client.send_text("send:2");
    client.expect_text("CommandKind::Send to 2: Failure::WrongState");
}

/// The fault is logged and closes all current connections cleanly; the next client gets a fresh instance.
fn costs_one_instance(engine: &str, fault: &str, reason: &str) {
    let arguments = [wasm!(FAULTY_APPLICATION), "--engine", engine];
    let server = Server::start(&[&arguments[..], &LIMITS].concat());
    let (mut culprit, mut bystander, mut opening) = (server.open76(), server.open75(), server.connect());
    opening.send(b"GET / HTTP/1.1\r\n");
    culprit.send_text("in");
    culprit.expect_text("1 in");
    bystander.send_text("in");
    bystander.expect_text("2 in");
    culprit.send_text(&format!("fault:{fault}"));
    culprit.expect(CLOSING);
    // Messages that arrive before the closing handshake is answered do not reach the fresh instance.
    culprit.send_text("late");
    bystander.expect_end();
    assert!(opening.read_to_end().starts_with(b"HTTP/1.1 503 "));
    let mut fresh = server.open76();
    fresh.send_text("in");
    fresh.expect_text("1 in");
    culprit.send(CLOSING);
    culprit.expect_end();
    server.wait_for_log(&["ERROR", "the application was lost", reason, "connections=3"]);
    fresh.send_text("still in");
    fresh.expect_text("2 still in");
    fresh.close76();
    let stopped = server.stop();
    assert!(stopped.contains("application_traps=1") && stopped.contains(" traps=0"), "{stopped}");
}

fn a_panic_costs_one_instance(engine: &str) {
    costs_one_instance(engine, "panic", "unreachable");
}

fn an_endless_call_costs_one_instance(engine: &str) {
    costs_one_instance(engine, "spin", "a call took longer than 300ms");
}

fn unbounded_memory_costs_one_instance(engine: &str) {
    costs_one_instance(engine, "grow", "it wanted more than 67108864 bytes of memory");
}

#[test]
fn application_output_is_logged() {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION)]);
    server.open76().send_text("fault:panic");
    server.wait_for_log(&["ERROR", "application: ", "panicked at "]);
    server.wait_for_log(&["ERROR", "application: told to"]);
}

#[test]
fn an_application_survives_an_engine_trap() {
    let server = Server::start(&[wasm!(PUBLISH), "--component", wasm!(FAULTY_LIBRARY)]);
    let mut client = server.open76();
    client.send_text("fault:trap");
    client.read_until_gone();
    // The application keeps ticking, and knows that the first client is gone.
    let mut client = server.open76();
    client.read_until(b" s\xff");
    let answer = post(&server, "x");
    assert!(answer.ends_with("sent to 1\n"), "{answer}");
}

#[test]
fn an_application_sees_only_its_configured_environment() {
    let mut command = program();
    command.args(["serve", wasm!(FAULTY_APPLICATION), "--listen", "127.0.0.1:0"]);
    command.args(["--env", "GREETING=h\u{e9}llo = world", "--env", "EMPTY=", "--env", "OURS"]);
    command.env("OURS", "told").env("OTHERS", "kept");
    let server = Server::start_command(command, 1);
    let mut client = server.open76();
    for (name, value) in [("GREETING", "h\u{e9}llo = world"), ("EMPTY", ""), ("OURS", "told"), ("OTHERS", "")]
    {
        client.send_text(&format!("env:{name}"));
        client.expect_text(value);
    }
    for wrong in ["=value", "NOT_SET_ANYWHERE"] {
        let output = run(&["serve", wasm!(FAULTY_APPLICATION), "--env", wrong]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("--env"), "{said}");
    }
}

#[test]
fn panic_output_is_logged_as_errors() {
    let mut command = program();
    command.args(["serve", wasm!(FAULTY_APPLICATION), "--listen", "127.0.0.1:0"]).env("RUST_LOG", "warn");
    let server = Server::start_command(command, 1);
    server.open76().send_text("fault:panic");
    server.wait_for_log(&[
        "ERROR",
        "application: thread '<unnamed>'",
        "panicked at tests/applications/faulty/src/lib.rs",
    ]);
    server.wait_for_log(&["ERROR", "application: told to: \"h\u{e9}\" \\u{1b}[31m"]);
    server.wait_for_log(&["ERROR", "the application was lost"]);
}

#[test]
fn a_new_file_is_served_to_new_connections() {
    let path = file("watched.wasm", ECHO);
    let server = Server::start(&[&path, "--watch"]);
    let (mut old75, mut old76) = (server.open75(), server.open76());
    old75.echo("first");

    fs::write(&path, b"not a component").unwrap();
    server.wait_for_log(&["ERROR", "the application before serves on"]);
    server.open76().echo("still the first");

    fs::write(&path, CHAT).unwrap();
    server.wait_for_log(&["INFO", "a new application serves"]);
    let mut new = server.open76();
    let greeting = String::from_utf8(new.read_until(b"\xff")).unwrap_err().into_bytes();
    assert!(greeting.starts_with(b"\0* you are guest "), "{}", greeting.escape_ascii());
    new.send_text("to the chat");
    new.read_until(b": to the chat\xff");
    old75.echo("second");
    old76.echo("second");
    old76.close76();
    let stopped = server.stop();
    old75.expect_end();
    new.expect(CLOSING);
    assert!(stopped.contains("connections=4"), "{stopped}");
}

#[test]
fn an_unreadable_new_file_is_retried() {
    let path = file("watched-unreadable.wasm", ECHO);
    let server = Server::start(&[&path, "--watch"]);
    let huge = File::create(&path).unwrap();
    huge.set_len(6 << 30).unwrap();
    server.wait_for_log(&["ERROR", "the application before serves on", "larger than"]);
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    server.wait_for_log(&["ERROR", "the application before serves on", "not a regular file"]);
    fs::remove_file(&path).unwrap();
    server.open76().echo("still the first");
    server.limit(Resource::NOFILE, Some(0));
    fs::write(&path, CHAT).unwrap();
    server.wait_for_log(&["ERROR", "the application before serves on", "Too many open files"]);
    server.limit(Resource::NOFILE, None);
    server.wait_for_log(&["INFO", "a new application serves"]);
    let once = |reason: &str| assert_eq!(server.log().matches(reason).count(), 1, "{}", server.log());
    ["larger than", "not a regular file", "Too many open files"].into_iter().for_each(once);
    // A FIFO does not block the shutdown either.
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    server.stop();
    fs::remove_file(&path).unwrap();
}

#[test]
fn an_invalid_application_is_refused_at_startup() {
    let garbage = file("garbage.wasm", b"garbage");
    let library = file("library.wasm", legacy_websocket_artifacts::LIBRARY);
    let middleware = file("middleware.wasm", test_components::REQUIRE_COOKIE);
    let older = file("older.wasm", &of_version_0_1(ECHO));
    for (path, reason) in [
        ("/no/such/file.wasm", "/no/such/file.wasm: No such file"),
        (garbage.as_str(), "is not a component of world `application`: it is not WebAssembly"),
        (library.as_str(), "it does not export hixie:legacy-websocket/handler@0.2.0"),
        (
            older.as_str(),
            "it exports hixie:legacy-websocket/handler@0.1.0, not hixie:legacy-websocket/handler@0.2.0",
        ),
        (middleware.as_str(), "which nobody provides"),
    ] {
        let output = run(&["serve", path, "--listen", "127.0.0.1:0"]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && log.contains(reason), "{path}: {log}");
    }
}

/// The same component with the interfaces of another version.
fn of_version_0_1(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for name in [&b"hixie:legacy-websocket/handler@0.2"[..], b"hixie:legacy-websocket/types@0.2"] {
        let mut from = 0;
        while let Some(at) = bytes[from..].windows(name.len()).position(|window| window == name) {
            from += at + name.len();
            bytes[from - 1] = b'1';
        }
    }
    bytes
}

#[test]
fn a_handshake_in_single_bytes_is_answered_once() {
    // The application sees the handshake once, when the head is complete.
    let server = Server::start(&[wasm!(ECHO)]);
    let mut client = server.connect();
    for byte in head75("") {
        client.send(&[byte]);
    }
    client.read_until(b"\r\n\r\n");
    client.echo("in");
}
