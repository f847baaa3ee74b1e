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
    world: "server",
    with: { "hixie:legacy-websocket/types@0.1.0": legacy_websocket_guest::types },
    generate_all,
});

use super::Component;
export!(Component);
