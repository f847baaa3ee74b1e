//! The protocol engine: one small trait with two implementations.

pub(crate) mod api;
mod component;
mod factory;
mod native;

pub use self::api::{Engine, EngineError, EngineLost};
pub use self::component::ComponentFactory;
pub use self::factory::EngineFactory;
