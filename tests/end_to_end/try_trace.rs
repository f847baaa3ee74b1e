//! `legacy-websocket try`: traces against applications, without a server.

use std::fs;

use legacy_websocket_artifacts::ECHO;
use test_components::{FAULTY_APPLICATION, PUBLISH};

use crate::file;
use crate::support::server::run;

/// The lines before the steps, with a setting.
fn trace(setting: &str, steps: &str) -> String {
    let fields = "title: t\nprotocol: draft75\nsection: field\nseverity: field\n";
    format!("legacy-websocket-trace 2\n{fields}setting: {setting}\n\n{steps}")
}

/// A client of draft 75, and the answer that lets it in.
fn open(number: &str) -> String {
    format!(
        r#"C{number} "GET /demo HTTP/1.1\r\n"
+ "Upgrade: WebSocket\r\n"
+ "Connection: Upgrade\r\n"
+ "Host: example.com\r\n"
+ "Origin: http://example.com\r\n"
+ "\r\n"
S{number} "HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
+ "Upgrade: WebSocket\r\n"
+ "Connection: Upgrade\r\n"
+ "WebSocket-Origin: http://example.com\r\n"
+ "WebSocket-Location: ws://example.com/demo\r\n"
+ "\r\n"
"#
    )
}

/// The trace without what the server says.
fn of_the_client(trace: &str) -> String {
    let mut servers = false;
    let mut client = String::new();
    for line in trace.lines() {
        servers = line.starts_with('S') || servers && line.starts_with(['+', '&']);
        if !servers {
            client.push_str(&format!("{line}\n"));
        }
    }
    client
}

/// Returns the exit status, standard output and standard error.
#[track_caller]
fn attempt(application: &str, name: &str, trace: &str, options: &[&str]) -> (i32, String, String) {
    let script = file(&format!("try-{name}.trace"), trace.as_bytes());
    let output = run(&[&["try", application, &script], options].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_clients_hear_is_printed_written_and_checked() {
    let echo = wasm!(ECHO);
    let steps = [&open(""), "C \"\\x00hi\\xff\"\nS \"\\x00hi\\xff\"\nC fin\nS fin\n"].concat();
    let whole = trace("max-message-bytes 5", &steps);
    let clients = of_the_client(&whole);
    assert_eq!(attempt(echo, "print", &clients, &[]), (0, whole.clone(), String::new()));

    let (status, said, _) = attempt(echo, "bless", &clients, &["--bless"]);
    let script = said.strip_prefix("wrote ").unwrap().trim();
    assert_eq!((status, fs::read_to_string(script).unwrap()), (0, whole.clone()));

    let (status, said, _) = attempt(echo, "check", &whole, &[]);
    assert!(status == 0 && said.ends_with("try-check.trace: ok\n"), "{said}");

    let (status, said, _) = attempt(echo, "wrong", &whole.replace("S \"\\x00hi", "S \"\\x00HI"), &[]);
    assert!(status == 1 && said.contains("\n-S \"\\x00HI\\xff\"\n+S \"\\x00hi\\xff\"\n"), "{said}");

    // The setting counts: this is longer.
    let (_, said, _) = attempt(echo, "settings", &clients.replace("hi", "longer"), &[]);
    assert!(said.ends_with("C \"\\x00longer\\xff\"\nS fin\nC fin\n"), "{said}");
}

#[test]
fn time_passes_and_everyone_hears() {
    let (_, said, error) = attempt(
        wasm!(PUBLISH),
        "time",
        &trace(
            "protocol draft75",
            &of_the_client(&[&open(""), &open("2"), "after 1500ms\nafter 1s\n"].concat()),
        ),
        &[],
    );
    let [first, second] = ["1", "2"].map(|seconds| format!("\"\\x00up for {seconds} s\\xff\""));
    let expected = format!("after 1500ms\nS {first}\nS2 {first}\nafter 1s\nS {second}\nS2 {second}\n");
    assert!(said.ends_with(&expected), "{said}{error}");
}

#[test]
fn the_application_gets_its_environment() {
    let steps = of_the_client(&[&open(""), "C \"\\x00env:ROOM\\xff\"\n"].concat());
    let trace = trace("authorise", &steps);
    let (_, said, error) = attempt(wasm!(FAULTY_APPLICATION), "env", &trace, &["--env", "ROOM=tea"]);
    assert!(said.ends_with("S \"\\x00tea\\xff\"\n"), "{said}{error}");
}

#[test]
fn what_has_no_effect_is_told() {
    let steps = of_the_client(&[&open(""), "C \"\\x00send:99\\xff\"\n"].concat());
    let (status, _, error) = attempt(wasm!(FAULTY_APPLICATION), "failed", &trace("authorise", &steps), &[]);
    assert!(
        status == 0 && error.contains("connection 99: a command had no effect: Send, UnknownConnection"),
        "{error}"
    );
}

#[test]
fn faults_have_file_line_and_reason() {
    let faulty = wasm!(FAULTY_APPLICATION);
    let fails = |name: &str, setting: &str, steps: &str, why: &str| {
        let (status, said, error) = attempt(faulty, name, &trace(setting, steps), &[]);
        let place = format!("try-{name}.trace:{why}");
        assert!(status == 1 && said.is_empty() && error.contains(&place), "{said}{error}");
    };
    fails("step", "authorise", "C \"a\"\nlater\n", "9: not a step: \"later\"");
    fails("setting", "max-fields many", "C \"a\"\n", "6: max-fields many: must be a whole number");
    fails("gateway", "pass-through", "C \"a\"\n", "6: pass-through is for gateways");
    fails("actor", "authorise", "C \"a\"\nwait\nA close\n", "10: the application acts by itself");
    let panics = of_the_client(&[&open(""), "C \"\\x00fault:panic\\xff\"\n"].concat());
    fails("lost", "authorise", &panics, "14: the application was lost: ");
}
