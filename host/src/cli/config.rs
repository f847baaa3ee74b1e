//! The configuration file: TOML, whose keys are the long options of `serve` or `gateway`.
//!
//! The file's content becomes arguments, so that each option is declared, checked and explained once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Arg;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::file::read_text;

/// The subcommands that take a configuration file, and the option that names the file.
const SERVE: &str = "serve";
const GATEWAY: &str = "gateway";
const CONFIG: &str = "config";

/// The key of tables, each a value of the hidden option of the same name.
const ROUTE: &str = "route";

/// How similar an unknown key must be to a known one to suggest it.
const ALIKE: f64 = 0.7;

/// Parses the command line and the file that it names. The command line takes precedence over the file, and the file
/// over the defaults.
pub(super) fn parse<C: CommandFactory + FromArgMatches>(line: Vec<OsString>) -> Result<C, clap::Error> {
    let mut command = with_switches(C::command());
    let line = with_file(&mut command, line)?;
    let matches =
        command.try_get_matches_from_mut(&line.arguments).map_err(|error| line.blame(error, &command))?;
    C::from_arg_matches(&matches)
}

/// The subcommand that a file is for. One that cannot be read is reported when it is parsed.
pub(super) fn command(file: &Path) -> &'static str {
    let is_gateways = |table: Table| table.contains_key("to") || table.contains_key(ROUTE);
    if read(file).is_ok_and(is_gateways) { GATEWAY } else { SERVE }
}

/// Switches accept a value too, so that the command line can turn off what the file turns on.
fn with_switches(command: Command) -> Command {
    let switch = |argument: Arg| match argument.get_action() {
        ArgAction::SetTrue => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_name("BOOL")
            .hide_default_value(true)
            .hide_possible_values(true),
        _ => argument,
    };
    let command = command.mut_subcommand(SERVE, |serve| serve.mut_args(switch));
    command.mut_subcommand(GATEWAY, |gateway| gateway.mut_args(switch))
}

/// A command line with the arguments from a file.
struct Line {
    arguments: Vec<OsString>,
    file: PathBuf,
    /// The keys added from the file.
    keys: Vec<String>,
}

fn with_file(command: &mut Command, line: Vec<OsString>) -> Result<Line, clap::Error> {
    // Errors are ignored here: the file may fix them, and otherwise they are found afterwards.
    let matches = command.clone().ignore_errors(true).try_get_matches_from(&line)?;
    let serving = matches.subcommand().filter(|(name, _)| [SERVE, GATEWAY].contains(name));
    let file = serving.and_then(|(_, given)| given.try_get_one::<PathBuf>(CONFIG).ok().flatten());
    let (Some((name, given)), Some(file)) = (serving, file) else {
        return Ok(Line { arguments: line, file: PathBuf::new(), keys: Vec::new() });
    };
    let refuse = |command: &mut Command, why| {
        command.error(ErrorKind::InvalidValue, format!("{}: {why}", file.display()))
    };
    let table = read(file).map_err(|why| refuse(command, why))?;
    let known = command.find_subcommand(name).map(Command::get_arguments).into_iter().flatten();
    let known: Vec<_> = known.filter(|argument| argument.get_id() != CONFIG).cloned().collect();
    let (mut arguments, mut keys) = (line, Vec::new());
    for (key, value) in table {
        let option = find(&known, &key).map_err(|why| refuse(command, why))?;
        let values = texts(&key, &value).map_err(|why| refuse(command, why))?;
        if !is_on(given, option) {
            // Only with an equals sign may a value begin with a dash.
            let argument = |value: String| match option.get_long() {
                Some(long) => format!("--{long}={value}").into(),
                None => OsString::from(value),
            };
            arguments.extend(values.into_iter().map(argument));
            keys.push(key);
        }
    }
    Ok(Line { arguments, file: file.clone(), keys })
}

impl Line {
    /// Points the error at the file, if the file is wrong.
    fn blame(&self, error: clap::Error, command: &Command) -> clap::Error {
        let key = |argument: &String| {
            let name = argument.trim_start_matches("--").split([' ', '=', '[']).next().unwrap_or_default();
            self.keys.iter().find(|key| *key == name)
        };
        let place = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(argument)) => key(argument).map(|key| format!("key '{key}': ")),
            // Report them as missing, wherever the option that requires them is given.
            Some(ContextValue::Strings(_)) if !self.keys.is_empty() => Some(String::new()),
            _ => None,
        };
        let Some(place) = place else { return error };
        // Up to the blank line, so as to include the possible values.
        let text = error.render().to_string();
        let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let reason = lines.join(" ");
        let reason = reason.trim_start_matches("error: ");
        command.clone().error(error.kind(), format!("{}: {place}{reason}", self.file.display()))
    }
}

fn read(file: &Path) -> Result<Table, String> {
    let text = read_text(file).map_err(|error| error.to_string())?;
    text.parse::<Table>().map_err(|error| error.to_string())
}

/// The key of an option: its long name, or its id if it has none.
fn key(option: &Arg) -> &str {
    option.get_long().unwrap_or(option.get_id().as_str())
}

fn find<'a>(known: &'a [Arg], wanted: &str) -> Result<&'a Arg, String> {
    if let Some(option) = known.iter().find(|option| key(option) == wanted) {
        return Ok(option);
    }
    let likeness = |option: &Arg| strsim::jaro_winkler(key(option), wanted);
    let nearest = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    Err(match nearest.filter(|option| likeness(option) > ALIKE) {
        Some(option) => format!("unknown key '{wanted}'; the nearest known one is '{}'", key(option)),
        None => format!("unknown key '{wanted}'"),
    })
}

/// Whether the option is given on the command line itself.
fn is_on(given: &ArgMatches, option: &Arg) -> bool {
    given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(tables) if key == ROUTE => tables
            .iter()
            .map(|table| serde_json::to_string(table).map_err(|error| error.to_string()))
            .collect(),
        Value::Array(values) => values.iter().map(|value| text(key, value)).collect(),
        value => Ok(vec![text(key, value)?]),
    }
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        other => Err(format!(
            "'{key}' is a {}; it must be a string, a whole number, true or false, or a list of these",
            other.type_str()
        )),
    }
}
