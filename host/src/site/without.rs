//! What stands for web applications without the feature `gateway`: a type without values.

#[derive(Debug)]
pub(crate) enum Site {}
