//! Applications in other languages, built as their READMEs say and served by the host; and new ones.

#[path = "languages/new.rs"]
mod new;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::Trial;
use support::chat::talk;
use support::frame;
use support::optional::{install, trial};
use support::server::{Server, run};

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let (jco, componentize) = (install("install-jco"), install("install-componentize-py"));
    let phantomjs = install("install-phantomjs");
    let trials = vec![
        trial("the_javascript_chat_works", &jco, |jco| {
            serve_chat(&javascript(jco, &example("javascript-chat"), "chat"), "javascript-chat");
        }),
        trial("the_python_chat_works", &componentize, |componentize| {
            serve_chat(&python(componentize, &example("python-chat"), "chat"), "python-chat");
        }),
        trial("the_javascript_chat_passes_its_tests", &jco, |_| {
            build(Command::new("node").arg("--test"), &example("javascript-chat"));
        }),
        trial("the_python_chat_passes_its_tests", &componentize, |componentize| {
            test_python(componentize, &example("python-chat"));
        }),
        trial("javascript_errors_are_logged", &jco, |jco| {
            // The README's command builds `chat.js`.
            let folder = copy("javascript-chat", "throws.js", "chat.js");
            let lines = ["the roof is on fire", "fail@chat.js:15"];
            expect_logs(&javascript(jco, &folder, "throws"), &lines, "sned");
        }),
        trial("python_errors_are_logged", &componentize, |componentize| {
            let folder = copy("python-chat", "throws.py", "chat.py");
            let lines = ["Traceback (most recent call last)", "chat.py", "RuntimeError: the roof is on fire"];
            expect_logs(&python(componentize, &folder, "throws"), &lines, "from: 7");
        }),
        always("a_new_application_in_rust_works", new::rust),
        trial("a_new_application_in_rust_works_in_a_browser", &phantomjs, new::rust_in_a_browser),
        trial("a_new_application_in_javascript_works", &jco, new::javascript),
        trial("a_new_application_in_python_works", &componentize, new::python),
        always("a_new_application_overwrites_nothing", new::overwrites_nothing),
        always("a_new_application_has_the_modules_of_the_examples", new::has_the_modules_of_the_examples),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn always(name: &str, run: fn()) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// Runs `npm run build` with the installed programs in the path.
fn javascript(jco: &Path, folder: &Path, name: &str) -> PathBuf {
    let built = target(&format!("{name}-in-javascript.wasm"));
    let bin = jco.parent().unwrap();
    build(
        Command::new("npm").args(["run", "build", "--", "-o"]).arg(&built).env("PATH", in_front_of_path(bin)),
        folder,
    );
    built
}

fn python(componentize: &Path, folder: &Path, name: &str) -> PathBuf {
    let built = target(&format!("{name}-in-python.wasm"));
    build(
        Command::new(componentize)
            .args(["-d", "../../wit", "-w", "application", "componentize", "chat", "-o"])
            .arg(&built)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        folder,
    );
    built
}

/// Runs the tests over the bindings, as the README says.
fn test_python(componentize: &Path, folder: &Path) {
    let bindings = target("python-bindings");
    let _ = fs::remove_dir_all(&bindings);
    build(
        Command::new(componentize).args(["-d", "../../wit", "-w", "application", "bindings"]).arg(&bindings),
        folder,
    );
    build(
        Command::new("python3")
            .args(["-m", "unittest"])
            .env("PYTHONPATH", &bindings)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        folder,
    );
}

fn target(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

/// Copies an example, with another source in place of its own.
fn copy(name: &str, source: &str, chat: &str) -> PathBuf {
    let copied = target("languages");
    let folder = copied.join("examples").join(name);
    fs::create_dir_all(&folder).unwrap();
    for file in fs::read_dir(example(name)).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    fs::copy(root().join("tests/languages").join(source), folder.join(chat)).unwrap();
    let wit = copied.join("wit");
    if !wit.exists() {
        // The other test may have created it meanwhile.
        let _ = symlink(root().join("wit").canonicalize().unwrap(), wit);
    }
    folder
}

fn in_front_of_path(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

fn build(command: &mut Command, folder: &Path) {
    let output = command.current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Serves a chat, and tries its own trace.
fn serve_chat(chat: &Path, name: &str) {
    try_trace(chat, &example(name).join("chat.trace"));
    let server = Server::start(&[chat.to_str().unwrap()]);
    talk(&server);
    server.stop();
}

fn try_trace(application: &Path, trace: &Path) {
    let output = run(&["try", application.to_str().unwrap(), trace.to_str().unwrap()]);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The log contains what the application prints, `lines` when it throws, and `nonsense` when it returns an invalid
/// command.
fn expect_logs(application: &Path, lines: &[&str], nonsense: &str) {
    let server = Server::start(&[application.to_str().unwrap(), "--workers", "1"]);
    server.open76().send(&frame("do nothing"));
    server.wait_for_log(&["application: told to do nothing"]);
    server.open76().send(&frame("throw"));
    for line in lines {
        server.wait_for_log(&["application: ", line]);
    }
    server.wait_for_logs(&["a fresh application serves on"], 1);
    server.open76().send(&frame("return nonsense"));
    server.wait_for_log(&["application: ", nonsense]);
    server.wait_for_logs(&["a fresh application serves on"], 2);
    server.stop();
}
