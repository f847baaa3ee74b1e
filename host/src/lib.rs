//! A native host for [`legacy_websocket`]: sockets and time by tokio, the protocol in a component on wasmtime.
//!
//! ```text
//!   sockets ─→ Connection ─ bytes ─→ Shell ─ turn ─→ Engine (component or native)
//!      ↑           ↑                   │ ←── step ──┘
//!      └─ writes ─ Outbox ←────────────┤ ─ events ─→ Application
//!                       transmissions  │ ← commands ┘
//! ```
//!
//! The program `legacy-websocket` is [`cli`]. To serve an application of your own from Rust:
//!
//! ```
//! use legacy_websocket_host::{
//!     Application, EngineFactory, EngineOptions, Server, ShellOptions, bind,
//!     wit::{Command, Event, Outgoing, Recipients},
//! };
//!
//! /// Tells everyone what anyone says.
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
//!     let stop = async { /* wait for what ends it */ };
//!     let give_up = tokio::time::sleep(std::time::Duration::from_secs(10));
//!     Ok::<_, Box<dyn std::error::Error>>(server.run(vec![listener], stop, give_up).await)
//! })?;
//! assert_eq!(totals.connections, 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

// What is shared with components says `alloc`.
extern crate alloc;

mod activity;
mod admin;
mod application;
mod arrival;
mod batch;
pub mod cli;
mod code_cache;
mod connection;
mod crew;
mod engine;
mod file;
mod generations;
mod listener;
mod log;
#[path = "../../component/server/src/log_rate_limiter.rs"]
mod log_rate_limiter;
mod metrics;
#[path = "../../component/server/src/names.rs"]
mod names;
mod options;
mod outbox;
mod peers;
#[path = "../../component/server/src/printable.rs"]
mod printable;
mod proxy;
mod queue_budget;
mod record;
mod relay;
mod sandbox;
mod server;
mod shell;
mod socket;
mod threads;
mod tls;
mod watch;
pub mod wit;
mod worker;

pub use admin::{AdminOptions, serve_admin};
pub use application::{
    Application, ApplicationError, ApplicationFactory, ApplicationLost, ApplicationOptions, TestPage,
};
pub use engine::{ComponentFactory, Engine, EngineError, EngineFactory, EngineLost};
pub use generations::StartError;
pub use listener::{Listener, bind};
pub use metrics::Totals;
pub use options::{EngineOptions, ShellOptions};
pub use record::{RecordOptions, Recorder};
pub use sandbox::Budget;
pub use server::{Observer, Server};
pub use tls::{Tls, TlsError};
