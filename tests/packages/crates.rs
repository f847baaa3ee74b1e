//! The packages for a registry: programs are built on nothing else, in an empty folder.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process};

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::{contains, frame};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The published crates.
const CRATES: [&str; 7] = [
    "legacy-websocket",
    "legacy-websocket-shell",
    "legacy-websocket-trace",
    "legacy-websocket-artifacts",
    "legacy-websocket-application",
    "legacy-websocket-wasi",
    "legacy-websocket-host",
];

/// Building takes minutes where it has not been done before.
pub(crate) fn asked_for() -> Result<PathBuf, String> {
    if ["CI", "TEST_INSTALL"].into_iter().all(|name| env::var_os(name).is_none()) {
        return Err("it builds for minutes; set TEST_INSTALL=1".into());
    }
    Ok(repository())
}

/// What is in several places is the same in all.
pub(crate) fn copies_are_the_same() {
    let wit = repository().join("wit");
    for copy in ["host/wit", "component/application/wit"] {
        let copy = repository().join(copy);
        for folder in ["", "deps"] {
            assert_eq!(texts(&wit.join(folder)), texts(&copy.join(folder)), "wit and {}", copy.display());
        }
    }
    for (name, text) in texts(&wit.join("p3/deps/legacy-websocket")) {
        assert_eq!(text, fs::read_to_string(wit.join(&name)).unwrap(), "wit/{name} and that of wit/p3");
    }
}

/// The names and contents of the WIT files in a folder.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let text = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(file).unwrap())
    };
    assert!(!files.is_empty(), "{}", folder.display());
    files.iter().map(text).collect()
}

/// As `docs/releasing.md` says, without a network.
pub(crate) fn wit_packages(wkg: &Path) {
    let folder = empty_folder("wit");
    // It writes a lock file, which would have the components built anew.
    let copied = Command::new("cp").arg("-r").arg(repository().join("wit")).arg(&folder).status().unwrap();
    assert!(copied.success());
    for (wit, name) in [("wit", "hixie:legacy-websocket"), ("wit/p3", "hixie:legacy-websocket-p3")] {
        let output = folder.join("package.wasm");
        let mut build = Command::new(wkg);
        build.args(["wit", "build", "--wit-dir", ".", "--output"]).arg(&output);
        // Nothing answers there.
        build.env("HTTPS_PROXY", "http://127.0.0.1:1").env("XDG_CACHE_HOME", folder.join("cache"));
        let built = build.current_dir(folder.join(wit)).output().unwrap();
        assert!(built.status.success(), "{wit}: {}", String::from_utf8_lossy(&built.stderr));
        assert!(contains(&fs::read(&output).unwrap(), name.as_bytes()), "{wit}");
    }
    let _ = fs::remove_dir_all(folder);
}

/// Programs on the packages, and the program in one of them, serve clients.
pub(crate) fn programs(_: &Path) {
    let packages = packages();
    let folder = empty_folder("programs");
    copy_programs(&folder, &packages);

    cargo(&folder, &["run", "--release", "--package", "packaged-native"]);
    cargo(&folder, &["build", "--release", "--package", "packaged-server"]);
    let mut server = Command::new(built("release/packaged-server"));
    server.stdin(Stdio::null());
    echoes(&Server::start_command(server, 1));

    build_host(&packages.join(format!("legacy-websocket-host-{VERSION}")), &packages);
    let application = new_application(&folder, &packages);
    let mut program = Command::new(built("release/legacy-websocket"));
    program.arg("serve").arg(application).args(["--listen", "127.0.0.1:0"]).env_remove("RUST_LOG");
    Client::open76(Server::start_command(program, 1).address()).expect(&frame("* What is your name?"));
    for folder in [&packages, &folder] {
        fs::remove_dir_all(folder).unwrap();
    }
}

/// What the packaged program's `new` writes, tested and built on the packaged crate.
fn new_application(folder: &Path, packages: &Path) -> PathBuf {
    let new = Command::new(built("release/legacy-websocket"))
        .args(["new", "tea-room"])
        .current_dir(folder)
        .output();
    let new = new.unwrap();
    assert!(new.status.success(), "{}", String::from_utf8_lossy(&new.stderr));
    let written = folder.join("tea-room");
    let manifest = fs::read_to_string(written.join("Cargo.toml")).unwrap();
    fs::write(written.join("Cargo.toml"), [&manifest, "\n", PROFILE, &patches(packages)].concat()).unwrap();
    copy_lock(&written);
    cargo(&written, &["test", "--release"]);
    cargo(&written, &["build", "--release", "--target", "wasm32-wasip2"]);
    built("wasm32-wasip2/release/tea_room.wasm")
}

