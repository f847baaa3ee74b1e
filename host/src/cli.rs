//! The command line.

mod address;
mod admin;
mod compose;
mod config;
mod descriptors;
mod environment;
mod gateway;
mod generate;
mod listen;
mod new;
mod options;
mod record;
mod serve;
mod server;
mod signals;
mod systemd;
mod tls;
mod try_trace;

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::compose::ComposeArgs;
use self::gateway::Gateway;
use self::new::New;
use self::serve::Serve;
use self::try_trace::Try;
use crate::observe::{self, log};

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli: Cli = config::parse(env::args_os().collect()).unwrap_or_else(|error| error.exit());
    let result = match &cli.command {
        Command::Serve(serve) => {
            start_log(serve.server.table.debug());
            serve.run()
        }
        Command::Gateway(gateway) => {
            start_log(gateway.server.table.debug());
            gateway.run()
        }
        Command::Compose(compose) => {
            start_log(false);
            compose.run().map(|()| ExitCode::SUCCESS)
        }
        Command::New(new) => {
            start_log(false);
            new.run().map(|()| ExitCode::SUCCESS)
        }
        Command::Try(attempt) => {
            start_log(false);
            attempt.run()
        }
        Command::CheckConfig { file } => check_config(file).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            generate::completions(Cli::command(), *shell).map(|()| ExitCode::SUCCESS)
        }
        Command::ManPages { folder } => {
            generate::man_pages(Cli::command(), folder).map(|()| ExitCode::SUCCESS)
        }
    };
    let status = match result {
        Ok(status) => status,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    };
    log::flush();
    status
}

const TO_BEGIN: &str = "\
To begin:
  legacy-websocket gateway --to http://127.0.0.1:3000
      Lets old browsers reach a server that speaks RFC 6455: they connect to port 8000 here
  legacy-websocket serve
      An echo, and a page to try it with; with APPLICATION.WASM, an application
  legacy-websocket new NAME
      An application of your own to start from, in Rust, JavaScript or Python
  legacy-websocket compose APPLICATION.WASM -o SERVER.WASM
      The application as a server for other WASI hosts";

/// A server for every WebSocket protocol that browsers have shipped: draft-hixie-75 and -76, hybi-07 to -12, RFC 6455.
#[derive(Debug, Parser)]
#[command(name = "legacy-websocket", version, after_help = TO_BEGIN)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an application, or an echo and a page to try it with.
    Serve(Box<Serve>),

    /// Serve backends that speak RFC 6455 to clients of every protocol, and pass everything else through.
    Gateway(Box<Gateway>),

    /// Turn an application into a server: one component for other WASI hosts.
    Compose(ComposeArgs),

    /// Write an application to start from, with its tests, a README and its build command.
    New(New),

    /// Try an application without a server: clients do what a trace says, and what they hear is checked or printed.
    Try(Try),

    /// Check a configuration file, and the files that it names.
    CheckConfig {
        /// TOML, as for --config: of gateway if it has a key `to` or `route`, otherwise of serve.
        file: PathBuf,
    },

    /// Print a script that completes commands and options in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Write a man page for each command.
    #[command(hide = true)]
    ManPages {
        /// Where to.
        folder: PathBuf,
    },
}

/// Does everything `serve` does before it listens.
fn check_config(file: &Path) -> Result<(), Box<dyn Error>> {
    let command = OsStr::new(config::command(file));
    let line = [OsStr::new("legacy-websocket"), command, OsStr::new("--config"), file.as_os_str()];
    let cli: Cli = config::parse(line.map(Into::into).into()).unwrap_or_else(|error| error.exit());
    match &cli.command {
        Command::Serve(serve) => {
            start_log(serve.server.table.debug());
            serve.check()?;
        }
        Command::Gateway(gateway) => {
            start_log(gateway.server.table.debug());
            gateway.check()?;
        }
        // `config::command` names none of these.
        Command::Compose(_)
        | Command::New(_)
        | Command::Try(_)
        | Command::CheckConfig { .. }
        | Command::Completions { .. }
        | Command::ManPages { .. } => {}
    }
    writeln!(stdout(), "{}: ok", file.display())?;
    Ok(())
}

fn start_log(debug: bool) {
    observe::start_log(if debug { "legacy_websocket_host=debug" } else { "info" });
}

#[cfg(test)]
mod tests {
    use legacy_websocket::Options;

    use super::*;
    use crate::options::ShellOptions;

    #[test]
    fn defaults_match_the_libraries() {
        let cli: Cli = config::parse(vec!["legacy-websocket".into(), "serve".into()]).unwrap();
        let Command::Serve(serve) = cli.command else { panic!("another command") };
        let settings = serve.server.table.settings().unwrap();
        assert_eq!(format!("{:?}", settings.engine), format!("{:?}", Options::default()));
        // A program uses the whole machine; a library uses what it is given.
        let options = ShellOptions { workers: 1, ..serve.server.shell_options(&settings) };
        assert_eq!(format!("{options:?}"), format!("{:?}", ShellOptions::default()));
    }
}
