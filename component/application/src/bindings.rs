//! What wit-bindgen makes of world `application`.
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
    world: "application",
    pub_export_macro: true,
});