/// Makes the packages, and unpacks them as cargo does.
fn packages() -> PathBuf {
    let mut make = Command::new(repository().join("packaging/build-crates"));
    // As `cargo` by itself: the variables of the cargo that runs this test name another package.
    let made = make.arg("--allow-dirty").env("CARGO_TARGET_DIR", target()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let unpacked = empty_folder("packages");
    for name in CRATES {
        let package = target().join(format!("package/{name}-{VERSION}.crate"));
        let tar = Command::new("tar").arg("-xzf").arg(&package).arg("-C").arg(&unpacked).status().unwrap();
        assert!(tar.success(), "{}", package.display());
        has_readme_and_licences(&unpacked.join(format!("{name}-{VERSION}")));
    }
    unpacked
}

fn has_readme_and_licences(package: &Path) {
    assert!(package.join("README.md").exists(), "{}", package.display());
    for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let ours = fs::read(repository().join(file)).unwrap();
        assert_eq!(fs::read(package.join(file)).ok(), Some(ours), "{} of {}", file, package.display());
    }
}

fn copy_programs(folder: &Path, packages: &Path) {
    for (name, source, manifest) in
        [("native", "main.rs", "[dependencies]\nlegacy-websocket = '0.1'\n"), ("server", "main.rs", SERVER)]
    {
        let package = folder.join(name);
        fs::create_dir_all(package.join("src")).unwrap();
        let text = repository().join("tests/packages").join(name).with_extension("rs");
        fs::copy(text, package.join("src").join(source)).unwrap();
        let mut manifest = format!("[package]\nname = 'packaged-{name}'\nedition = '2024'\n{manifest}");
        if name == "server" {
            manifest.push_str(&same_wasmtime());
        }
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
    }
    let workspace = "[workspace]\nresolver = '3'\nmembers = ['native', 'server']\n";
    fs::write(folder.join("Cargo.toml"), [workspace, PROFILE, &patches(packages)].concat()).unwrap();
    copy_lock(folder);
}

const SERVER: &str = "[dependencies]\nlegacy-websocket-host = { version = '0.1', default-features = false }\n\
    tokio = { version = '1', features = ['macros', 'rt'] }\n";

/// That of the workspace, so that dependencies are built once.
const PROFILE: &str = "[profile.release]\nstrip = 'debuginfo'\n";

/// What makes `examples/embed` share a build of wasmtime with the host.
fn same_wasmtime() -> String {
    let manifest = fs::read_to_string(repository().join("examples/embed/Cargo.toml")).unwrap();
    let (_, same) = manifest.split_once("# Your own program needs none of the following").unwrap();
    let same = same.split_once('\n').unwrap().1;
    let (same, _) = same.split_once("[lints]").unwrap();
    same.to_owned()
}

/// The packages in place of those of a registry.
fn patches(packages: &Path) -> String {
    let patch = |name| format!("{name} = {{ path = {:?} }}\n", packages.join(format!("{name}-{VERSION}")));
    "[patch.crates-io]\n".to_owned() + &CRATES.map(patch).concat()
}

/// The versions that are built already.
fn copy_lock(folder: &Path) {
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

/// Builds the program as `cargo install` does, with a compiler that has no target for WebAssembly.
fn build_host(host: &Path, packages: &Path) {
    let manifest = fs::read_to_string(host.join("Cargo.toml")).unwrap();
    fs::write(host.join("Cargo.toml"), [&manifest, "\n[workspace]\n", PROFILE, &patches(packages)].concat())
        .unwrap();
    copy_lock(host);
    let rustc = host.join("rustc-without-target");
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    fs::write(&rustc, format!("#!/bin/sh\ncase $* in *wasm32*) exit 1;; esac\nexec {compiler} \"$@\"\n"))
        .unwrap();
    fs::set_permissions(&rustc, Permissions::from_mode(0o755)).unwrap();
    let rustc = format!("build.rustc = {rustc:?}");
    cargo(host, &["build", "--release", "--bins", "--config", &rustc]);
}

/// Runs cargo on what is built already of the workspace's dependencies.
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(arguments);
    // What is between is the workspace's; what comes out is not, for it has a program of the same name.
    cargo.env("CARGO_BUILD_BUILD_DIR", target()).env("CARGO_TARGET_DIR", built(""));
    let done = cargo.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "cargo {}:\n{said}", arguments.join(" "));
    // .ci/run has built it. It takes minutes.
    let again = env::var_os("CI").is_some() && said.contains("Compiling wasmtime v");
    assert!(!again, "cargo {} compiled wasmtime once more:\n{said}", arguments.join(" "));
}

#[track_caller]
pub(crate) fn echoes(server: &Server) {
    let mut client = Client::open76(server.address());
    client.echo("packaged");
    client.close76();
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn built(path: &str) -> PathBuf {
    target().join("packaged").join(path)
}

/// Outside of the repository.
pub(crate) fn empty_folder(name: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("legacy-websocket-{name}-{}", process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}
