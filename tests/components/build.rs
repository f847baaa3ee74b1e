//! Builds the components as `legacy-websocket-artifacts` builds its own.

#[path = "../../component/artifacts/build/components.rs"]
mod components;

use std::path::Path;
use std::process::ExitCode;

use components::{Component, build, env_var, write_constants};

const COMPONENTS: [Component; 8] = [
    Component {
        constant: "FAULTY_LIBRARY",
        package: "legacy-websocket-library",
        features: "faults",
        doc: "The engine with faults that a message calls for: for tests of what a host does when it traps.",
    },
    Component {
        constant: "BARE_ECHO_P3",
        package: "legacy-websocket-server",
        features: "bare",
        doc: "An echo of bytes for WASI 0.3, without engine and application: for benchmarks.",
    },
    Component {
        constant: "CHAT",
        package: "example-chat",
        features: "",
        doc: "`examples/applications/chat`: world `application`.",
    },
    Component {
        constant: "PUBLISH",
        package: "example-publish",
        features: "",
        doc: "`examples/applications/publish`: world `application`.",
    },
    Component {
        constant: "REQUIRE_COOKIE",
        package: "example-require-cookie",
        features: "",
        doc: "`examples/applications/require-cookie`: world `middleware`.",
    },
    Component {
        constant: "FAULTY_APPLICATION",
        package: "faulty-application",
        features: "",
        doc: "An application that fails when told: for tests of hosts.",
    },
    Component {
        constant: "SITE",
        package: "site",
        features: "",
        doc: "A web application, `wasi:http/handler@0.3.0`: for tests of hosts.",
    },
    Component { constant: "SITE_P2", package: "site", features: "wasi-0-2", doc: "The same for WASI 0.2." },
];

fn main() -> ExitCode {
    let built =
        env_var("CARGO_MANIFEST_DIR").and_then(|here| build(&Path::new(&here).join("../.."), &COMPONENTS));
    match built.and_then(|folder| write_constants(&COMPONENTS, &folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}
