//! The specification of one option, and how it parses a value.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt::{Display, Formatter, Result as FmtResult};
use core::num::{IntErrorKind, ParseIntError};
use core::str::FromStr;

use legacy_websocket::{InvalidOptions, Millis, Protocol, Protocols};

use super::settings::Settings;
use crate::names::protocol_name;

/// In a list: accepts anything, as an empty list does.
pub(super) const ANY: &str = "*";

/// Stands for every protocol.
const ALL: &str = "all";

/// The command lines that have an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two programs")]
pub enum Shell {
    /// The native host.
    Host,
    /// The server component.
    Server,
}

/// One option.
#[derive(Debug)]
pub struct OptionSpec {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// Additional help for one shell only.
    host_help: &'static str,
    server_help: &'static str,
    shells: &'static [Shell],
    /// Its name in traces.
    setting: Option<&'static str>,
}

/// Where an option's value is stored.
pub type Place<T> = fn(&mut Settings) -> &mut T;

/// The type of an option's values. The texts name the value in the help.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a shell has to know all of them")]
pub enum Kind {
    /// On or off; the default is off.
    Switch(Place<bool>),
    /// One of these words.
    Choice(&'static str, &'static [Word]),
    /// Any text the engine accepts.
    Text(&'static str, Place<Option<String>>),
    /// Like `Text`, but the command line names a file that contains it.
    File(Place<Option<String>>),
    /// Protocols by name, or `all`; the option may be repeated.
    Protocols,
    /// A list of texts; the option may be repeated.
    List(&'static str, Place<Vec<String>>),
    /// A number, or a number of bytes.
    Number(&'static str, Zero, Place<usize>),
    /// Milliseconds, written as `500ms`, `10s`, `5m`, `1h`.
    Time(Zero, Place<Millis>),
}

/// One word of a choice.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made in the table")]
pub struct Word {
    /// The word as written.
    pub word: &'static str,
    /// Selects it.
    pub set: fn(&mut Settings),
    /// Whether it is selected.
    pub is_set: fn(&Settings) -> bool,
}

/// The meaning of 0 as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a shell has to know all of them")]
pub enum Zero {
    /// 0 is invalid.
    Invalid,
    /// 0 means this, as shown in the help.
    Means(&'static str),
}

/// Why a value is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidValue {
    /// There is no such option.
    UnknownOption,
    /// A switch's value is not `true` or `false`.
    NotABool,
    /// Not one of the words of a choice.
    NotAChoice(Words),
    /// Not the name of a protocol.
    NotAProtocol,
    /// The value is empty.
    Empty,
    /// Not a whole number.
    NotANumber,
    /// Not a number with a unit.
    NotATime,
    /// Too large to be represented.
    TooLarge,
    /// 0 where it is not allowed.
    Zero,
    /// A time of 0 where it is not allowed.
    ZeroTime,
    /// The engine rejects it.
    Engine(InvalidOptions),
}

/// The words of a choice, for display.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub &'static [Word]);

impl OptionSpec {
    pub(super) const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        let shells = &[Shell::Host, Shell::Server];
        Self { name, kind, help, host_help: "", server_help: "", shells, setting: None }
    }

    /// Additional help on the host only.
    pub(super) const fn host_help(self, host_help: &'static str) -> Self {
        Self { host_help, ..self }
    }

    /// Additional help on the server component only.
    pub(super) const fn server_help(self, server_help: &'static str) -> Self {
        Self { server_help, ..self }
    }

    /// Restricts the option to these command lines.
    pub(super) const fn only(self, shells: &'static [Shell]) -> Self {
        Self { shells, ..self }
    }

    /// Makes it a setting of traces, under this name.
    pub(super) const fn setting(self, name: &'static str) -> Self {
        Self { setting: Some(name), ..self }
    }

    /// The name without dashes.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type of its values.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name in traces, if they have it.
    pub(super) fn trace_name(&self) -> Option<&'static str> {
        self.setting
    }

    /// Whether a shell has it on its command line.
    #[must_use]
    pub fn is_of(&self, shell: Shell) -> bool {
        self.shells.contains(&shell)
    }

    /// The name of the value in the help; empty for a switch.
    #[must_use]
    pub fn value_name(&self) -> &'static str {
        match self.kind {
            Kind::Switch(_) => "",
            Kind::File(_) => "FILE",
            Kind::Time(..) => "TIME",
            Kind::Protocols => "PROTOCOL",
            Kind::Choice(name, _) | Kind::Text(name, _) | Kind::List(name, _) | Kind::Number(name, ..) => {
                name
            }
        }
    }

