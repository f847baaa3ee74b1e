//! Builds components of the workspace with a cargo of their own, the same wherever the checkout is.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const TARGET: &str = "wasm32-wasip2";

/// The folder for what is built on the way, set by `.cargo/config.toml`: one for all builds of a checkout.
const BUILD_DIR: &str = "LEGACY_WEBSOCKET_BUILD_DIR";

/// A component to be built.
#[derive(Clone, Copy)]
pub(crate) struct Component {
    pub(crate) constant: &'static str,
    pub(crate) package: &'static str,
    pub(crate) features: &'static str,
    pub(crate) doc: &'static str,
}

impl Component {
    pub(crate) fn file_name(&self) -> String {
        format!("{}.wasm", self.constant.to_lowercase().replace('_', "-"))
    }
}

/// Writes constants with the bytes of files in a folder.
pub(crate) fn write_constants(components: &[Component], folder: &Path) -> Result<(), String> {
    let mut constants = String::new();
    for component in components {
        let (name, doc) = (component.constant, component.doc);
        let path = folder.join(component.file_name());
        constants.push_str(&format!("/// {doc}\npub const {name}: &[u8] = include_bytes!({path:?});\n"));
    }
    fs::write(out_dir()?.join("constants.rs"), constants).map_err(|error| error.to_string())
}

/// Builds components from a checkout; returns the folder with their files.
pub(crate) fn build(root: &Path, components: &[Component]) -> Result<PathBuf, String> {
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    if !has_target() {
        return Err(format!(
            "the {TARGET} target is not installed for {}: ./setup in the repository installs it for the Rust that \
             rust-toolchain.toml there names; build with that one (cargo +VERSION)",
            env::var("RUSTC").unwrap_or_else(|_| "rustc".into())
        ));
    }
    for watched in [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "wit",
        "component/application",
        "component/engine",
        "component/guest",
        "component/library",
        "component/server",
        "component/shell",
        "examples/applications",
        "tests/applications",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let out = out_dir()?;
    let shared = env::var_os(BUILD_DIR).filter(|folder| !folder.is_empty());
    let target_dir = shared.map_or_else(|| out.join("target"), PathBuf::from);
    // Components of one package have the same file.
    let _lock = lock(&target_dir).map_err(|error| format!("{}: {error}", target_dir.display()))?;
    let kept = out.join("components");
    fs::create_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    for component in components {
        let built = build_one(&root, &target_dir, component)?;
        let kept = kept.join(component.file_name());
        fs::copy(&built, &kept).map_err(|error| format!("{}: {error}", built.display()))?;
    }
    Ok(kept)
}

fn lock(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn build_one(root: &Path, target_dir: &Path, component: &Component) -> Result<PathBuf, String> {
    let package = component.package;
    let status = Command::new(env_var("CARGO")?)
        .current_dir(root)
        .args(["build", "--locked", "--quiet", "--target", TARGET, "--profile", "component"])
        .args(["--package", package, "--features", component.features])
        .arg("--config")
        .arg(format!("target.{TARGET}.rustflags = {:?}", without_paths(target_dir)))
        .arg("--target-dir")
        .arg(target_dir)
        // Where that is set it is the outer build's, which is locked.
        .env("CARGO_BUILD_BUILD_DIR", target_dir)
        // The outer build's flags are for the outer target, and would replace those of the workspace.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("building {package} for {TARGET} failed"));
    }
    Ok(target_dir.join(TARGET).join("component").join(package.replace('-', "_")).with_extension("wasm"))
}

/// Flags that keep this machine's paths out of the components: the messages of panics have them.
fn without_paths(target_dir: &Path) -> Vec<String> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![remap(target_dir, "target")];
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| {
        Some(PathBuf::from(env::var_os("HOME").or_else(|| env::var_os("USERPROFILE"))?).join(".cargo"))
    });
    // A folder for each registry.
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    flags.extend(registries.into_iter().flatten().flatten().map(|registry| remap(&registry.path(), "")));
    flags
}

/// Whether the compiler that builds us has the target's standard library.
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(asked) = asked else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let Ok(files) = fs::read_dir(folder) else { return false };
    files.flatten().any(|file| file.path().extension() == Some(OsStr::new("rlib")))
}

pub(crate) fn env_var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn out_dir() -> Result<PathBuf, String> {
    Ok(PathBuf::from(env_var("OUT_DIR")?))
}
