//! The status page in a current browser.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::optional::{install, trial};
use support::server::Server;
use support::{CLOSING, KEY3, answer75, frame, head75, head76};

/// A malicious origin, as sent by a client.
const EVIL: &str = r#"<img src=x onerror="document.title='evil'">"#;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let chromium = install("install-chromium");
    let trials = vec![
        trial("connections_and_counters_are_shown", &chromium, connections_and_counters_are_shown),
        trial("client_supplied_text_is_escaped", &chromium, client_supplied_text_is_escaped),
        trial("an_unresponsive_server_is_reported", &chromium, an_unresponsive_server_is_reported),
        trial("backends_are_shown_of_a_gateway_alone", &chromium, backends_are_shown_of_a_gateway_alone),
        trial("plots_show_the_values_under_the_pointer", &chromium, plots_show_the_values_under_the_pointer),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn start(options: &[&str]) -> (Server, String) {
    let server = Server::start(&[&["--metrics", "0"], options].concat());
    let line = server.wait_for_log(&["status on http://127.0.0.1:"]);
    let url = format!("http://{}", line.split("http://").nth(1).unwrap());
    (server, url)
}

/// The URL of a copy of the page that runs `script` before its own, without a server.
fn alone(name: &str, script: &str) -> String {
    let page = include_str!("../host/src/observe/admin/status.html");
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("status-{name}.html"));
    std::fs::write(&file, page.replacen("<script>", &format!("<script>{script}</script><script>"), 1))
        .unwrap();
    format!("file://{}", file.display())
}

/// The status that the page fetches from a server.
const STATUS: &str = r#"{
    version: "1", uptime: 9, unready: null, open: 1, max_connections: 10, workers: [1],
    protocols: [["draft75", 0], ["draft76", 1], ["hybi7", 0], ["hybi8", 0], ["rfc6455", 0]],
    accepted: 1, connected: 1, messages: [5, 7], bytes: [5, 7], queue_bytes: 0, buffered_bytes: 0, slow_readers: 0,
    log_lines_lost: 0, traps: 0, restarts: 0, turns: 1, turn_seconds: .1, rejected: [["426", 3]], closed: [["refused", 3]],
    interval: 2, rows: [], more_rows: 0,
    points: [0, 2, 4].map(at => ({ at, connections: at, received: at, sent: 2 * at, bytes_received: 0, bytes_sent: 0,
        handshakes: 0, refused: 0, queue_bytes: 0, busy: 0 })),
}"#;

