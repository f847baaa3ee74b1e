//! The table of options: names, units, defaults, help and checks, for both command lines, the configuration file, and
//! the settings of traces.

mod settings;
mod spec;
mod table;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::settings::{Settings, TooSmall};
pub use self::spec::{InvalidValue, Kind, OptionSpec, Place, Shell, Word, Words, Zero};
pub use self::table::{DEFAULT_ADDRESS, SECTIONS, Section};

impl OptionSpec {
    /// An option of a shell by its name.
    #[must_use]
    pub fn find(shell: Shell, name: &str) -> Option<&'static Self> {
        all().find(|option| option.is_of(shell) && option.name() == name)
    }
}

impl Settings {
    /// Sets an option from a trace's setting.
    ///
    /// # Errors
    /// [`InvalidValue`], also for a name that is not a setting of traces.
    pub fn set_traced(&mut self, name: &str, value: &str) -> Result<(), InvalidValue> {
        let option = all().find(|option| option.trace_name() == Some(name));
        option.ok_or(InvalidValue::UnknownOption)?.set(self, value)
    }

    /// The settings a trace must record about this server, as names and values: everything that differs from the
    /// defaults.
    #[must_use]
    pub fn traced(&self) -> Vec<(&'static str, String)> {
        let (mut this, mut usual) = (self.clone(), Self::default());
        let mut traced = Vec::new();
        for option in all() {
            let values = option.values(&mut this);
            if let Some(name) = option.trace_name()
                && values != option.values(&mut usual)
            {
                traced.extend(values.into_iter().map(|value| (name, value)));
            }
        }
        traced
    }
}

fn all() -> impl Iterator<Item = &'static OptionSpec> {
    SECTIONS.iter().flat_map(|section| section.options)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn set(settings: &mut Settings, name: &str, value: &str) -> Result<(), InvalidValue> {
        OptionSpec::find(Shell::Host, name).unwrap().set(settings, value)
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = all().map(OptionSpec::name).collect();
        assert_eq!(names.len(), all().count());
        let settings: BTreeSet<_> = all().filter_map(OptionSpec::trace_name).collect();
        assert_eq!(settings.len(), all().filter(|option| option.trace_name().is_some()).count());
    }

    /// No option sets another's field, and the help for each is correct.
    #[test]
    fn defaults_match_the_default_settings() {
        let mut settings = Settings::default();
        for option in all() {
            if let Some(default) = option.default() {
                assert_eq!(option.set(&mut settings, &default), Ok(()), "{}", option.name());
            }
        }
        for list in
            [&mut settings.engine.origins, &mut settings.engine.hosts, &mut settings.engine.subprotocols]
        {
            assert_eq!(core::mem::take(list), ["*"]);
        }
        settings.listed_protocols.clear();
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
        let default = |name| OptionSpec::find(Shell::Server, name).unwrap().default();
        for (name, text) in [
            ("protocol", "all"),
            ("host", "*"),
            ("max-head-bytes", "16384"),
            ("idle-timeout", "0s"),
            ("tcp-keepalive", "60s"),
        ] {
            assert_eq!(default(name).as_deref(), Some(text));
        }
        assert_eq!((default("public-url"), default("debug")), (None, None));
        assert!(Settings::default().traced().is_empty());
    }

    #[test]
    fn each_shell_has_its_own_options() {
        let has = |shell, name| OptionSpec::find(shell, name).is_some();
        for (name, host, server) in [
            ("origin", true, true),
            ("proxy-protocol", true, false),
            ("stop-on-stdin-end", false, true),
            ("authorise", false, false),
        ] {
            assert_eq!((has(Shell::Host, name), has(Shell::Server, name)), (host, server), "{name}");
        }
    }

    #[test]
    fn invalid_values_are_rejected() {
        let mut settings = Settings::default();
        for (name, value, error) in [
            ("protocol", "draft77", "possible values: draft75, draft76, hybi7, hybi8, rfc6455, all"),
            ("debug", "loud", "must be true or false"),
            ("max-connections", "0", "must be at least 1"),
            ("max-fields", "many", "must be a whole number"),
            ("handshake-timeout", "0s", "must be at least 1ms"),
            ("idle-timeout", "5", "must be a number with one of the units ms, s, m, h"),
            ("health-path", "", "must not be empty"),
            ("health-path", "healthz", "the health path must begin with a slash and have no query"),
        ] {
            let error_text = set(&mut settings, name, value).map_err(|error| error.to_string());
            assert_eq!(error_text, Err(error.into()), "{name} {value}");
        }
        for (name, value) in [("public-url", "http://example.com"), ("origin", "example.com")] {
            assert!(matches!(set(&mut settings, name, value), Err(InvalidValue::Engine(_))), "{name}");
        }
        assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
        assert_eq!(set(&mut settings, "debug", ""), Ok(()));
        assert!(settings.debug);
        assert_eq!(set(&mut settings, "debug", "false"), Ok(()));
        assert!(!settings.debug);
    }

    #[test]
    fn recorded_settings_can_be_replayed() {
        let mut recorded = Settings::default();
        for (name, value) in [
            ("protocol", "rfc6455"),
            ("protocol", "draft75"),
            ("origin", "http://a"),
            ("origin", "http://b"),
            ("host", "example.com"),
            ("host", "*"),
            ("flash-policy", "<cross-domain-policy/>"),
            ("trust-forwarded", "true"),
            ("invalid-utf8", "close"),
            ("max-fields", "50"),
            ("max-connections", "5"),
            ("idle-timeout", "90s"),
            ("close-timeout", "1500ms"),
        ] {
            assert_eq!(set(&mut recorded, name, value), Ok(()), "{name}");
        }
        let traced = recorded.traced();
        let lines: Vec<_> = traced.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            lines,
            [
                "protocol draft75",
                "protocol rfc6455",
                "origin http://a",
                "origin http://b",
                "flash-policy <cross-domain-policy/>",
                "trust-forwarded ",
                "invalid-utf8 close",
                "max-fields 50",
                "idle-timeout 90s",
                "close-timeout 1500ms",
            ]
        );
        let mut replayed = Settings::default();
        for (name, value) in &traced {
            assert_eq!(replayed.set_traced(name, value), Ok(()), "{name}");
        }
        assert_eq!(replayed.traced(), traced);
        assert_eq!(replayed.set_traced("max-connections", "5"), Err(InvalidValue::UnknownOption));
        assert_eq!(replayed.set_traced("version", "auto"), Err(InvalidValue::UnknownOption));
    }
}
