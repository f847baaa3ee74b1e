//! Settings of traces as options of the engine.

use legacy_websocket::{InvalidUtf8, Options, Version};
use legacy_websocket_trace::Setting;
use thiserror::Error;

/// A setting that no server can be given.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no such setting: {0}")]
pub struct UnknownSetting(Setting);

/// The engine's options with these settings.
///
/// # Errors
/// [`UnknownSetting`] names the first that is none.
pub fn options(settings: &[Setting]) -> Result<Options, UnknownSetting> {
    let mut options = Options::default();
    for setting in settings {
        apply(&mut options, setting).ok_or_else(|| UnknownSetting(setting.clone()))?;
    }
    Ok(options)
}

/// The settings with one of them put in the place of its namesake, or added.
#[must_use]
pub fn with_variant(settings: &[Setting], variant: &Setting) -> Vec<Setting> {
    let others = settings.iter().filter(|setting| setting.name != variant.name);
    others.chain([variant]).cloned().collect()
}

fn apply(options: &mut Options, Setting { name, value }: &Setting) -> Option<()> {
    let limits = &mut options.limits;
    match (name.as_str(), value.as_str()) {
        ("version", "draft75") => options.version = Version::Draft75,
        ("version", "draft76") => options.version = Version::Draft76,
        ("origin", value) => options.origins.push(some(value)?.into()),
        ("host", value) => options.hosts.push(some(value)?.into()),
        ("subprotocol", value) => options.subprotocols.push(some(value)?.into()),
        ("public-url", value) => options.public_url = Some(some(value)?.into()),
        ("flash-policy", value) => options.flash_policy = Some(some(value)?.into()),
        ("health-path", value) => options.health_path = Some(some(value)?.into()),
        ("trust-forwarded", "") => options.trust_forwarded = true,
        ("authorise", "") => options.authorise = true,
        ("skip-reserved-frames", "") => options.skip_reserved_frames = true,
        ("invalid-utf8", "replace") => options.invalid_utf8 = InvalidUtf8::Replace,
        ("invalid-utf8", "close") => options.invalid_utf8 = InvalidUtf8::Close,
        ("max-head-bytes", value) => limits.max_head_bytes = value.parse().ok()?,
        ("max-fields", value) => limits.max_fields = value.parse().ok()?,
        ("max-message-bytes", value) => limits.max_message_bytes = value.parse().ok()?,
        ("handshake-timeout", value) => limits.handshake_timeout = seconds(value)?,
        ("idle-timeout", value) => limits.idle_timeout = seconds(value)?,
        ("message-timeout", value) => limits.message_timeout = seconds(value)?,
        ("close-timeout", value) => limits.close_timeout = seconds(value)?,
        _ => return None,
    }
    Some(())
}

fn some(value: &str) -> Option<&str> {
    Some(value).filter(|value| !value.is_empty())
}

/// `10s` in milliseconds.
fn seconds(value: &str) -> Option<u64> {
    value.strip_suffix('s')?.parse::<u64>().ok()?.checked_mul(1000)
}
