//! Where components run: the sandbox, and the cache of compiled code.

mod code_cache;
pub(crate) mod sandbox;
