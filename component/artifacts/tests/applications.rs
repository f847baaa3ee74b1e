//! Imports and exports of the example applications.

mod support;

use legacy_websocket_artifacts::ECHO;
use support::{contents, declared, decode};
use test_components::{CHAT, FAULTY_APPLICATION, PUBLISH, REQUIRE_COOKIE};
use wit_parser::{Resolve, WorldId};

const APPLICATIONS: [&[u8]; 4] = [ECHO, CHAT, PUBLISH, FAULTY_APPLICATION];

/// What Rust's standard library always imports: no network, no files, no clock.
const STANDARD_LIBRARY: [&str; 4] =
    ["wasi:cli/", "wasi:io/", "wasi:random/insecure-seed@", "wasi:random/random@"];

fn imports(resolve: &Resolve, world: WorldId) -> Vec<String> {
    contents(resolve, resolve.worlds[world].imports.values())
}

fn exports(resolve: &Resolve, world: WorldId) -> Vec<String> {
    contents(resolve, resolve.worlds[world].exports.values())
}

/// Imports beyond the standard library's.
fn own_imports(component: &[u8]) -> Vec<String> {
    let (resolve, world) = decode(component);
    let is_own = |import: &String| !STANDARD_LIBRARY.iter().any(|library| import.starts_with(library));
    imports(&resolve, world).into_iter().filter(is_own).collect()
}

fn assert_exports(component: &[u8], world: &str) {
    let (declared, declared_world) = declared("wit", world);
    let (resolve, decoded_world) = decode(component);
    let expected = exports(&declared, declared_world);
    assert!(!expected.is_empty());
    assert_eq!(exports(&resolve, decoded_world), expected);
}

#[test]
fn applications_implement_their_world() {
    for application in APPLICATIONS {
        assert_exports(application, "application");
    }
}

#[test]
fn applications_import_only_the_standard_library() {
    let (world, id) = declared("wit", "application");
    assert_eq!(imports(&world, id), Vec::<String>::new());
    for application in APPLICATIONS {
        assert_eq!(own_imports(application), Vec::<String>::new());
    }
}

#[test]
fn a_middleware_implements_its_world() {
    assert_exports(REQUIRE_COOKIE, "middleware");
}

#[test]
fn a_middleware_imports_its_world() {
    let (world, id) = declared("wit", "middleware");
    let expected = imports(&world, id);
    assert!(!expected.is_empty());
    assert_eq!(own_imports(REQUIRE_COOKIE), expected);
}
