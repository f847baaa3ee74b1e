//! The component that serves HTTP: `wasi:http/handler`.

mod call;
mod exchange;
mod request;
mod upload;

pub(crate) use self::exchange::{Answer, Exchange, Failed, Progress};
