//! The example serves a client.

#[path = "../../client_check.rs"]
mod client_check;

use std::process::Command;

#[test]
fn a_draft_76_client_is_echoed_and_closed() {
    client_check::expect_echo(Command::new(env!("CARGO_BIN_EXE_embed")).arg("127.0.0.1:0"));
}
