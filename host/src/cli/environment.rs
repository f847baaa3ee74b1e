//! Environment variables for components.

use std::env;

/// A name and its value; the value of a name alone is that in this process.
pub(super) fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.into()),
        None => (text, env::var(text).map_err(|error| error.to_string())?),
    };
    let is_one = !name.is_empty() && !text.contains('\0');
    if is_one { Ok((name.into(), value)) } else { Err("must be NAME or NAME=VALUE".into()) }
}
