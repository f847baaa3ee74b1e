//! The archive for this machine is unpacked in an empty folder, and serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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
    let archive = format!("{name}.tar.gz");
    run(&folder, &["tar", "-xzf", &archive]);
    let unpacked = folder.join(&name);
    assert!(binstall("pkg-url", &target).ends_with(&format!("/{archive}")));
    assert_eq!(folder.join(binstall("bin-dir", &target)), unpacked.join("legacy-websocket"));
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

    let mut program = Command::new(unpacked.join("legacy-websocket"));
    program.args(["serve", "--listen", "127.0.0.1:0"]);
    program.env("XDG_CACHE_HOME", folder.join("cache")).env_remove("RUST_LOG");
    let server = Server::start_command(program, 1);
    echoes(&server);
    server.stop();
    fs::remove_dir_all(folder).unwrap();
}

/// What `cargo binstall` makes of its metadata.
fn binstall(key: &str, target: &str) -> String {
    let manifest = include_str!("../../host/Cargo.toml");
    let (_, metadata) = manifest.split_once("[package.metadata.binstall]").unwrap();
    let (_, value) = metadata.split_once(&format!("\n{key} = \"")).unwrap();
    let value = value.split('"').next().unwrap();
    let value = value.replace("{ version }", env!("CARGO_PKG_VERSION")).replace("{ target }", target);
    value.replace("{ bin }", "legacy-websocket").replace("{ binary-ext }", "")
}

fn run(folder: &Path, command: &[&str]) {
    let done = Command::new(command[0]).args(&command[1..]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
