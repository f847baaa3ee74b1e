//! The Debian package: built, installed in a root with nothing else, served from, and purged. The archive, the
//! container image, and the packages for a registry.

#[path = "packages/archives.rs"]
mod archives;
#[path = "packages/crates.rs"]
mod crates;
#[path = "packages/image.rs"]
mod image;
mod support;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::Trial;
use support::client::Client;
use support::optional::{install, trial};
use support::server::Server;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let cargo_deb = install("install-cargo-deb").and_then(|tools| may_install().map(|()| tools));
    let podman = install("install-podman").and_then(|podman| as_root().map(|()| podman));
    let trials = vec![
        trial("a_debian_package_is_installed_served_from_and_purged", &cargo_deb, debian),
        Trial::test("an_archive_is_unpacked_and_served_from", || {
            archives::archive();
            Ok(())
        }),
        trial("a_container_image_is_loaded_and_served_from", &podman, image::image),
        trial("programs_are_built_on_the_packaged_crates", &crates::asked_for(), crates::programs),
        trial("wkg_builds_the_wit_packages", &install("install-wkg"), crates::wit_packages),
        Trial::test("copies_are_the_same", || {
            crates::copies_are_the_same();
            Ok(())
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn debian(tools: &Path) {
    let package = build(tools);
    let root = empty_root();
    let before = files(&root);
    dpkg(&root, &["--install", package.to_str().unwrap()]);
    for file in [
        "usr/bin/legacy-websocket",
        "usr/share/man/man1/legacy-websocket-gateway.1.gz",
        "usr/share/bash-completion/completions/legacy-websocket",
        "usr/share/doc/legacy-websocket/copyright",
        "etc/legacy-websocket/gateway.toml",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
    verify_units(&root);

    let backend = in_root(&root, &["serve", "--config", "/etc/legacy-websocket/legacy-websocket.toml"]);
    let to = format!("http://{}", backend.address());
    let gateway = ["gateway", "--config", "/etc/legacy-websocket/gateway.toml", "--to", &to];
    let gateway = in_root(&root, &gateway);
    let mut client = Client::open76(gateway.address());
    client.echo("installed");
    client.close76();
    gateway.stop();
    backend.stop();

    // As systemd and an operator would leave them.
    fs::create_dir_all(root.join("var/cache/private/legacy-websocket/wasmtime")).unwrap();
    fs::write(root.join("etc/legacy-websocket/gateway.toml"), "to = ['http://127.0.0.1:1']\n").unwrap();
    dpkg(&root, &["--remove", "legacy-websocket"]);
    assert!(root.join("etc/legacy-websocket/gateway.toml").exists());
    dpkg(&root, &["--purge", "legacy-websocket"]);
    let left: Vec<_> = files(&root).difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The package of the program that is tested.
fn build(tools: &Path) -> PathBuf {
    let path = env::join_paths(
        [tools.into()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    );
    packaging("build-deb", &[], &[("PATH", path.unwrap().to_str().unwrap())])
}

/// Runs a script of the folder with the program that is tested; returns the path that it prints.
fn packaging(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> PathBuf {
    let repository = crates::repository();
    let mut build = Command::new(repository.join("packaging").join(script));
    build.args(arguments).env("PROGRAM", env!("CARGO_BIN_EXE_legacy-websocket"));
    let built = build.envs(variables.iter().copied()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let path = String::from_utf8(built.stdout).unwrap();
    repository.join(path.trim()).canonicalize().unwrap()
}

/// dpkg and chroot are for root.
fn may_install() -> Result<(), String> {
    let missing = ["dpkg", "systemd-analyze"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    match missing {
        Some(program) => Err(format!("there is no {program}")),
        None => as_root(),
    }
}

fn as_root() -> Result<(), String> {
    let id = Command::new("id").arg("-u").output().map_err(|error| format!("id: {error}"))?;
    if id.stdout == b"0\n" { Ok(()) } else { Err("it needs root".into()) }
}

/// A root with a shell for the package's scripts, the C library, and dpkg's database.
fn empty_root() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("debian-root");
    let _ = fs::remove_dir_all(&root);
    for folder in ["bin", "tmp", "var/cache/private", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let mut wanted: BTreeSet<PathBuf> = ["/bin/sh".into(), "/bin/rm".into()].into();
    for program in ["/bin/sh", "/bin/rm", env!("CARGO_BIN_EXE_legacy-websocket")] {
        let libraries = Command::new("ldd").arg(program).output().unwrap();
        let libraries = String::from_utf8(libraries.stdout).unwrap();
        wanted.extend(libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for file in wanted {
        let copy = root.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&file, copy).unwrap();
    }
    root
}

/// Everything but dpkg's own.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path == root.join("var/lib/dpkg") || path == root.join("var/log") || path == root.join("tmp") {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}

/// Dependencies are not checked: the root has them without dpkg's knowledge.
fn dpkg(root: &Path, arguments: &[&str]) {
    let mut dpkg = Command::new("dpkg");
    dpkg.arg("--root").arg(root).args(["--force-depends", "--log=/dev/null"]).args(arguments);
    let done = dpkg.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn verify_units(root: &Path) {
    let checked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-units");
    fs::create_dir_all(&checked).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in ["legacy-websocket.service", "legacy-websocket.socket", "legacy-websocket-gateway.service"] {
        let text = fs::read_to_string(root.join("usr/lib/systemd/system").join(unit)).unwrap();
        // It is not installed where systemd looks for programs.
        let installed = root.join("usr/bin/legacy-websocket");
        let text = text.replace("=legacy-websocket ", &format!("={} ", installed.display()));
        fs::write(checked.join(unit), text).unwrap();
        verify.arg(checked.join(unit));
    }
    let verified = verify.output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Other units of this machine may have faults of their own.
    assert!(verified.status.success() && !said.contains("legacy-websocket"), "{said}");
}

/// The installed program, as its unit runs it, but on ports that the system chooses.
fn in_root(root: &Path, arguments: &[&str]) -> Server {
    let mut program = Command::new("chroot");
    program.arg(root).arg("/usr/bin/legacy-websocket").args(arguments);
    program.args(["--listen", "127.0.0.1:0", "--metrics", "0"]);
    program.env("XDG_CACHE_HOME", "/tmp").env_remove("RUST_LOG");
    Server::start_command(program, 1)
}
