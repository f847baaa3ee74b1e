//! The protocol engine: one small trait, two builds behind it.

pub(crate) mod api;
mod component;
mod factory;
mod native;

pub use self::api::{Engine, EngineError, EngineLost};
pub use self::component::ComponentFactory;
pub use self::factory::EngineFactory;
