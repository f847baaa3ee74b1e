//! Reads components and worlds.

use std::path::Path;

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

/// Reads the world of a component.
pub(crate) fn decode(component: &[u8]) -> (Resolve, WorldId) {
    match wit_component::decode(component).expect("a component") {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("a WIT package is not a component"),
    }
}

/// Reads a world of the WIT package in a folder.
pub(crate) fn declared(folder: &str, name: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let (package, _) = resolve.push_dir(folder).expect("a package");
    let world = resolve.select_world(&[package], Some(name)).expect("the package has the world");
    (resolve, world)
}

/// Every function and resource of the items, as `interface: name`.
pub(crate) fn contents<'a>(resolve: &'a Resolve, items: impl Iterator<Item = &'a WorldItem>) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        match item {
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                let name = resolve.id_of(*id).unwrap_or_default();
                let resources = interface
                    .types
                    .iter()
                    .filter(|(_, id)| matches!(resolve.types[**id].kind, wit_parser::TypeDefKind::Resource));
                found.extend(resources.map(|(resource, _)| format!("{name}: resource {resource}")));
                found.extend(interface.functions.keys().map(|function| format!("{name}: {function}")));
            }
            WorldItem::Function(function) => found.push(function.name.clone()),
            WorldItem::Type { .. } => {}
        }
    }
    found.sort();
    found
}
