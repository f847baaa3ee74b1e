//! Converts the settings of traces to options of the engine.

use legacy_websocket::Options;
use legacy_websocket_shell::{InvalidValue, Settings};
use legacy_websocket_trace::Setting;
use thiserror::Error;

/// An invalid setting.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("setting {setting}: {reason}")]
#[non_exhaustive]
pub struct InvalidSetting {
    /// The setting as written.
    pub setting: Setting,
    /// The problem.
    pub reason: InvalidValue,
}

/// The engine's options with these settings.
///
/// # Errors
/// [`InvalidSetting`] names the first invalid one.
pub fn options(settings: &[Setting]) -> Result<Options, InvalidSetting> {
    let mut server = Settings::default();
    for setting in settings {
        server
            .set_traced(&setting.name, &setting.value)
            .map_err(|reason| InvalidSetting { setting: setting.clone(), reason })?;
    }
    Ok(server.engine)
}

/// The settings with one of them replaced, or added.
#[must_use]
pub fn with_variant(settings: &[Setting], variant: &Setting) -> Vec<Setting> {
    let others = settings.iter().filter(|setting| setting.name != variant.name);
    others.chain([variant]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.into(), value: value.into() }
    }

    #[test]
    fn settings_match_the_table_of_options() {
        let settings =
            [setting("protocol", "draft75"), setting("authorise", ""), setting("idle-timeout", "1500ms")];
        let options = options(&settings).unwrap();
        assert!(options.authorise);
        assert_eq!(options.protocols, [legacy_websocket::Protocol::Draft75].into_iter().collect());
        assert_eq!(options.limits.idle_timeout, 1500);
    }

    #[test]
    fn errors_are_named() {
        for (name, value, error) in [
            ("max-connections", "5", "setting max-connections 5: no such option"),
            ("max-fields", "many", "setting max-fields many: must be a whole number"),
            ("origin", "", "setting origin: must not be empty"),
        ] {
            assert_eq!(options(&[setting(name, value)]).unwrap_err().to_string(), error);
        }
    }
}
