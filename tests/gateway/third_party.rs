//! Other people's servers as backends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use libtest_mimic::Trial;

use crate::pair::{PROTOCOLS, Protocol, gateway};
use crate::recorded;
use crate::support::hybi::{CLOSE, close, masked};
use crate::support::optional::{install, trial};
use crate::support::server::Server;
use crate::support::third_party::ThirdParty;
use crate::support::{CLOSING, DEADLINE, chromium};

/// How one is installed and started.
#[derive(Clone, Copy, Debug)]
struct Library {
    name: &'static str,
    /// The script that installs it and prints a path.
    install: &'static str,
    command: fn(&Path) -> Command,
    /// Recordings in which clients see something else than of our echo.
    except: &'static [&'static str],
}

/// What comes right before the end of a client: it ends before the backend has echoed that.
const ENDS_AT_ONCE: &str = "/burst-close";

/// A text, and a frame that ends the connection, in one write.
const FAILS_AT_ONCE: &str = "/hibit-long";

const LIBRARIES: [Library; 3] = [
    Library {
        name: "ws",
        install: "install-ws",
        command: |modules| {
            let mut node = Command::new("node");
            node.arg(script("ws_backend.js"))
                .arg(modules)
                .arg(script("../../host/src/application/page.html"));
            node
        },
        except: &[ENDS_AT_ONCE, FAILS_AT_ONCE],
    },
    Library {
        name: "websockets",
        install: "install-websockets",
        command: |python| run(python, "websockets"),
        except: &[ENDS_AT_ONCE, FAILS_AT_ONCE],
    },
    Library {
        name: "aiohttp",
        install: "install-aiohttp",
        command: |python| run(python, "aiohttp"),
        except: &[ENDS_AT_ONCE, FAILS_AT_ONCE],
    },
];

type Test = fn(Library, &Path);

fn run(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(script(&format!("{name}_backend.py")));
    command
}

fn script(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/gateway")).join(name)
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for library in LIBRARIES {
        let installed = install(library.install);
        let tests: [(&str, Test); 3] = [
            ("every_old_protocol_is_echoed", every_old_protocol_is_echoed),
            ("the_client_closes", the_client_closes),
            ("recorded_clients_see_what_they_see_without_it", recorded_clients),
        ];
        for (name, test) in tests {
            let name = format!("{}::{name}", library.name);
            trials.push(trial(&name, &installed, move |path| test(library, path)));
        }
    }
    trials.extend(browsers());
    trials
}

/// Trials with a browser in front of npm's ws.
fn browsers() -> Vec<Trial> {
    type Test = fn(&Path, &Path);
    let tests: [(&str, &str, Test); 3] = [
        ("install-phantomjs", "an_old_browser_talks_to_node", an_old_browser_talks_to_node),
        ("install-phantomjs", "node_closes_an_old_browser", node_closes_an_old_browser),
        ("install-chromium", "a_current_browser_talks_to_node", a_current_browser_talks_to_node),
    ];
    let ws = install("install-ws");
    let trials = tests.map(|(browser, name, test)| {
        let programs = install(browser).and_then(|browser| Ok((browser, ws.clone()?)));
        let any = programs.as_ref().map(|programs| programs.0.clone()).map_err(Clone::clone);
        trial(&format!("ws::{name}"), &any, move |browser| test(browser, &programs.unwrap().1))
    });
    trials.into()
}

/// A running backend. Dropping it kills it.
struct Running {
    child: Child,
    url: String,
    lines: Receiver<String>,
}

impl Running {
    #[track_caller]
    fn start(library: Library, installed: &Path) -> Self {
        let mut command = (library.command)(installed);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the backend starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let line = lines.recv_timeout(DEADLINE).expect("it listens");
        let url = line.strip_prefix("listening on ").unwrap().trim_end_matches('/').to_owned();
        Self { child, url, lines }
    }

