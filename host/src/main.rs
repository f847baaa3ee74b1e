//! The program `legacy-websocket`.

use std::process::ExitCode;

fn main() -> ExitCode {
    legacy_websocket_host::cli::main()
}
