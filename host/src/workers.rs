//! The threads of a server, and their messages.

mod activity;
pub(crate) mod context;
pub(crate) mod external;
pub(crate) mod forward;
pub(crate) mod forwarded;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod pool;
pub(crate) mod threads;
pub(crate) mod worker;