    /// The help, in whole sentences.
    #[must_use]
    pub fn help(&self, shell: Shell) -> String {
        let more = match shell {
            Shell::Host => self.host_help,
            Shell::Server => self.server_help,
        };
        let zero = match self.kind {
            Kind::Number(_, Zero::Means(what), _) => format!("0: {what}."),
            Kind::Time(Zero::Means(what), _) => format!("0s: {what}."),
            _ => String::new(),
        };
        let parts: Vec<_> = [self.help, more, &zero].into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    }

    /// The default as a value; `None` if the default is nothing or off.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        match self.kind {
            Kind::List(..) => Some(ANY.to_owned()),
            Kind::Protocols => Some(ALL.to_owned()),
            _ => self.values(&mut Settings::default()).pop(),
        }
    }

    /// Sets a value. A list appends it; an empty value turns a switch on.
    ///
    /// # Errors
    /// [`InvalidValue`] says why the value is invalid.
    pub fn set(&self, settings: &mut Settings, value: &str) -> Result<(), InvalidValue> {
        match self.kind {
            Kind::Switch(place) => {
                *place(settings) = match value {
                    "" | "true" => true,
                    "false" => false,
                    _ => return Err(InvalidValue::NotABool),
                }
            }
            Kind::Choice(_, words) => {
                let word = words.iter().find(|word| word.word == value);
                (word.ok_or(InvalidValue::NotAChoice(Words(words)))?.set)(settings);
            }
            Kind::Text(_, place) | Kind::File(place) => {
                set_text(settings, value, &|settings| *place(settings) = Some(value.to_owned()))?;
            }
            Kind::Protocols => set_protocols(settings, value)?,
            Kind::List(_, place) => {
                set_text(settings, value, &|settings| place(settings).push(value.to_owned()))?;
            }
            Kind::Number(_, zero, place) => {
                let number = number(value)?;
                if number == 0 && zero == Zero::Invalid {
                    return Err(InvalidValue::Zero);
                }
                *place(settings) = number;
            }
            Kind::Time(zero, place) => {
                let time = time(value)?;
                if time == 0 && zero == Zero::Invalid {
                    return Err(InvalidValue::ZeroTime);
                }
                *place(settings) = time;
            }
        }
        Ok(())
    }

    /// The values that would reproduce the current setting.
    pub(super) fn values(&self, settings: &mut Settings) -> Vec<String> {
        let value = match self.kind {
            Kind::Switch(place) => place(settings).then(String::new),
            Kind::Choice(_, words) => {
                words.iter().find(|word| (word.is_set)(settings)).map(|word| word.word.to_owned())
            }
            Kind::Text(_, place) | Kind::File(place) => place(settings).clone(),
            Kind::List(_, place) => {
                let values = place(settings);
                return if values.iter().any(|value| value == ANY) { Vec::new() } else { values.clone() };
            }
            Kind::Protocols => {
                let protocols = settings.engine.protocols;
                let is_all = protocols == Protocols::default();
                let names = protocols.iter().map(|protocol| protocol_name(protocol).to_owned());
                return if is_all { Vec::new() } else { names.collect() };
            }
            Kind::Number(_, _, place) => Some(place(settings).to_string()),
            Kind::Time(_, place) => Some(time_text(*place(settings))),
        };
        value.into_iter().collect()
    }
}

impl Display for InvalidValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::UnknownOption => f.write_str("no such option"),
            Self::NotABool => f.write_str("must be true or false"),
            Self::NotAChoice(words) => write!(f, "{words}"),
            Self::NotAProtocol => {
                let names: Vec<_> = Protocol::ALL.into_iter().map(protocol_name).collect();
                write!(f, "possible values: {}, {ALL}", names.join(", "))
            }
            Self::Empty => f.write_str("must not be empty"),
            Self::NotANumber => f.write_str("must be a whole number"),
            Self::NotATime => f.write_str("must be a number with one of the units ms, s, m, h"),
            Self::TooLarge => f.write_str("too large"),
            Self::Zero => f.write_str("must be at least 1"),
            Self::ZeroTime => f.write_str("must be at least 1ms"),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl Error for InvalidValue {}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let words: Vec<_> = self.0.iter().map(|word| word.word).collect();
        write!(f, "possible values: {}", words.join(", "))
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|word| word.word).eq(other.0.iter().map(|word| word.word))
    }
}