    /// The next line that it writes.
    #[track_caller]
    fn expect(&self, line: &str) {
        assert_eq!(self.lines.recv_timeout(DEADLINE).as_deref(), Ok(line));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn every_old_protocol_is_echoed(library: Library, installed: &Path) {
    let backend = Running::start(library, installed);
    let gateway = gateway(&backend.url, &[]);
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        protocol.read_answer(&mut client);
        let long = "\u{20ac}".repeat(40_000);
        for text in ["hello", "", "h\u{e9}llo \u{20ac} \u{1f600}", &long] {
            client.send(&protocol.text(text));
            protocol.expect_text(&mut client, text);
        }
        for number in 0..1000 {
            client.send(&protocol.text(&number.to_string()));
        }
        for number in 0..1000 {
            protocol.expect_text(&mut client, &number.to_string());
        }
    }
}

fn the_client_closes(library: Library, installed: &Path) {
    let backend = Running::start(library, installed);
    let gateway = gateway(&backend.url, &[]);
    for protocol in PROTOCOLS {
        let mut client = gateway.connect();
        client.send(&protocol.request(""));
        protocol.read_answer(&mut client);
        match protocol {
            Protocol::Draft75 => client.finish(),
            Protocol::Draft76 => client.send(CLOSING),
            Protocol::Hybi(_) => client.send(&masked(CLOSE, &close(1000, ""))),
        }
        client.read_until_gone();
        backend.expect("closed 1000");
    }
}

fn recorded_clients(library: Library, installed: &Path) {
    let backend = Running::start(library, installed);
    let gateway = gateway(&backend.url, &[]);
    recorded::expect_ours(library.name, gateway.address(), library.except);
    let address = backend.url.strip_prefix("http://").unwrap().parse().unwrap();
    recorded::expect_equal(gateway.address(), address);
}

/// npm's ws behind a gateway.
#[track_caller]
fn node(modules: &Path) -> (Server, Running) {
    let backend = Running::start(LIBRARIES[0], modules);
    (gateway(&backend.url, &[]), backend)
}

fn an_old_browser_talks_to_node(phantomjs: &Path, modules: &Path) {
    let (gateway, backend) = node(modules);
    let mut page = ThirdParty::phantomjs(phantomjs, gateway.address(), "gateway");
    talk(&mut page);
    page.tell("close");
    page.wait_for("close");
    // This engine ends TCP without a closing frame.
    backend.expect("closed 1001");
}

/// With the page of our own server, which the backend serves.
#[track_caller]
fn talk(page: &mut ThirdParty) {
    page.wait_for("loaded");
    page.tell("press open");
    page.wait_for("shows opened");
    page.tell("text h\u{e9} \u{20ac} \u{1f600}");
    page.wait_for("shows < h\u{e9} \u{20ac} \u{1f600}");
    // What the page was given.
    page.tell("text cookies?");
    let cookies = page.wait_for_start("shows < cookies: ");
    assert!(cookies.contains("page=seen"), "{cookies}");
    page.tell("press spam");
    let done = page.wait_for_start("shows spam done: ");
    assert!(done.contains(": 10000 echoed, ") && done.ends_with(", all in order"), "{done}");
}

fn node_closes_an_old_browser(phantomjs: &Path, modules: &Path) {
    let (gateway, backend) = node(modules);
    let mut page = ThirdParty::phantomjs(phantomjs, gateway.address(), "gateway-closes");
    page.wait_for("loaded");
    page.tell("press open");
    page.wait_for("shows opened");
    page.tell("text close 4001 over");
    page.wait_for("close");
    backend.expect("closed 4001");
}

fn a_current_browser_talks_to_node(chromium: &Path, modules: &Path) {
    let (gateway, _backend) = node(modules);
    let mut page = chromium::open(chromium, gateway.address(), "gateway");
    talk(&mut page);
    page.tell("text extensions?");
    page.wait_for("shows < extensions: permessage-deflate");
    page.tell("press binary");
    let sent = page.wait_for_start("shows > binary, ");
    page.wait_for(&sent.replacen('>', "<", 1));
    page.tell("text close 4002 over");
    page.wait_for("close 4002 over");
}
