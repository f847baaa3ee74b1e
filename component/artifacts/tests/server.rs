//! Imports, exports and size of the component of world `server`.

mod support;

use legacy_websocket_artifacts::SERVER;
use support::{contents, declared, decode};

/// Strips the versions: the toolchain and the world use different patch releases of WASI 0.2.
fn names(contents: &[String]) -> Vec<String> {
    let mut names: Vec<_> = contents
        .iter()
        .map(|item| match item.split_once('@') {
            Some((interface, rest)) => {
                format!("{interface}{}", rest.split_once(':').map_or("", |(_, name)| name))
            }
            None => item.clone(),
        })
        .collect();
    names.sort();
    names
}

#[test]
fn it_imports_only_an_application_sockets_clocks_and_stdio() {
    let (component, world) = decode(SERVER);
    let imports = names(&contents(&component, component.worlds[world].imports.values()));
    let (wit, declared) = declared("server");
    let expected = names(&contents(&wit, wit.worlds[declared].imports.values()));
    let unexpected: Vec<_> = imports.iter().filter(|name| !expected.contains(name)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert!(imports.contains(&"hixie:legacy-websocket/handler handle".into()), "{imports:?}");
    let exports = contents(&component, component.worlds[world].exports.values());
    assert_eq!(exports, contents(&wit, wit.worlds[declared].exports.values()));
}

/// The server accepts connections but cannot open any.
#[test]
fn it_opens_no_connections() {
    let (component, world) = decode(SERVER);
    let imports = contents(&component, component.worlds[world].imports.values());
    let connects: Vec<_> = imports.iter().filter(|name| name.contains("connect")).collect();
    assert!(connects.is_empty(), "{connects:?}");
}

#[test]
fn it_is_small() {
    assert!(SERVER.len() < 380_000, "{} bytes", SERVER.len());
}
