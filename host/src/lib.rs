//! A native host for [`legacy_websocket`]: sockets and time from tokio, the protocol in a component on wasmtime.
//!
//! ```text
//!   sockets ─→ Connection ─ bytes ─→ Shell ─ turn ─→ Engine (component or native)
//!      ↑           ↑                   │ ←── step ──┘
//!      └─ writes ─ ConnectionIo ←──────┤ ─ events ─→ Application
//!                       transmissions  │ ← commands ┘
//! ```
//!
//! The program `legacy-websocket` is module `cli`. To serve your own application from Rust:
//!
//! ```
//! use legacy_websocket_host::{
//!     Application, EngineFactory, EngineOptions, Server, ShellOptions, bind,
//!     step::{Command, Event, Outgoing, Recipients},
//! };
//!
//! /// Broadcasts every message to everyone.
//! #[derive(Debug)]
//! struct Chat;
//!
//! impl Application for Chat {
//!     fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
//!         let answer = |event: &'a Event| match event {
//!             Event::Messages(said) => {
//!                 Some(Command::Send(Outgoing { to: Recipients::All, text: &said.text, ends: &said.ends }))
//!             }
//!             _ => None,
//!         };
//!         events.iter().filter_map(answer).collect()
//!     }
//! }
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let totals = runtime.block_on(async {
//!     let options = EngineOptions::default();
//!     let server = Server::new(EngineFactory::Native, options, ShellOptions::default(), || Box::new(Chat))?;
//!     let listener = bind("127.0.0.1:0".parse()?)?;
//!     println!("listening on ws://{}/", listener.local_addr()?);
//!     let stop = async { /* wait for a reason to stop */ };
//!     let give_up = tokio::time::sleep(std::time::Duration::from_secs(10));
//!     Ok::<_, Box<dyn std::error::Error>>(server.run(vec![listener], stop, give_up).await)
//! })?;
//! assert_eq!(totals.connections, 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! All are on by default.
//!
//! - `cli`: the program and module `cli`. It needs the others.
//! - `gateway`: `Server::gateway`, for backends that speak RFC 6455.
//! - `tls`: `Tls`, for listeners with TLS.
//! - `admin`: `serve_admin`, metrics for Prometheus and a status page.
//! - `record`: `Recorder`, which writes each connection as a trace.
#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        unused_variables,
        reason = "what only the program or another feature uses"
    )
)]

mod accept;
mod application;
#[cfg(feature = "cli")]
pub mod cli;
mod connection;
mod engine;
mod file;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(not(feature = "gateway"))]
#[path = "gateway/without.rs"]
mod gateway;
mod handle;
mod observe;
mod options;
#[cfg(feature = "record")]
mod record;
mod server;
mod shell;
#[cfg(feature = "gateway")]
mod site;
#[cfg(not(feature = "gateway"))]
#[path = "site/without.rs"]
mod site;
mod start_error;
mod wasm;
mod workers;

pub use accept::bind::bind;
pub use accept::listener::Listener;
#[cfg(feature = "tls")]
pub use accept::tls::{Tls, TlsError};
pub use application::{
    Application, ApplicationError, ApplicationFactory, ApplicationLost, ApplicationOptions, TestPage,
};
pub use engine::{ComponentFactory, Engine, EngineError, EngineFactory, EngineLost};
#[cfg(feature = "gateway")]
pub use gateway::{Binary, GatewayError, GatewayOptions, RouteOptions, Target};
pub use handle::{Delivery, Handle};
pub use legacy_websocket::{Limits, Options as EngineOptions, step};
#[cfg(feature = "admin")]
pub use observe::admin::{AdminOptions, serve_admin};
pub use observe::metrics::Totals;
pub use options::ShellOptions;
#[cfg(feature = "record")]
pub use record::{RecordOptions, Recorder};
pub use server::{Observer, Server};
pub use start_error::StartError;
pub use wasm::sandbox::{Budget, CallError};

/// Its examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
