//! The conformance suite for draft-hixie-thewebsocketprotocol-75 and -76.

pub mod report;
