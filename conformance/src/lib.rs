//! The conformance suite for draft-hixie-thewebsocketprotocol-75 and -76 (hybi-00), hybi-07 to -12, and RFC 6455: a
//! corpus of traces, the expected outcome of each, and runners that check a build of our engine, or any server, against
//! it.
//!
//! `README.md` beside this crate specifies the corpus for other implementations.

pub mod bless;
pub mod check;
mod chunking;
pub mod cli;
pub mod client;
pub mod corpus;
pub mod expectation;
pub mod known;
mod plan;
pub mod replay;
pub mod report;
pub mod requirements;
pub mod settings;
pub mod subject;
mod transcript;

pub use chunking::Chunkings;
pub use plan::Chunking;