/// The page's title and visible content after its script has run.
#[track_caller]
fn show(chromium: &Path, url: &str) -> (String, String) {
    let profile =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("status-{}", url.replace(['/', ':'], "-")));
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--virtual-time-budget=1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .expect("Chromium runs");
    let document = String::from_utf8_lossy(&output.stdout).into_owned();
    // Excludes the script's own text.
    let between = |start, end| {
        let (_, rest) = document.split_once(start)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    match (between("<title>", "</title>"), between("</style>", "<script>")) {
        (Some(title), Some(shown)) => (title, shown),
        _ => panic!("{document}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn connections_and_counters_are_shown(chromium: &Path) {
    let (server, url) = start(&["--max-queue-bytes", "67108864"]);
    let (client75, mut client76, mut slow) = (server.open75(), server.open76(), server.open76());
    client76.echo("in");
    // The echo is never read, so what exceeds the kernel's buffers stays queued.
    assert!(!slow.flood(&frame(&"a".repeat(1000)), 24 << 20));
    client76.echo("still");
    let (_, shown) = show(chromium, &url);
    for (client, protocol) in [(&client75, "draft 75"), (&client76, "draft 76")] {
        let row = format!(
            r#"<td class="peer">{}</td><td data-name="protocol">{protocol}</td><td>connected</td><td class="origin">http://example.com</td>"#,
            client.address()
        );
        assert!(shown.contains(&row), "no {row} in {shown}");
    }
    let traffic = format!(
        r#"<td class="n" data-name="received">{} B</td><td class="n" data-name="sent">{} B</td>"#,
        head75("").len(),
        answer75("ws://example.com/demo", "").len()
    );
    assert!(shown.contains(&traffic), "no {traffic} in {shown}");
    // Longest queue first.
    let first = shown.split(r#"<td class="peer">"#).nth(1).unwrap_or_default();
    assert!(first.starts_with(&slow.address().to_string()), "{first}");
    for text in [
        ">serving</span>",
        "draft&nbsp;75:&nbsp;1 · draft&nbsp;76:&nbsp;2 · opening:&nbsp;0",
        "None yet.",
        "Nobody.",
    ] {
        assert!(shown.contains(text), "no {text} in {shown}");
    }
    client76.send(CLOSING);
    client76.expect(CLOSING);
    client76.expect_end();
    // Counted only among the refusals.
    let mut later = server.connect();
    later.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 6\r\n\r\n");
    later.read_until(b" 426 ");
    let (_, shown) = show(chromium, &url);
    assert!(shown.contains("<span>by-peer</span>") && !shown.contains("<span>refused</span>"), "{shown}");
    assert!(shown.contains("<span>a protocol not spoken here (426)</span>"), "{shown}");
}

fn client_supplied_text_is_escaped(chromium: &Path) {
    let (server, url) = start(&[]);
    let head = String::from_utf8(head76("")).unwrap().replace("http://example.com", EVIL);
    let mut client = server.connect();
    client.send(&[head.as_bytes(), KEY3].concat());
    client.read_until(b"\r\n\r\n");
    let (title, shown) = show(chromium, &url);
    assert!(shown.contains(r#"<td class="origin">&lt;img src=x onerror="#), "{shown}");
    assert_eq!(title, "legacy-websocket");
}

fn an_unresponsive_server_is_reported(chromium: &Path) {
    let never = alone("never", "fetch = async () => { throw new Error('gone'); };");
    let (title, shown) = show(chromium, &never);
    assert_eq!(title, "no answer \u{2013} legacy-websocket");
    assert!(shown.contains(">no answer</span>"), "{shown}");

    let answer = format!("{{ ok: true, json: async () => ({STATUS}) }}");
    let once = format!(
        "let calls = 0; fetch = async () => {{ if (calls++) throw new Error('gone'); return {answer}; }};
        setTimeout = (later => (run, time) => later(run, time / 10))(setTimeout);
        performance.now = (first => () => (first = first ? 12500 : 500))(0);"
    );
    let (title, shown) = show(chromium, &alone("once", &once));
    assert_eq!(title, "no answer \u{2013} legacy-websocket");
    assert!(shown.contains("what is shown is 12 s old"), "{shown}");
    // Refusals are counted once, with their reason in words.
    assert!(shown.contains("a protocol not spoken here (426)"), "{shown}");
    assert!(shown.contains("None yet."), "{shown}");
}

fn backends_are_shown_of_a_gateway_alone(chromium: &Path) {
    let gateway =
        "{ pairs: 0, tunnels: 0, binary_dropped: 0, closes: [], requests: [], routes: [], backends: [] }";
    for (gateway, expected) in [("null", "backends hidden"), (gateway, "backends visible")] {
        let script = format!(
            "fetch = async () => ({{ ok: true, json: async () => ({{ ...({STATUS}), gateway: {gateway} }}) }});
            setTimeout(() => {{
                const height = document.getElementById('gateway').offsetHeight;
                const isRendered = document.getElementById('about').textContent.startsWith('version 1');
                document.title = !isRendered ? 'empty' : height ? 'backends visible' : 'backends hidden';
            }}, 300);"
        );
        let (title, _) = show(chromium, &alone("backends", &script));
        assert_eq!(title, expected);
    }
}

fn plots_show_the_values_under_the_pointer(chromium: &Path) {
    let script = format!(
        "fetch = async () => ({{ ok: true, json: async () => ({STATUS}) }});
        setTimeout(() => {{
            const plot = document.querySelectorAll('.plot')[1], {{ left, width }} = plot.getBoundingClientRect();
            plot.dispatchEvent(new PointerEvent('pointermove', {{ clientX: left + width - 1 }}));
        }}, 300);"
    );
    let (_, shown) = show(chromium, &alone("pointer", &script));
    assert!(shown.contains("received 4, sent 8 \u{b7} now"), "{shown}");
}
