//! What wit-bindgen makes of the WIT package's types, once for all components.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_debug_implementations,
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package hixie:legacy-websocket-guest;
        world types {
            import hixie:legacy-websocket/types@0.2.0;
        }
    ",
    world: "hixie:legacy-websocket-guest/types",
    generate_all,
});
