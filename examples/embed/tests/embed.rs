//! The example serves.

#[path = "../../visit.rs"]
mod visit;

use std::process::Command;

#[test]
fn a_draft_76_client_gets_its_echo_and_its_closing_handshake() {
    visit::visit(Command::new(env!("CARGO_BIN_EXE_embed")).arg("127.0.0.1:0"));
}
