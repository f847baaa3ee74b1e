//! Builds the components with a cargo of their own and writes constants with their paths.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";

/// Constant, package, features, what it is.
const COMPONENTS: [(&str, &str, &str, &str); 11] = [
    ("LIBRARY", "legacy-websocket-library", "", "The engine: world `library`."),
    (
        "FAULTY_LIBRARY",
        "legacy-websocket-library",
        "faults",
        "The engine with faults that a message calls for: for tests of what a host does when it traps.",
    ),
    (
        "SERVER",
        "legacy-websocket-server",
        "",
        "A server on wasi:sockets for an application: world `server`. To be composed with one.",
    ),
    (
        "SERVER_P3",
        "legacy-websocket-server",
        "wasi-0-3",
        "The same for hosts of WASI 0.3: world `server` of `wit/p3`.",
    ),
    (
        "SERVER_P3_HTTP",
        "legacy-websocket-server",
        "http",
        "The same with a component that serves HTTP beside the application: world `server-with-http` of `wit/p3`.",
    ),
    (
        "BARE_ECHO_P3",
        "legacy-websocket-server",
        "bare",
        "An echo of bytes for WASI 0.3, without engine and application: for benchmarks.",
    ),
    ("ECHO", "example-echo", "", "`examples/applications/echo`: world `application`."),
    ("CHAT", "example-chat", "", "`examples/applications/chat`: world `application`."),
    ("PUBLISH", "example-publish", "", "`examples/applications/publish`: world `application`."),
    (
        "REQUIRE_COOKIE",
        "example-require-cookie",
        "",
        "`examples/applications/require-cookie`: world `middleware`.",
    ),
    (
        "FAULTY_APPLICATION",
        "faulty-application",
        "",
        "An application that fails when told: for tests of hosts.",
    ),
];

fn main() -> ExitCode {
    match build_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn build_all() -> Result<(), String> {
    let root = PathBuf::from(env_var("CARGO_MANIFEST_DIR")?).join("../..");
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let out = PathBuf::from(env_var("OUT_DIR")?);
    if !has_target() {
        return Err(format!(
            "the {TARGET} target is not installed for this Rust: run ./setup in the repository"
        ));
    }
    for watched in [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "wit",
        "component",
        "examples/applications",
        "tests/applications",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let mut constants = String::new();
    for (name, package, features, doc) in COMPONENTS {
        let built = build(&root, &out, package, features)?;
        let kept = out.join(format!("{name}.wasm"));
        fs::copy(&built, &kept).map_err(|error| format!("{}: {error}", built.display()))?;
        constants.push_str(&format!("/// {doc}\npub const {name}: &[u8] = include_bytes!({kept:?});\n"));
    }
    fs::write(out.join("constants.rs"), constants).map_err(|error| error.to_string())
}

fn build(root: &Path, out: &Path, package: &str, features: &str) -> Result<PathBuf, String> {
    let target_dir = out.join("target");
    let status = Command::new(env_var("CARGO")?)
        .current_dir(root)
        .args(["build", "--locked", "--quiet", "--target", TARGET, "--profile", "component"])
        .args(["--package", package, "--features", features])
        .arg("--target-dir")
        .arg(&target_dir)
        // Where that is set it is the outer build's, which is locked.
        .env("CARGO_BUILD_BUILD_DIR", &target_dir)
        // The outer build's flags are for the outer target.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("building {package} for {TARGET} failed"));
    }
    Ok(target_dir.join(TARGET).join("component").join(package.replace('-', "_")).with_extension("wasm"))
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

fn env_var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
