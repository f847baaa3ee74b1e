//! todo
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod challenge;
mod connection;
mod shared;
mod error;
mod event;
mod frame;
mod handshake;
mod head;
mod http;
mod location;
mod options;
mod server;
mod text;

pub use crate::connection::Connection;
pub use crate::shared::Counts;
pub use crate::error::{FrameError, InvalidOptions, MalformedHead, MalformedKey, Misuse, Refusal};
pub use crate::event::{
    CloseCause, ConnectionId, Destination, Disposition, Draft, Event, Loss, Peer, Recipients, State,
    Transmission, Undelivered,
};
pub use crate::handshake::LaterProtocol;
pub use crate::head::Head;
pub use crate::options::{InvalidUtf8, Limits, Millis, Options, Version};
pub use crate::server::{Events, Server};
