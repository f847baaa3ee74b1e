//! Applications in other languages: built as their READMEs say, and served by the host.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::chat::talk;
use support::optional::{install, trial};
use support::server::Server;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = vec![
        trial("a_chat_in_javascript", &install("install-jco"), javascript),
        trial("a_chat_in_python", &install("install-componentize-py"), python),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// `npm run build`, with what the script has installed.
fn javascript(jco: &Path) {
    let chat = target("chat-in-javascript.wasm");
    let bin = jco.parent().unwrap();
    build(
        Command::new("npm").args(["run", "build", "--", "-o"]).arg(&chat).env("PATH", in_front_of_path(bin)),
        "javascript-chat",
    );
    serve(&chat);
}

fn python(componentize: &Path) {
    let chat = target("chat-in-python.wasm");
    build(
        Command::new(componentize)
            .args(["-d", "../../wit", "-w", "application", "componentize", "--stub-wasi", "chat", "-o"])
            .arg(&chat)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        "python-chat",
    );
    serve(&chat);
}

fn target(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn in_front_of_path(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

fn build(command: &mut Command, example: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
    let output = command.current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn serve(chat: &Path) {
    let server = Server::start(&[chat.to_str().unwrap()]);
    talk(&server);
    server.stop();
}
