//! What the finished component is, seen from outside.

use std::path::Path;

use legacy_websocket_artifacts::{FAULTY_LIBRARY, LIBRARY};
use wasmparser::{Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem};

/// World `library` as the component has it.
fn decode(component: &[u8]) -> (Resolve, WorldId) {
    match wit_component::decode(component).expect("a component") {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("a WIT package is no component"),
    }
}

/// Every function and resource of the items, as `interface: name`.
fn contents<'a>(resolve: &'a Resolve, items: impl Iterator<Item = &'a WorldItem>) -> Vec<String> {
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

#[test]
fn it_imports_no_function_and_no_resource() {
    for component in [LIBRARY, FAULTY_LIBRARY] {
        let (resolve, world) = decode(component);
        assert_eq!(contents(&resolve, resolve.worlds[world].imports.values()), Vec::<String>::new());
    }
}

#[test]
fn it_exports_what_the_world_says() {
    let (decoded, world) = decode(LIBRARY);
    let exports = contents(&decoded, decoded.worlds[world].exports.values());
    let mut declared = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = declared.push_dir(folder).expect("wit/ is a package");
    let world = declared.select_world(&[package], Some("library")).expect("world `library`");
    let expected = contents(&declared, declared.worlds[world].exports.values());
    assert!(!expected.is_empty());
    assert_eq!(exports, expected);
}

#[test]
fn it_is_small() {
    assert!(LIBRARY.len() < 150_000, "{} bytes", LIBRARY.len());
}

#[test]
fn it_searches_and_validates_with_simd() {
    let mut vector_instructions = 0;
    for payload in Parser::new(0).parse_all(LIBRARY) {
        if let Payload::CodeSectionEntry(body) = payload.expect("well-formed") {
            let operators = body.get_operators_reader().expect("operators").into_iter();
            let names = operators.map(|operator| format!("{:?}", operator.expect("an operator")));
            vector_instructions += names.filter(|name| name.starts_with("I8x16")).count();
        }
    }
    assert!(vector_instructions > 0);
}
