//! A web application that answers as its path tells it to; empty for other targets:
//!
//! - `/` with the request: method, scheme, authority and fields; `/count` with the number of requests so far;
//! - `/echo` with the request's body, as it comes; `/bytes/N` with N bytes; `/events` with events for ever;
//! - `/env/NAME` with an environment variable; `/print/TEXT` after it has printed TEXT; `/after/TEXT` before;
//! - `/trap`, `/spin`, `/grow`, `/wait`, `/error` not at all; `/cut` with half a response.
#![cfg(target_arch = "wasm32")]

mod answers;
#[cfg(feature = "wasi-0-2")]
mod wasi_0_2;
#[cfg(not(feature = "wasi-0-2"))]
mod wasi_0_3;
