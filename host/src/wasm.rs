//! Running components: the sandbox, the cache of compiled code, and conversions between their types and the engine's.

pub(crate) mod bindings;
mod code_cache;
pub(crate) mod handler_types;
pub(crate) mod library_types;
pub(crate) mod sandbox;
