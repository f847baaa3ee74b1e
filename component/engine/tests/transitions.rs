//! The state machine as a table, every phase × every input, so that a changed transition shows up as a changed file in
//! review. To accept a change: `INSTA_UPDATE=always cargo test -p legacy-websocket --test transitions`.

mod support;

use std::fmt::Write;

use legacy_websocket::hybi::CloseCode;
use legacy_websocket::{Limits, Loss, Options, Server};
use support::hybi::{frame, text};
use support::{ANSWER, Driver, ID, KEY3, head_hybi, head75, head76};

type Act = fn(&mut Driver);
type Phase = (&'static str, Needs, Act);
type Input = (&'static str, Act);

/// The option with which a phase is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Authorise,
    PassThrough,
}

/// How to bring a connection into each phase.
const PHASES: [Phase; 15] = [
    ("head, nothing yet", Needs::Nothing, |_| ()),
    ("head, begun", Needs::Nothing, |driver| driver.receive(b"GET /")),
    ("Flash policy, begun", Needs::Nothing, |driver| driver.receive(b"<policy")),
    ("Flash policy but for its NUL", Needs::Nothing, |driver| driver.receive(b"<policy-file-request/>")),
    ("body", Needs::Nothing, |driver| {
        driver.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
    }),
    ("body, in a chunk", Needs::Nothing, |driver| {
        driver.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n63\r\n");
    }),
    ("responding", Needs::Nothing, |driver| driver.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("passing", Needs::PassThrough, |driver| {
        // Nothing is polled yet.
        driver.server.receive(ID, b"GET / HTTP/1.1\r\n\r\n").for_each(drop);
    }),
    ("deciding", Needs::Authorise, |driver| driver.receive(&head75(""))),
    ("key3", Needs::Nothing, |driver| driver.receive(&head76(""))),
    ("open, draft 75", Needs::Nothing, |driver| driver.receive(&head75(""))),
    ("open, draft 76", Needs::Nothing, open76),
    ("closing, draft 76", Needs::Nothing, |driver| {
        open76(driver);
        driver.server.close(ID).unwrap();
        driver.drain();
    }),
    ("closing, draft 76, our FIN sent", Needs::Nothing, |driver| {
        open76(driver);
        driver.server.close(ID).unwrap();
        driver.drain();
        let at = driver.server.poll_timeout().unwrap();
        driver.server.advance(at);
        driver.drain();
    }),
    ("ending, draft 76", Needs::Nothing, |driver| {
        open76(driver);
        driver.server.advance(0);
        assert_eq!(driver.server.receive(ID, b"\0last\xff\xff\0\0ignored\xff").count(), 1);
        driver.drain();
    }),
];

/// The inputs that can reach it.
const INPUTS: [Input; 15] = [
    ("text frame", |driver| driver.receive(b"\0hi\xff")),
    ("half a text frame", |driver| driver.receive(b"\0hi")),
    ("closing frame", |driver| driver.receive(b"\xff\0")),
    ("frame type 01", |driver| driver.receive(b"\x01")),
    ("key3", |driver| driver.receive(KEY3)),
    ("end of stream", |driver| driver.server.receive_eof(ID)),
    ("reset", |driver| driver.server.lost(ID, Loss::Reset)),
    ("slow reader", |driver| driver.server.lost(ID, Loss::SlowReader)),
    ("deadline", |driver| {
        if let Some(at) = driver.server.poll_timeout() {
            driver.server.advance(at);
        }
    }),
    ("send", |driver| command(driver, |server| server.send(ID, "x"))),
    ("close", |driver| command(driver, |server| server.close(ID))),
    ("accept", |driver| command(driver, |server| server.accept(ID, None, &[]))),
    ("reject", |driver| command(driver, |server| server.reject(ID, 403, "no"))),
    ("respond", |driver| command(driver, |server| server.respond(ID, 200, &[], b"ok"))),
    ("shutdown", |driver| driver.server.shutdown()),
];

/// The phases in which later protocols differ.
const HYBI_PHASES: [Phase; 5] = [
    ("open, RFC 6455", Needs::Nothing, open_hybi),
    ("open, RFC 6455, pinged", Needs::Nothing, |driver| {
        open_hybi(driver);
        driver.server.advance(30_000);
        driver.drain();
    }),
    ("open, RFC 6455, in a message", Needs::Nothing, |driver| {
        open_hybi(driver);
        driver.receive(&frame(0x01, b"first, "));
    }),
    ("closing, RFC 6455", Needs::Nothing, |driver| {
        open_hybi(driver);
        driver.server.close(ID).unwrap();
        driver.drain();
    }),
    ("ending, RFC 6455", Needs::Nothing, |driver| {
        open_hybi(driver);
        driver.server.advance(0);
        let bytes = [text("last"), frame(0x88, b"\x0f\xa0bye"), text("ignored")].concat();
        assert_eq!(driver.server.receive(ID, &bytes).count(), 1);
        driver.drain();
    }),
];

/// What can happen in them.
const HYBI_INPUTS: [Input; 19] = [
    ("text frame", |driver| driver.receive(&text("hi"))),
    ("half a text frame", |driver| driver.receive(&text("hi")[..7])),
    ("last fragment", |driver| driver.receive(&frame(0x80, b"last"))),
    ("binary frame", |driver| driver.receive(&frame(0x82, b"\xff"))),
    ("ping", |driver| driver.receive(&frame(0x89, b"?"))),
    ("pong", |driver| driver.receive(&frame(0x8a, b""))),
    ("close frame", |driver| driver.receive(&frame(0x88, b"\x03\xe9bye"))),
    ("close, no code", |driver| driver.receive(&frame(0x88, b""))),
    ("unmasked frame", |driver| driver.receive(b"\x81\x02hi")),
    ("not UTF-8", |driver| driver.receive(&frame(0x81, b"\xff"))),
    ("end of stream", |driver| driver.server.receive_eof(ID)),
    ("reset", |driver| driver.server.lost(ID, Loss::Reset)),
    ("deadline", |driver| {
        // The first may be that of the opening handshake, postponed.
        for _ in 0..2 {
            let at = driver.server.poll_timeout();
            driver.server.advance(at.unwrap_or_default());
        }
    }),
    ("send", |driver| command(driver, |server| server.send(ID, "x"))),
    ("send binary", |driver| command(driver, |server| server.send_binary(ID, b"\xff"))),
    ("close", |driver| command(driver, |server| server.close_with(ID, CloseCode::INTERNAL_ERROR, "no"))),
    ("accept", |driver| command(driver, |server| server.accept(ID, None, &[]))),
    ("reject", |driver| command(driver, |server| server.reject(ID, 403, "no"))),
    ("shutdown", |driver| driver.server.shutdown()),
];

fn open_hybi(driver: &mut Driver) {
    driver.receive(&head_hybi(13, ""));
}

fn open76(driver: &mut Driver) {
    driver.receive(&head76(""));
    driver.receive(KEY3);
}

fn command(driver: &mut Driver, run: impl FnOnce(&mut Server) -> Result<(), legacy_websocket::Misuse>) {
    if let Err(misuse) = run(&mut driver.server) {
        driver.events.push(format!("misuse: {misuse}"));
    }
}

#[test]
fn every_phase_with_every_input() {
    check("transitions", &PHASES, &INPUTS);
}

#[test]
fn every_phase_of_rfc_6455_with_every_input() {
    check("transitions_hybi", &HYBI_PHASES, &HYBI_INPUTS);
}

fn check(name: &str, phases: &[Phase], inputs: &[Input]) {
    let mut table = String::new();
    for (phase, needs, enter) in phases {
        writeln!(table, "\n{phase}").unwrap();
        for (input, act) in inputs {
            let flash_policy = Some("<p/>".into());
            let limits = Limits { ping_interval: 30_000, ..Limits::default() };
            let (authorise, pass_through) = (*needs == Needs::Authorise, *needs == Needs::PassThrough);
            let mut driver =
                Driver::new(Options { authorise, pass_through, flash_policy, limits, ..Options::default() });
            enter(&mut driver);
            driver.bytes.clear();
            driver.events.clear();
            act(&mut driver);
            driver.drain();
            writeln!(table, "  {input:<18} {}", outcome(&driver)).unwrap();
        }
    }
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, table);
    });
}

fn outcome(driver: &Driver) -> String {
    let mut parts = driver.events.clone();
    if !driver.bytes.is_empty() {
        let bytes = match driver.bytes.strip_suffix(ANSWER) {
            Some(_) => "the 16 bytes".into(),
            // The first line of a head is enough.
            None => driver
                .bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default()
                .escape_ascii()
                .to_string(),
        };
        parts.push(format!("writes {bytes}"));
    }
    parts.extend(driver.passed.iter().map(|bytes| format!("bytes {}", bytes.escape_ascii())));
    parts.extend(driver.end.clone());
    if parts.is_empty() { "-".into() } else { parts.join("; ") }
}
