//! What wit-bindgen makes of the WIT package.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    reason = "generated; the component ABI is pointers and lengths"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "library",
    with: { "hixie:legacy-websocket/types@0.2.0": legacy_websocket_guest::types },
});

use super::Component;
export!(Component);
