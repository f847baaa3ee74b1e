//! The configuration file.

use std::process::Command;

use test_components::FAULTY_APPLICATION;

use crate::file;
use crate::support::head75;
use crate::support::server::{Server, program, run};
use crate::support::tls::Certificate;

/// Runs `check-config` on a file: its standard output, or its standard error if it fails.
fn check(name: &str, content: &str) -> Result<String, String> {
    let path = file(name, content.as_bytes());
    let output = run(&["check-config", &path]);
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(&path, name);
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[track_caller]
fn refused(content: &str, parts: &[&str]) {
    let said = check("refused.toml", content).unwrap_err();
    for part in [&["refused.toml"], parts].concat() {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn a_file_sets_the_same_options_as_the_command_line() {
    let policy = file("policy.xml", b"<cross-domain-policy/>");
    let content = format!(
        "listen = ['127.0.0.1:0', '127.0.0.2:0']\nprotocol = 'draft75'\norigin = 'http://example.com'\n\
         max-fields = 50\nhandshake-timeout = '5s'\nengine = 'native'\ndebug = true\n\
         trust-forwarded = false\nflash-policy = '{policy}'\n"
    );
    assert_eq!(check("whole.toml", &content), Ok("whole.toml: ok\n".into()));
    let path = file("whole.toml", content.as_bytes());
    let server = Server::start_announcing(2, &["--config", &path]);
    let mut client = server.open75();
    client.echo("in");
    server.wait_for_log(&["connected", &client.address().to_string()]);
    let mut elsewhere = server.connect();
    let head =
        String::from_utf8(head75("")).unwrap().replace("Origin: http://example.com", "Origin: http://a");
    elsewhere.refused(head.as_bytes(), "403");
}

#[test]
fn the_command_line_takes_precedence_over_the_file() {
    let content =
        "listen = '127.0.0.1:1'\nengine = 'native'\ndebug = true\norigin = ['http://a', 'http://b']";
    let path = file("overridden.toml", content.as_bytes());
    let server = Server::start(&["--config", &path, "--debug=false", "--origin", "*"]);
    server.open76().echo("in");
    let (_, log) = {
        server.signal("TERM");
        server.wait()
    };
    assert!(!log.contains("connected "), "{log}");
}

#[test]
fn errors_in_the_file_are_reported() {
    refused("max-feilds = 5", &["unknown key 'max-feilds'", "'max-fields'"]);
    refused("max_fields = 5", &["unknown key 'max_fields'", "'max-fields'"]);
    refused("zzz = 5", &["unknown key 'zzz'"]);
    refused("config = 'other.toml'", &["unknown key 'config'"]);
    refused("max-fields = 'many'", &["many", "--max-fields"]);
    refused("max-fields = 1.5", &["'max-fields' is a float"]);
    refused("[tls]\ncert = 'x'", &["unknown key 'tls'"]);
    refused(
        "protocol = 'draft77'",
        &["key 'protocol'", "draft77", "possible values: draft75, draft76, hybi7, hybi8, rfc6455, all"],
    );
    refused("engine = 'v8'", &["key 'engine'", "[possible values: component, native]"]);
    refused("max-head-bytes = 0", &["key 'max-head-bytes'", "'0'", "must be at least 1"]);
    refused("public-url = 'http://example.com'", &["key 'public-url'", "'http://example.com'", "ws://HOST"]);
    refused("idle-timeout = 5", &["key 'idle-timeout'", "'5'"]);
    refused("tls-listen = '127.0.0.1:0'\ntls-cert = 'x'", &["--tls-key <FILE>"]);
    refused("tls-cert = 'x'", &["--tls-key <FILE>"]);
    refused("tls-key = 'x'", &["--tls-cert <FILE>"]);
    refused("record-max-bytes = 5", &["--record <FOLDER>"]);
    refused("debug = 'loud'", &["loud", "--debug"]);
    refused("max-fields = [1, 2]", &["--max-fields", "multiple"]);
    refused("max-fields = ", &["line 1"]);
    refused("max-fields = 5\nmax-fields = 6", &["duplicate"]);
}

#[test]
fn check_config_verifies_values_and_referenced_files() {
    for (content, parts) in [
        ("flash-policy = '/does/not/exist'", ["/does/not/exist", "No such file"]),
        ("application = '/does/not/exist'", ["/does/not/exist", "No such file"]),
        ("component = '/does/not/exist'", ["/does/not/exist", "No such file"]),
        ("public-url = 'http://example.com'", ["public", "ws://"]),
        ("origin = 'example.com'", ["origin", "http://example.com"]),
        (
            "tls-listen = '127.0.0.1:0'\ntls-cert = '/does/not/exist'\ntls-key = 'x'",
            ["/does/not/exist", "No such"],
        ),
        ("tls-listen = '127.0.0.1:0'", ["--tls-cert", "--tls-key"]),
        ("record = '/dev/null/traces'", ["--record /dev/null/traces", "Not a directory"]),
        ("record = '/proc/traces'", ["--record /proc/traces", "No such file"]),
    ] {
        let said = check("names.toml", content).unwrap_err();
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}\n{said}");
    }
    let output = run(&["check-config", "/does/not/exist.toml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("/does/not/exist.toml: No such file"), "{said}");
}

#[test]
fn a_certificate_without_a_listener_is_an_error_except_under_systemd() {
    let certificate = Certificate::new("unserved");
    let [.., cert, _, key] = certificate.options();
    let path = file("unserved.toml", format!("tls-cert = '{cert}'\ntls-key = '{key}'").as_bytes());
    let program = || {
        let mut program = program();
        program.env_remove("SYSTEMD_EXEC_PID").env_remove("INVOCATION_ID");
        program
    };
    let say = |program: &mut Command| {
        let output = program.output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap().split_once("ERROR ").unwrap().1.to_owned()
    };
    let served = say(program().args(["serve", "--config", &path, "--listen", "127.0.0.1:0"]));
    assert_eq!(served, "--tls-cert and --tls-key require --tls-listen\n");
    assert_eq!(say(program().args(["check-config", &path])), served);
    // A descendant of a service, but not the process that systemd started.
    let below = [("SYSTEMD_EXEC_PID", "1"), ("INVOCATION_ID", "x")];
    assert_eq!(say(program().args(["check-config", &path]).envs(below)), served);
    // The shell execs the program, so the process id matches, as under systemd.
    let mut shell = Command::new("sh");
    shell.args(["-c", "SYSTEMD_EXEC_PID=$$ exec \"$0\" check-config \"$1\""]);
    let output = shell.arg(program().get_program()).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn check_config_creates_no_files_and_starts_the_application() {
    let folder = file("not-a-folder-yet", b"");
    std::fs::remove_file(&folder).unwrap();
    check("record.toml", &format!("record = '{folder}/of/recordings'")).unwrap();
    assert!(!std::path::Path::new(&folder).exists());
    let application = wasm!(FAULTY_APPLICATION);
    let said = check("env.toml", &format!("application = '{application}'\nenv = ['FAULT=panic']"));
    assert!(said.as_ref().is_err_and(|said| said.contains("the application was lost")), "{said:?}");
    check("env.toml", &format!("application = '{application}'\nenv = 'FAULT=no'")).unwrap();
}

#[test]
fn the_packaged_files_are_valid() {
    for name in ["legacy-websocket.toml", "gateway.toml"] {
        let output = run(&["check-config", &packaging(name)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_packaged_units_are_hardened_alike() {
    let hardening = |unit: &str| -> Vec<String> {
        let text = std::fs::read_to_string(packaging(unit)).unwrap();
        let (_, after) = text.split_once("this hardens the rest").unwrap();
        after.lines().filter(|line| line.contains('=') && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let [server, gateway] =
        ["legacy-websocket", "legacy-websocket-gateway"].map(|unit| format!("{unit}.service"));
    assert_eq!(hardening(&server), hardening(&gateway));
    assert!(hardening(&server).len() > 15, "{:?}", hardening(&server));
}

fn packaging(name: &str) -> String {
    format!("{}/../packaging/{name}", env!("CARGO_MANIFEST_DIR"))
}
