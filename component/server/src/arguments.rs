//! The command line: the options of the table, and the listen address.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::net::{AddrParseError, SocketAddr};

use legacy_websocket::Options;
use legacy_websocket_shell::{
    DEFAULT_ADDRESS, Kind, OptionSpec, QueueLimits, SECTIONS, Settings, Shell, Words,
};

/// The parsed command line.
pub(crate) enum Parsed {
    Serve(Box<Arguments>),
    /// Print this and exit.
    Print(String),
}

/// The settings of a server.
pub(crate) struct Arguments {
    pub(crate) listen: Vec<SocketAddr>,
    /// In milliseconds.
    pub(crate) tcp_keepalive: u64,
    pub(crate) engine: Options,
    pub(crate) shell: ShellOptions,
    pub(crate) drain_timeout: u64,
    pub(crate) stop_on_stdin_end: bool,
    pub(crate) debug: bool,
}

/// The limits that the shell itself enforces. Times are in milliseconds.
pub(crate) struct ShellOptions {
    pub(crate) max_connections: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) write_timeout: u64,
    pub(crate) linger_timeout: u64,
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let (mut listen, mut settings) = (Vec::new(), Settings::default());
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(Parsed::Print(help()));
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(String::from(value))),
            None => (word.as_str(), None),
        };
        let mut value =
            || inline.clone().or_else(|| words.next()).ok_or_else(|| format!("{name} requires a value"));
        let invalid =
            |value: &str, error: &dyn Display| format!("invalid value '{value}' for {name}: {error}");
        if name == "--listen" {
            let value = value()?;
            listen.push(value.parse().map_err(|error: AddrParseError| invalid(&value, &error))?);
            continue;
        }
        let option = name.strip_prefix("--").and_then(|name| OptionSpec::find(Shell::Server, name));
        let Some(option) = option else {
            return Err(format!("unexpected argument '{word}'"));
        };
        let value = match option.kind() {
            Kind::Switch(_) => inline.unwrap_or_default(),
            _ => value()?,
        };
        option.set(&mut settings, &value).map_err(|error| invalid(&value, &error))?;
    }
    settings.check().map_err(|error| error.to_string())?;
    if listen.is_empty() {
        listen.push(DEFAULT_ADDRESS);
    }
    Ok(Parsed::Serve(Box::new(Arguments::new(listen, settings))))
}

fn help() -> String {
    let mut text = format!(
        "A server for every WebSocket protocol that browsers have shipped, with the application \
         that was composed into it.\n\nOptions:\n  \
         --listen <ADDRESS:PORT>\n          \
         Address to listen on (repeatable). Port 0 lets the system choose; the chosen one is printed. [default: \
         {DEFAULT_ADDRESS}]\n"
    );
    for section in SECTIONS {
        if let Some(heading) = section.heading {
            text.push_str(&format!("\n{heading}:\n"));
        }
        for option in section.options.iter().filter(|option| option.is_of(Shell::Server)) {
            let (name, help) = (option.name(), option.help(Shell::Server));
            let value = match option.value_name() {
                "" => String::new(),
                value => format!(" <{value}>"),
            };
            let default =
                option.default().map(|default| format!(" [default: {default}]")).unwrap_or_default();
            let words = match option.kind() {
                Kind::Choice(_, words) => format!(" [{}]", Words(words)),
                _ => String::new(),
            };
            text.push_str(&format!("  --{name}{value}\n          {help}{default}{words}\n"));
        }
    }
    text.push_str("\n  -h, --help\n          Print this.\n");
    text
}

impl Arguments {
    fn new(listen: Vec<SocketAddr>, settings: Settings) -> Self {
        Self {
            listen,
            tcp_keepalive: settings.tcp_keepalive,
            shell: ShellOptions {
                max_connections: settings.max_connections,
                queue: QueueLimits::new(settings.max_total_queue_bytes, settings.max_queue_bytes),
                write_timeout: settings.write_timeout,
                linger_timeout: settings.engine.limits.close_timeout,
            },
            drain_timeout: settings.drain_timeout,
            stop_on_stdin_end: settings.stop_on_stdin_end,
            debug: settings.debug,
            // The contract of `handler`: the application is asked about handshakes.
            engine: Options { authorise: true, ..settings.engine },
        }
    }
}