impl Eq for Words {}

/// Sets a text if the engine accepts it by itself.
fn set_text(settings: &mut Settings, value: &str, set: &dyn Fn(&mut Settings)) -> Result<(), InvalidValue> {
    if value.is_empty() {
        return Err(InvalidValue::Empty);
    }
    let mut alone = Settings::default();
    set(&mut alone);
    alone.engine.validate().map_err(InvalidValue::Engine)?;
    set(settings);
    Ok(())
}

/// The first one replaces the default.
fn set_protocols(settings: &mut Settings, value: &str) -> Result<(), InvalidValue> {
    if value == ALL {
        settings.listed_protocols = Protocol::ALL.to_vec();
    } else {
        let named = Protocol::ALL.into_iter().find(|protocol| protocol_name(*protocol) == value);
        settings.listed_protocols.push(named.ok_or(InvalidValue::NotAProtocol)?);
    }
    settings.engine.protocols = settings.listed_protocols.iter().copied().collect();
    Ok(())
}

fn number<T: FromStr<Err = ParseIntError>>(text: &str) -> Result<T, InvalidValue> {
    text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => InvalidValue::TooLarge,
        _ => InvalidValue::NotANumber,
    })
}

/// A time too long for milliseconds is as good as never.
fn time(text: &str) -> Result<Millis, InvalidValue> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidValue::NotATime)?;
    match number::<Millis>(count) {
        Ok(count) => Ok(count.saturating_mul(*unit)),
        Err(InvalidValue::NotANumber) => Err(InvalidValue::NotATime),
        Err(error) => Err(error),
    }
}

/// Parses a time, in milliseconds.
const UNITS: [(&str, Millis); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

fn time_text(millis: Millis) -> String {
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: OptionSpec = OptionSpec::new(
        "number",
        Kind::Number("N", Zero::Invalid, |settings| &mut settings.max_connections),
        "Help.",
    );
    const TIME: OptionSpec = OptionSpec::new(
        "time",
        Kind::Time(Zero::Means("never"), |settings| &mut settings.write_timeout),
        "Help.",
    );

    #[test]
    fn numbers_must_be_whole_and_in_range() {
        let mut settings = Settings::default();
        assert_eq!(NUMBER.set(&mut settings, "7"), Ok(()));
        assert_eq!(settings.max_connections, 7);
        for (value, error) in [
            ("0", InvalidValue::Zero),
            ("", InvalidValue::NotANumber),
            ("-1", InvalidValue::NotANumber),
            ("1.5", InvalidValue::NotANumber),
            ("99999999999999999999", InvalidValue::TooLarge),
        ] {
            assert_eq!(NUMBER.set(&mut settings, value), Err(error), "{value}");
        }
        assert_eq!(settings.max_connections, 7);
    }

    #[test]
    fn times_have_units() {
        let mut settings = Settings::default();
        for (value, millis) in
            [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0), ("0ms", 0)]
        {
            assert_eq!(TIME.set(&mut settings, value), Ok(()), "{value}");
            assert_eq!(settings.write_timeout, millis);
        }
        assert_eq!(TIME.set(&mut settings, &format!("{}s", u64::MAX)), Ok(()));
        assert_eq!(settings.write_timeout, Millis::MAX);
        for value in ["", "10", "s", "10 s", "1d", "-1s", "1m30s"] {
            assert_eq!(TIME.set(&mut settings, value), Err(InvalidValue::NotATime), "{value}");
        }
        let never = Kind::Time(Zero::Invalid, |settings| &mut settings.write_timeout);
        let strict = OptionSpec::new("strict", never, "Help.");
        assert_eq!(strict.set(&mut settings, "0s"), Err(InvalidValue::ZeroTime));
        assert_eq!(time_text(90_000), "90s");
        assert_eq!(time_text(1500), "1500ms");
    }

    #[test]
    fn the_help_states_the_meaning_of_0_and_special_values() {
        let time = TIME.host_help("The host.").server_help("The server.");
        assert_eq!(time.help(Shell::Host), "Help. The host. 0s: never.");
        assert_eq!(time.help(Shell::Server), "Help. The server. 0s: never.");
        assert_eq!(NUMBER.help(Shell::Host), "Help.");
    }
}
