//! The archive for this machine is unpacked in an empty folder, and serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::crates::{echoes, empty_folder};
use super::packaging;
use crate::support::server::Server;

pub(crate) fn archive() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let archives = packaging("build-archives", &[&target], &[]);
    let folder = empty_folder("archive");
    for entry in fs::read_dir(&archives).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    run(&folder, &["sha256sum", "--check", "--strict", "SHA256SUMS"]);
    let name = format!("legacy-websocket-{}-{target}", env!("CARGO_PKG_VERSION"));
    run(&folder, &["tar", "-xzf", &format!("{name}.tar.gz")]);
    let unpacked = folder.join(&name);
    for file in [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "CHANGELOG.md",
        "completions/_legacy-websocket",
        "completions/legacy-websocket.bash",
        "completions/legacy-websocket.fish",
        "man/legacy-websocket-gateway.1",
        "packaging/gateway.toml",
        "packaging/legacy-websocket.service",
        "packaging/legacy-websocket.socket",
    ] {
        let mode = fs::metadata(unpacked.join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{file}");
    }

    let mut program = Command::new("./legacy-websocket");
    program.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(unpacked);
    program.env("XDG_CACHE_HOME", folder.join("cache")).env_remove("RUST_LOG");
    let server = Server::start_command(program, 1);
    echoes(&server);
    server.stop();
    fs::remove_dir_all(folder).unwrap();
}

fn run(folder: &Path, command: &[&str]) {
    let done =
        Command::new(command[0]).args(&command[1..]).current_dir(folder).stdout(Stdio::null()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
