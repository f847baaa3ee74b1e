//! Client libraries of RFC 6455, and of version 8.

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use support::optional::{install, trial};
use support::server::Server;
use support::third_party::ThirdParty;
use test_components::FAULTY_APPLICATION;

/// A client library.
#[derive(Clone, Copy)]
struct Library {
    name: &'static str,
    /// The script that installs it and prints a path.
    install: &'static str,
    /// What it speaks, as in the log.
    protocol: &'static str,
    /// Connects, with that path, asking for these subprotocols.
    open: fn(&Path, &Server, &[&str]) -> ThirdParty,
    tests: &'static [&'static [Test]],
}

type Test = (&'static str, fn(&Client, &str));

/// An installed library.
struct Client {
    library: Library,
    program: PathBuf,
}

impl Client {
    fn open(&self, server: &Server, subprotocols: &[&str]) -> ThirdParty {
        (self.library.open)(&self.program, server, subprotocols)
    }

    /// Connects, asking for no subprotocol.
    #[track_caller]
    fn connect(&self, server: &Server) -> ThirdParty {
        let mut client = self.open(server, &[]);
        client.expect("open");
        client
    }
}

const LIBRARIES: [Library; 4] = [
    Library {
        name: "ws",
        install: "install-ws",
        protocol: "rfc6455",
        open: |modules, server, subprotocols| {
            ThirdParty::ws(modules, "ws", 13, server.address(), subprotocols)
        },
        tests: &[COMMON, MORE, PINGS],
    },
    Library {
        name: "ws_0_4",
        install: "install-ws",
        protocol: "rfc6455",
        open: |modules, server, subprotocols| {
            ThirdParty::ws(modules, "ws-0.4", 13, server.address(), subprotocols)
        },
        tests: &[COMMON],
    },
    Library {
        name: "ws_0_4_in_version_8",
        install: "install-ws",
        protocol: "hybi8",
        open: |modules, server, subprotocols| {
            ThirdParty::ws(modules, "ws-0.4", 8, server.address(), subprotocols)
        },
        tests: &[COMMON],
    },
    Library {
        name: "websockets",
        install: "install-websockets",
        protocol: "rfc6455",
        open: |python, server, subprotocols| ThirdParty::websockets(python, server.address(), subprotocols),
        tests: &[COMMON, MORE],
    },
];

const COMMON: &[Test] = &[
    ("messages_are_echoed", messages_are_echoed),
    ("the_client_closes_with_code_and_reason", the_client_closes_with_code_and_reason),
    ("the_application_closes_with_code_and_reason", the_application_closes_with_code_and_reason),
    ("the_server_stops_with_1001", the_server_stops_with_1001),
    ("too_long_a_message_is_answered_with_1009", too_long_a_message_is_answered_with_1009),
];

/// What version 0.4 of ws cannot do.
const MORE: &[Test] = &[
    ("fragments_are_joined", fragments_are_joined),
    ("a_subprotocol_is_chosen_from_a_list", a_subprotocol_is_chosen_from_a_list),
];

/// websockets does not tell of the pings it gets.
const PINGS: &[Test] = &[("pings_are_answered", pings_are_answered)];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    std::fs::write(application(), FAULTY_APPLICATION).unwrap();
    let mut trials = Vec::new();
    for library in LIBRARIES {
        let program = install(library.install);
        for engine in ["component", "native"] {
            for &(test, run) in library.tests.iter().copied().flatten() {
                trials.push(trial(
                    &format!("{}::{engine}::{test}", library.name),
                    &program,
                    move |program| {
                        run(&Client { library, program: program.into() }, engine);
                    },
                ));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One that closes connections when told to.
fn application() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-application.wasm")
}

fn messages_are_echoed(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--debug"]);
    let protocol = format!("protocol={}", client.library.protocol);
    let mut client = client.connect(&server);
    server.wait_for_log(&["connected", &protocol]);
    for message in ["text h\u{e9}llo \u{20ac} \u{1f600}", "text", "binary 00017f80feff", "binary"] {
        client.tell(message);
        client.expect(message);
    }
    // Each length has its own form of the header.
    for length in [125, 126, 65_535, 65_536] {
        for message in [format!("text {}", "a".repeat(length)), format!("binary {}", "fe".repeat(length))] {
            client.tell(&message);
            client.expect(&message);
        }
    }
    client.tell("ping are you there?");
    client.expect("pong are you there?");
    client.tell("close 1000");
    client.expect("close 1000");
}

fn fragments_are_joined(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = client.connect(&server);
    client.tell("fragments one two three");
    client.expect("text onetwothree");
}

fn the_client_closes_with_code_and_reason(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--debug"]);
    let mut client = client.connect(&server);
    client.tell("close 4001 h\u{e9}llo");
    // The answer has the code alone; ws 0.4 then tells its own reason.
    client.expect_start("close 4001");
    server.wait_for_log(&["closed", "cause=by-peer", "code=4001", "reason=\"h\u{e9}llo\""]);
}

fn the_application_closes_with_code_and_reason(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--debug", application().to_str().unwrap()]);
    let mut client = client.connect(&server);
    client.tell("text who:");
    client.expect("text 1");
    client.tell("text code:1,4002");
    client.expect("close 4002 told to");
    server.wait_for_log(&["closed", "code=4002"]);
}

fn the_server_stops_with_1001(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = client.connect(&server);
    server.stop();
    client.expect("close 1001");
}

fn too_long_a_message_is_answered_with_1009(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--max-message-bytes", "1000"]);
    let mut client = client.connect(&server);
    client.tell(&format!("binary {}", "00".repeat(1001)));
    client.expect("close 1009");
}

fn a_subprotocol_is_chosen_from_a_list(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--subprotocol", "chat.v1", "--subprotocol", "chat.v2"]);
    client.open(&server, &["chat.v3", "chat.v2", "chat.v1"]).expect("open chat.v2");
    client.open(&server, &[]).expect("open");
    client.open(&server, &["chat.v3"]).expect("refused 403");
}

fn pings_are_answered(client: &Client, engine: &str) {
    let server = Server::start(&["--engine", engine, "--ping-interval", "1s"]);
    let mut client = client.connect(&server);
    // Without a pong the connection would end before the second.
    for _ in 0..2 {
        client.expect("ping");
    }
    client.tell("text still here");
    client.wait_for("text still here");
}
