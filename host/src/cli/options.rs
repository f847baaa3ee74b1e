//! The options of the table as clap arguments.

use std::error::Error;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use legacy_websocket_shell::{InvalidValue, Kind, OptionSpec, SECTIONS, Settings, Shell, Zero};

use crate::file::read_text;

/// The host's options from the table.
#[derive(Debug, Default)]
pub(super) struct TableArgs {
    /// The settings, without the content of files.
    settings: Settings,
    files: Vec<(&'static OptionSpec, PathBuf)>,
}

impl TableArgs {
    /// Whether to log everything.
    pub(super) fn debug(&self) -> bool {
        self.settings.debug
    }

    /// Reads the files, and checks that the options are consistent.
    pub(super) fn settings(&self) -> Result<Settings, Box<dyn Error>> {
        let mut settings = self.settings.clone();
        for (option, path) in &self.files {
            let blame = |why: &dyn Error| format!("--{} {}: {why}", option.name(), path.display());
            let text = read_text(path).map_err(|error| blame(&error))?;
            option.set(&mut settings, &text).map_err(|error| blame(&error))?;
        }
        settings.check()?;
        Ok(settings)
    }

    fn take(&mut self, option: &'static OptionSpec, matches: &ArgMatches) -> Result<(), InvalidValue> {
        let name = option.name();
        match option.kind() {
            Kind::Switch(_) => option.set(&mut self.settings, &matches.get_flag(name).to_string())?,
            Kind::File(_) => {
                self.files.extend(matches.get_one::<PathBuf>(name).map(|path| (option, path.clone())));
            }
            _ => {
                for value in matches.get_many::<String>(name).into_iter().flatten() {
                    option.set(&mut self.settings, value)?;
                }
            }
        }
        Ok(())
    }
}

impl Args for TableArgs {
    fn augment_args(command: Command) -> Command {
        command.args(options().map(|(heading, option)| argument(option).help_heading(heading)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TableArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut this = Self::default();
        this.update_from_arg_matches(matches)?;
        Ok(this)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let is_given = |option: &OptionSpec| {
            matches.value_source(option.name()).is_some_and(|source| source != ValueSource::DefaultValue)
        };
        for (_, option) in options().filter(|(_, option)| is_given(option)) {
            self.take(option, matches)
                .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))?;
        }
        Ok(())
    }
}

/// The arguments, under their headings.
fn options() -> impl Iterator<Item = (Option<&'static str>, &'static OptionSpec)> {
    let options = SECTIONS.iter().flat_map(|section| section.options.iter().map(|it| (section.heading, it)));
    options.filter(|(_, option)| option.is_of(Shell::Host))
}

fn argument(option: &'static OptionSpec) -> Arg {
    let argument = Arg::new(option.name())
        .long(option.name())
        .value_name(option.value_name())
        .help(option.help(Shell::Host).trim_end_matches('.').to_owned())
        .default_values(option.default());
    match option.kind() {
        Kind::Switch(_) => argument.action(ArgAction::SetTrue).value_parser(value_parser!(bool)),
        Kind::Choice(_, words) => {
            argument.value_parser(PossibleValuesParser::new(words.iter().map(|word| word.word)))
        }
        Kind::File(_) => argument.value_parser(value_parser!(PathBuf)),
        kind => {
            let is_list = matches!(kind, Kind::List(..) | Kind::Protocols);
            let action = if is_list { ArgAction::Append } else { ArgAction::Set };
            argument.action(action).value_parser(move |value: &str| check(option, value))
        }
    }
}

/// Parses a value of the option.
fn check(option: &OptionSpec, value: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let value = match option.kind() {
        Kind::Time(zero, _) => millis(value, zero)?,
        _ => value.to_owned(),
    };
    option.set(&mut Settings::default(), &value)?;
    Ok(value)
}

/// A time as the table takes it. The command line also takes longer forms, such as `1m 30s` and `1day`.
fn millis(text: &str, zero: Zero) -> Result<String, Box<dyn Error + Send + Sync>> {
    let time = humantime::parse_duration(text)?;
    let millis = time.as_millis().min(u64::MAX.into());
    match zero {
        Zero::Means(what) if millis == 0 && !time.is_zero() => {
            Err(format!("must be 0s, which means {what}, or at least 1ms").into())
        }
        _ => Ok(format!("{millis}ms")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parse(line: &[&str]) -> Result<Settings, String> {
        let command = TableArgs::augment_args(Command::new("test")).no_binary_name(true);
        let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
        TableArgs::from_arg_matches(&matches).unwrap().settings().map_err(|error| error.to_string())
    }

    #[test]
    fn no_arguments_give_the_defaults() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Settings::default()));
    }

    #[test]
    fn durations_parse_as_humantime() {
        for (text, millis) in [("1m 30s", 90_000), ("500ms", 500), ("1day", 86_400_000), ("0s", 0)] {
            assert_eq!(
                parse(&["--idle-timeout", text]).unwrap().engine.limits.idle_timeout,
                millis,
                "{text}"
            );
        }
        let longest = format!("{}s", u64::MAX);
        assert_eq!(parse(&["--write-timeout", &longest]).unwrap().write_timeout, u64::MAX);
        for (option, text, error) in [
            ("--idle-timeout", "999us", "must be 0s, which means never, or at least 1ms"),
            ("--handshake-timeout", "999us", "must be at least 1ms"),
            ("--handshake-timeout", "0s", "must be at least 1ms"),
            ("--handshake-timeout", "5", "time unit needed"),
        ] {
            let said = parse(&[option, text]).unwrap_err();
            assert!(
                said.starts_with(&format!("error: invalid value '{text}' for '{option} <TIME>': ")),
                "{said}"
            );
            assert!(said.contains(error), "{said}");
        }
    }

    #[test]
    fn files_are_read_and_limits_are_checked() {
        let path = std::env::temp_dir().join(format!("legacy-websocket-policy-{}", std::process::id()));
        fs::write(&path, "<cross-domain-policy/>").unwrap();
        let settings = parse(&["--flash-policy", path.to_str().unwrap()]);
        fs::remove_file(&path).unwrap();
        assert_eq!(settings.unwrap().engine.flash_policy.as_deref(), Some("<cross-domain-policy/>"));
        let said = parse(&["--flash-policy", "/does/not/exist"]).unwrap_err();
        assert!(said.starts_with("--flash-policy /does/not/exist: No such file"), "{said}");
        let said = parse(&["--max-queue-bytes", "2000", "--max-total-queue-bytes", "1999"]).unwrap_err();
        assert!(
            said.starts_with("--max-total-queue-bytes 1999 is less than --max-queue-bytes 2000"),
            "{said}"
        );
    }
}
