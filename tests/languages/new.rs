//! What `legacy-websocket new` writes: tested, built and served by the commands that it prints.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::support::browser::{Browser, TEXT as BROWSER_TEXT};
use super::support::client::Client;
use super::support::hybi::{TEXT, masked};
use super::support::recorder::Recorder;
use super::support::server::{Server, program};
use super::support::{answer75, frame, head75};
use super::{build, in_front_of_path, root, target, try_trace};

/// The built application in Rust.
static RUST: LazyLock<PathBuf> = LazyLock::new(|| {
    let work = folder("new-rust");
    let crate_path = root().join("component/application").canonicalize().unwrap();
    let [test, build, serve] =
        new(&work, &["--language", "rust", "--crate-path", crate_path.to_str().unwrap()]);
    let written = work.join("tea-room");
    // The same dependencies as those of `.ci/first-application`, which are built already.
    fs::copy(root().join("Cargo.lock"), written.join("Cargo.lock")).unwrap();
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../first-application");
    fs::create_dir_all(&built).unwrap();
    symlink(built.canonicalize().unwrap(), written.join("target")).unwrap();
    // Not this repository's format.
    fs::write(work.join("rustfmt.toml"), "").unwrap();
    run("cargo fmt --check", &written, &[]);
    run(&test, &work, &[]);
    run(&build, &written, &[]);
    served(&written, &serve)
});

pub(crate) fn rust() {
    chat(&RUST);
}

pub(crate) fn rust_in_a_browser(phantomjs: &Path) {
    let server = Server::start(&[RUST.to_str().unwrap()]);
    let recorder = Recorder::start(server.address());
    let mut client = server.connect();
    // Each path is a room.
    client.send(&String::from_utf8(head75("")).unwrap().replace("/demo", "/").into_bytes());
    client.expect(&answer75("ws://example.com/", ""));
    client.expect(&frame("* What is your name?"));
    client.send(&frame("Anna"));
    client.expect(&frame("* Anna is here"));
    let mut browser = Browser::start(phantomjs, &recorder, "rooms");
    client.expect(&frame("* Pip is here"));
    client.expect(&frame(&format!("Pip: {BROWSER_TEXT}")));
    client.send(&frame("bye"));
    browser.read_until("Anna: bye");
    browser.expect_success();
    client.expect(&frame("Anna: bye"));
    client.expect(&frame("* Pip has left"));
}

pub(crate) fn javascript(jco: &Path) {
    installed("javascript", "npm install && ", jco.parent().unwrap());
}

pub(crate) fn python(componentize: &Path) {
    let tools = "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt && ";
    installed("python", tools, componentize.parent().unwrap());
}

pub(crate) fn overwrites_nothing() {
    let work = folder("new-twice");
    let fails = |arguments: &[&str], why: &str| {
        let output = program().arg("new").args(arguments).current_dir(&work).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    fs::create_dir(work.join("full")).unwrap();
    fs::write(work.join("full/notes"), "mine").unwrap();
    fs::write(work.join("file"), "mine").unwrap();
    fails(&["full"], "full exists and is not empty; nothing was written");
    fails(&["file"], "file exists and is no folder");
    fails(&["../up"], "it is a path");
    fails(&["2up"], "it must begin with an ASCII letter");
    fails(&["match"], "match means something else in Rust");
    fails(&["x", "--crate-path", "full"], "full/Cargo.toml: No such file");
    fails(&["x", "--language", "python", "--crate-path", "full"], "--crate-path is for --language rust");
    assert_eq!(fs::read_dir(&work).unwrap().count(), 2);
    assert_eq!(fs::read_dir(work.join("full")).unwrap().count(), 1);
}

/// The module of a language has one text.
pub(crate) fn has_the_modules_of_the_examples() {
    for (template, example) in [
        ("javascript/legacy-websocket.js", "javascript-chat/legacy-websocket.js"),
        ("javascript/legacy-websocket.d.ts", "javascript-chat/legacy-websocket.d.ts"),
        ("python/legacy_websocket.py", "python-chat/legacy_websocket.py"),
    ] {
        let read = |path: &str| fs::read(root().join(path)).unwrap();
        let (template, example) = (format!("host/templates/{template}"), format!("examples/{example}"));
        assert!(read(&template) == read(&example), "cp {example} {template}");
    }
}

/// Tests, builds and serves an application with tools that are installed already, in this folder.
fn installed(language: &str, install: &str, tools: &Path) {
    let work = folder(&format!("new-{language}"));
    let [test, build, serve] = new(&work, &["--language", language]);
    let written = work.join("tea-room");
    assert!(test.contains(install), "{test}");
    run(&test.replace(install, ""), &work, &[tools]);
    run(&build, &written, &[tools]);
    let built = served(&written, &serve);
    try_trace(&built, &written.join("app.trace"));
    chat(&built);
}

/// A conversation between an old client and one of today.
fn chat(application: &Path) {
    let server = Server::start(&[application.to_str().unwrap()]);
    let mut anna = server.open76();
    anna.expect(&frame("* What is your name?"));
    let mut bob = Client::open_hybi(server.address(), 13);
    bob.expect_frame(TEXT, b"* What is your name?");
    anna.send(&[frame(" "), frame("Anna")].concat());
    anna.expect(&frame("* Anna is here"));
    bob.expect_frame(TEXT, b"* Anna is here");
    bob.send(&masked(TEXT, b"Bob"));
    anna.expect(&frame("* Bob is here"));
    bob.expect_frame(TEXT, b"* Bob is here");
    anna.send(&frame("h\u{e9} \u{1f600}"));
    bob.expect_frame(TEXT, "Anna: h\u{e9} \u{1f600}".as_bytes());
    anna.expect(&frame("Anna: h\u{e9} \u{1f600}"));
    bob.send(&masked(TEXT, b"hi"));
    anna.expect(&frame("Bob: hi"));
    anna.close76();
    bob.expect_frame(TEXT, b"Bob: hi");
    bob.expect_frame(TEXT, b"* Anna has left");
    let mut page = server.connect();
    page.send(b"GET /tea HTTP/1.0\r\n\r\n");
    let page = String::from_utf8(page.read_to_end()).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<title>tea-room</title>"), "{page}");
    server.stop();
}

/// Writes an application. Returns the commands that it is to be tested, built and served with.
fn new(work: &Path, options: &[&str]) -> [String; 3] {
    let output = program().args(["new", "tea-room"]).args(options).current_dir(work).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().map(String::from).collect();
    lines.last_chunk().unwrap_or_else(|| panic!("{said}")).clone()
}

/// Runs a command as a shell does, with these programs.
fn run(command: &str, folder: &Path, tools: &[&Path]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("RUSTFLAGS", "-D warnings").env("PYTHONDONTWRITEBYTECODE", "1");
    for tools in tools {
        shell.env("PATH", in_front_of_path(tools));
    }
    build(&mut shell, folder);
}

/// The file that a command serves.
fn served(folder: &Path, command: &str) -> PathBuf {
    let file = command.strip_prefix("legacy-websocket serve ").unwrap();
    folder.join(file)
}

fn folder(name: &str) -> PathBuf {
    let folder = target(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}
