//! Applications: they take events and return commands.

pub(crate) mod api;
mod component;
mod handler;
mod page;
mod wasi;
pub(crate) mod watch;

pub use self::api::{Application, ApplicationError, ApplicationLost, ApplicationOptions};
pub use self::component::ApplicationFactory;
pub(crate) use self::handler::{Handler, Program};
pub use self::page::TestPage;
