//! Imports, exports and size of the components of the worlds `server`.

mod support;

use legacy_websocket_artifacts::{SERVER, SERVER_P3, SERVER_P3_HTTP};
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

/// Folder of the WIT package, world, component, and its greatest size in bytes.
const WORLDS: [(&str, &str, &[u8], usize); 3] = [
    ("wit", "server", SERVER, 380_000),
    ("wit/p3", "server", SERVER_P3, 380_000),
    ("wit/p3", "server-with-http", SERVER_P3_HTTP, 470_000),
];

#[test]
fn it_imports_only_an_application_sockets_clocks_and_stdio() {
    for (folder, name, server, _) in WORLDS {
        let (component, world) = decode(server);
        let imports = names(&contents(&component, component.worlds[world].imports.values()));
        let (wit, declared) = declared(folder, name);
        let expected = names(&contents(&wit, wit.worlds[declared].imports.values()));
        let unexpected: Vec<_> = imports.iter().filter(|name| !expected.contains(name)).collect();
        assert!(unexpected.is_empty(), "{folder}: {unexpected:?}");
        assert!(imports.contains(&"hixie:legacy-websocket/handler handle".into()), "{folder}: {imports:?}");
        let exports = contents(&component, component.worlds[world].exports.values());
        assert_eq!(exports, contents(&wit, wit.worlds[declared].exports.values()), "{folder}");
    }
}

/// The server accepts connections but cannot open any.
#[test]
fn it_opens_no_connections() {
    for (_, name, server, _) in WORLDS {
        let (component, world) = decode(server);
        let imports = contents(&component, component.worlds[world].imports.values());
        let connects: Vec<_> = imports.iter().filter(|name| name.contains("connect")).collect();
        assert!(connects.is_empty(), "{name}: {connects:?}");
    }
}

#[test]
fn it_is_small() {
    for (_, name, server, limit) in WORLDS {
        assert!(server.len() < limit, "{name}: {} bytes", server.len());
    }
}
