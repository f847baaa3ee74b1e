//! Tests without a server, over the real engine.
