//! The names that the adapter knows the WIT package's types by.
pub(crate) use crate::bindings::hixie::legacy_websocket::legacy_websocket::{
    Counts, Destination, Disposition, Input, InvalidUtf8, Limits, Loss, Lost, Opened, Options, Read,
    Received, Status, Step, Transmission, Version,
};
pub(crate) use crate::bindings::hixie::legacy_websocket::types::{
    Acceptance, CloseCause, Closed, Command, CommandKind, Connected, Draft, Event, Failed, Failure, Field,
    Handshake, Messages, Outgoing, Recipients, Rejection, Request, RequestHead, State, StateChange,
};
