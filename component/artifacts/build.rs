//! Builds the components from the workspace around this package. As a package from a registry it has them built, in
//! `prebuilt`, and builds them only if asked to.

#[path = "build/components.rs"]
mod components;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use components::{Component, build, env_var, write_constants};

/// A checkout of the repository to build the components from.
const SOURCE: &str = "LEGACY_WEBSOCKET_SOURCE";

const COMPONENTS: [Component; 5] = [
    Component {
        constant: "LIBRARY",
        package: "legacy-websocket-library",
        features: "",
        doc: "The engine: world `library`.",
    },
    Component {
        constant: "SERVER",
        package: "legacy-websocket-server",
        features: "",
        doc: "A server on wasi:sockets for an application: world `server`. To be composed with one.",
    },
    Component {
        constant: "SERVER_P3",
        package: "legacy-websocket-server",
        features: "wasi-0-3",
        doc: "The same for hosts of WASI 0.3: world `server` of `wit/p3`.",
    },
    Component {
        constant: "SERVER_P3_HTTP",
        package: "legacy-websocket-server",
        features: "http",
        doc: "The same with a component that serves HTTP beside the application: world `server-with-http` of `wit/p3`.",
    },
    Component {
        constant: "ECHO",
        package: "example-echo",
        features: "",
        doc: "An application that sends every message back: world `application`.",
    },
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={SOURCE}");
    match find_all().and_then(|folder| write_constants(&COMPONENTS, &folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn find_all() -> Result<PathBuf, String> {
    let package = PathBuf::from(env_var("CARGO_MANIFEST_DIR")?);
    if let Some(source) = env::var_os(SOURCE) {
        let source = PathBuf::from(source);
        if !source.is_absolute() {
            return Err(format!("{SOURCE}: {}: it is not an absolute path", source.display()));
        }
        check_version(&source).map_err(|why| format!("{SOURCE}: {}: {why}", source.display()))?;
        return build(&source, &COMPONENTS);
    }
    let root = package.join("../..");
    if package.ends_with("component/artifacts") && root.join("component/server/Cargo.toml").exists() {
        return build(&root, &COMPONENTS);
    }
    println!("cargo::rerun-if-changed=prebuilt");
    let prebuilt = package.join("prebuilt");
    match COMPONENTS.iter().find(|component| !prebuilt.join(component.file_name()).exists()) {
        None => Ok(prebuilt),
        Some(component) => Err(format!(
            "this package has no {}: packaging/build-crates in the repository makes packages with components",
            component.file_name()
        )),
    }
}

/// Host and components have to agree about the WIT package.
fn check_version(source: &Path) -> Result<(), String> {
    let manifest = fs::read_to_string(source.join("Cargo.toml")).map_err(|error| error.to_string())?;
    let ours = format!("version = \"{}\"", env_var("CARGO_PKG_VERSION")?);
    if manifest.lines().any(|line| line == ours) {
        return Ok(());
    }
    Err(format!("it is not a checkout of this package's version: its Cargo.toml has no line {ours}"))
}
