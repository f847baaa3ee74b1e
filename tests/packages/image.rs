//! The container image is loaded, and serves as a user without privileges, on files that nobody can write to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::crates::{echoes, empty_folder};
use super::packaging;
use crate::support::server::Server;

pub(crate) fn image(podman: &Path) {
    let builder = Podman::new(podman, "image-builder");
    let storage = builder.storage().display().to_string();
    let variables = [("CONTAINERS", podman.to_str().unwrap()), ("CONTAINERS_STORAGE_CONF", &storage)];
    let archive = packaging("build-image", &[], &variables);
    assert!(fs::metadata(&archive).unwrap().len() < 50_000_000);

    // Where it was not built.
    let user = Podman::new(podman, "image-user");
    let mut unpacked = Command::new("gzip").arg("-dc").arg(archive).stdout(Stdio::piped()).spawn().unwrap();
    let loaded = user.command("load").stdin(unpacked.stdout.take().unwrap()).output().unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    assert!(unpacked.wait().unwrap().success());

    let mut run = user.command("run");
    run.args([
        "--runtime",
        "runc",
        "--cgroup-manager",
        "cgroupfs",
        "--rm",
        "--network",
        "host",
        "--read-only",
    ]);
    // Fewer than podman's default, which may be more than this machine's.
    run.args(["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]);
    // The image's own port may be in use.
    run.args(["--env", "LEGACY_WEBSOCKET_LISTEN=0.0.0.0:0"]);
    run.arg(format!("legacy-websocket:{}", env!("CARGO_PKG_VERSION")));
    let server = Server::start_command(run, 1);
    assert_eq!(user.owner(), "nobody");
    echoes(&server);
    server.stop();
}

/// Images and containers of its own.
struct Podman {
    program: PathBuf,
    folder: PathBuf,
}

impl Podman {
    fn new(program: &Path, name: &str) -> Self {
        let podman = Self { program: program.into(), folder: empty_folder(name) };
        let folder = podman.folder.display();
        // No driver that a file system or another container may refuse.
        let storage =
            format!("[storage]\ndriver = 'vfs'\ngraphroot = '{folder}/images'\nrunroot = '{folder}/run'\n");
        fs::write(podman.storage(), storage).unwrap();
        podman
    }

    fn storage(&self) -> PathBuf {
        self.folder.join("storage.conf")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--events-backend", "none", name]).env("CONTAINERS_STORAGE_CONF", self.storage());
        command
    }

    /// The user of the program in the container.
    fn owner(&self) -> String {
        let top = self.command("top").args(["--latest", "huser"]).output().unwrap();
        String::from_utf8_lossy(&top.stdout).lines().last().unwrap_or_default().into()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Nothing is left after a failure, either.
        let _ = self.command("rm").args(["--all", "--force", "--time", "0"]).output();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
