//! Imports, exports, size and instructions of the component of world `library`.

mod support;

use legacy_websocket_artifacts::LIBRARY;
use support::{contents, declared, decode};
use test_components::FAULTY_LIBRARY;
use wasmparser::{Parser, Payload};

#[test]
fn it_imports_no_function_and_no_resource() {
    for component in [LIBRARY, FAULTY_LIBRARY] {
        let (resolve, world) = decode(component);
        assert_eq!(contents(&resolve, resolve.worlds[world].imports.values()), Vec::<String>::new());
    }
}

#[test]
fn it_exports_its_world() {
    let (decoded, world) = decode(LIBRARY);
    let exports = contents(&decoded, decoded.worlds[world].exports.values());
    let (wit, world) = declared("wit", "library");
    let expected = contents(&wit, wit.worlds[world].exports.values());
    assert!(!expected.is_empty());
    assert_eq!(exports, expected);
}

#[test]
fn it_is_small() {
    assert!(LIBRARY.len() < 260_000, "{} bytes", LIBRARY.len());
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
