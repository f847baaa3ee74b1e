//! One chat for clients of every generation: draft 75, draft 76, version 8, RFC 6455.

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use support::client::Client;
use support::optional::{install, trial};
use support::server::Server;
use support::third_party::ThirdParty;
use support::{chromium, frame};
use test_components::CHAT;

type Test = (&'static str, fn(&Programs, &str));

const TESTS: [Test; 3] = [
    ("every_client_hears_all_others", every_client_hears_all_others),
    ("the_server_closes_all", the_server_closes_all),
    ("the_test_page_works_in_a_current_browser", the_test_page_works_in_a_current_browser),
];

const STATS: &str =
    "* 4 here: guest 1 (draft 75), guest 2 (draft 76), guest 3 (hybi-08), guest 4 (RFC 6455); 4 messages";

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    std::fs::write(chat(), CHAT).unwrap();
    let programs = install("install-phantomjs").and_then(|phantomjs| {
        let (chromium, ws) = (install("install-chromium")?, install("install-ws")?);
        Ok(Programs { phantomjs, chromium, ws })
    });
    // What `trial` asks for is one path.
    let any = programs.as_ref().map(|programs| programs.ws.clone()).map_err(Clone::clone);
    let mut trials = Vec::new();
    for engine in ["component", "native"] {
        for (name, run) in TESTS {
            let programs = programs.clone();
            trials.push(trial(&format!("{engine}::{name}"), &any, move |_| run(&programs.unwrap(), engine)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn chat() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("every-browser-chat.wasm")
}

fn start(engine: &str) -> Server {
    Server::start(&["--engine", engine, "--debug", chat().to_str().unwrap()])
}

/// The clients.
#[derive(Clone, Debug)]
struct Programs {
    phantomjs: PathBuf,
    chromium: PathBuf,
    ws: PathBuf,
}

/// One of them in the room.
enum Member {
    /// Draft 75: a client that sends raw bytes.
    Raw(Client),
    /// A page that shows what it hears.
    Page(ThirdParty),
    Library(ThirdParty),
}

impl Member {
    fn say(&mut self, text: &str) {
        match self {
            Self::Raw(client) => client.send(&frame(text)),
            Self::Page(client) | Self::Library(client) => client.tell(&format!("text {text}")),
        }
    }

    #[track_caller]
    fn hear(&mut self, text: &str) {
        match self {
            Self::Raw(client) => {
                client.read_until(&frame(text));
            }
            Self::Page(client) => client.wait_for(&format!("shows {text}")),
            Self::Library(client) => client.wait_for(&format!("text {text}")),
        }
    }

    /// Closes, and waits for the end: with this code, if its protocol has one.
    #[track_caller]
    fn leave(&mut self, code: Option<u16>) {
        match (self, code) {
            (Self::Raw(client), _) => {
                client.finish();
                client.expect_end();
            }
            (Self::Page(client) | Self::Library(client), None) => {
                client.tell("close");
                client.wait_for("close");
            }
            (Self::Page(client) | Self::Library(client), Some(code)) => {
                client.tell(&format!("close {code} bye"));
                client.wait_for_start(&format!("close {code}"));
            }
        }
    }

    /// The server closes, with this code.
    #[track_caller]
    fn expect_close(&mut self, code: Option<u16>) {
        match (self, code) {
            (Self::Raw(client), _) => client.expect_end(),
            (Self::Page(client) | Self::Library(client), None) => client.wait_for("close"),
            (Self::Page(client) | Self::Library(client), Some(code)) => {
                client.wait_for(&format!("close {code}"))
            }
        }
    }
}

/// They join in the order of their protocols; each hears the next ones join.
fn fill_room(programs: &Programs, server: &Server, name: &str) -> Vec<Member> {
    let address = server.address();
    let joins: [&dyn Fn() -> Member; 4] = [
        &|| Member::Raw(server.open75()),
        &|| Member::Page(ThirdParty::phantomjs(&programs.phantomjs, address, name)),
        &|| Member::Library(ThirdParty::ws(&programs.ws, "ws-0.4", 8, address, &[])),
        &|| Member::Page(chromium::open(&programs.chromium, address, name)),
    ];
    let mut room: Vec<Member> = Vec::new();
    for (join, guest) in joins.iter().zip(1..) {
        let mut member = join();
        member.hear(&format!("* you are guest {guest}"));
        room.iter_mut().for_each(|other| other.hear(&format!("* guest {guest} joined")));
        room.push(member);
    }
    room
}

fn every_client_hears_all_others(programs: &Programs, engine: &str) {
    let server = start(engine);
    let mut room = fill_room(programs, &server, engine);
    for speaker in 0..room.len() {
        room[speaker].say("h\u{e9}llo \u{20ac} \u{1f600}");
        let line = format!("guest {}: h\u{e9}llo \u{20ac} \u{1f600}", speaker + 1);
        room.iter_mut().for_each(|member| member.hear(&line));
    }
    for member in &mut room {
        member.say("/stats");
        member.hear(STATS);
    }
    // Drafts 75 and 76 have no codes.
    for (guest, code) in (1..).zip([None, None, Some(4001), Some(4002)]) {
        let mut member = room.remove(0);
        member.leave(code);
        room.iter_mut().for_each(|other| other.hear(&format!("* guest {guest} left")));
    }
    for code in ["4001", "4002"] {
        server.wait_for_log(&["closed", "cause=by-peer", &format!("code={code}"), "reason=bye"]);
    }
    let stopped = server.stop();
    assert!(stopped.contains("connected=4"), "{stopped}");
}

fn the_server_closes_all(programs: &Programs, engine: &str) {
    let server = start(engine);
    let mut room = fill_room(programs, &server, &format!("{engine}-stops"));
    thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop());
        for (member, code) in room.iter_mut().zip([None, None, Some(1001), Some(1001)]) {
            member.expect_close(code);
        }
        stopping.join().unwrap();
    });
}

fn the_test_page_works_in_a_current_browser(programs: &Programs, engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut page = chromium::open(&programs.chromium, server.address(), &format!("{engine}-page"));
    page.wait_for("loaded");
    page.tell("press open");
    page.wait_for(&format!("shows open ws://{}/echo", server.address()));
    page.wait_for("shows opened");
    page.tell("text h\u{e9} \u{20ac} \u{1f600}");
    page.wait_for("shows < h\u{e9} \u{20ac} \u{1f600}");
    page.tell("press binary");
    let sent = page.wait_for_start("shows > binary, ");
    page.wait_for(&sent.replacen('>', "<", 1));
    page.tell("press spam");
    let done = page.wait_for_start("shows spam done: ");
    assert!(done.contains(": 10000 echoed, ") && done.ends_with(", all in order"), "{done}");
    page.tell("press close");
    // The browser's name for a close frame without a code.
    page.wait_for("close 1005");
    server.stop();
}
