//! Where components run: the sandbox, the cache of compiled code, and their types beside the engine's.

pub(crate) mod bindings;
mod code_cache;
pub(crate) mod handler_types;
pub(crate) mod library_types;
pub(crate) mod sandbox;
