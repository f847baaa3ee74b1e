//! What wit-bindgen makes of the WIT package.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_debug_implementations,
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    reason = "generated; the component ABI is pointers and lengths"
)]

wit_bindgen::generate!({
    path: "../../wit",
    // The adapter speaks the types of `legacy-websocket`. Nothing of it is called, so nothing is imported.
    inline: "
        package hixie:legacy-websocket-server;
        world shell {
            include hixie:legacy-websocket/server@0.1.0;
            import hixie:legacy-websocket/legacy-websocket@0.1.0;
        }
    ",
    world: "hixie:legacy-websocket-server/shell",
    generate_all,
});

use super::Component;
export!(Component);
