//! The status page in a browser of today.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use support::optional::{install, trial};
use support::server::Server;
use support::{CLOSING, KEY3, frame, head76};

/// What a client, who is not to be trusted, says of itself.
const EVIL: &str = r#"<img src=x onerror="document.title='evil'">"#;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let chromium = install("install-chromium");
    let trials = vec![
        trial("what_goes_on_is_shown", &chromium, what_goes_on_is_shown),
        trial("what_a_client_says_stays_text", &chromium, what_a_client_says_stays_text),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn start(options: &[&str]) -> (Server, String) {
    let server = Server::start(&[&["--metrics", "0"], options].concat());
    let line = server.wait_for_log(&["status on http://127.0.0.1:"]);
    let url = format!("http://{}", line.split("http://").nth(1).unwrap());
    (server, url)
}

/// The page's title and what it shows, after its script has run.
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
    // Not what the script could say.
    let between = |start, end| {
        let (_, rest) = document.split_once(start)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    match (between("<title>", "</title>"), between("</style>", "<script>")) {
        (Some(title), Some(shown)) => (title, shown),
        _ => panic!("{document}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn what_goes_on_is_shown(chromium: &Path) {
    let (server, url) = start(&["--max-queue-bytes", "67108864"]);
    let (client75, mut client76, mut slow) = (server.open75(), server.open76(), server.open76());
    client76.echo("in");
    // Nobody reads the echo of it: what the kernel does not take waits.
    assert!(!slow.flood(&frame(&"a".repeat(1000)), 24 << 20));
    client76.echo("still");
    let (_, shown) = show(chromium, &url);
    for (client, draft) in [(&client75, "75"), (&client76, "76")] {
        let row = format!(
            r#"<td class="peer">{}</td><td data-name="draft">{draft}</td><td>connected</td><td class="origin">http://example.com</td>"#,
            client.address()
        );
        assert!(shown.contains(&row), "no {row} in {shown}");
    }
    // The longest queue first.
    let first = shown.split(r#"<td class="peer">"#).nth(1).unwrap_or_default();
    assert!(first.starts_with(&slow.address().to_string()), "{first}");
    for text in [">serving</span>", "draft 75: 1 · draft 76: 2 · opening: 0", "None yet.", "Nobody."] {
        assert!(shown.contains(text), "no {text} in {shown}");
    }
    client76.send(CLOSING);
    client76.expect(CLOSING);
    client76.expect_end();
    assert!(show(chromium, &url).1.contains("<span>by-peer</span>"));
}

fn what_a_client_says_stays_text(chromium: &Path) {
    let (server, url) = start(&[]);
    let head = String::from_utf8(head76("")).unwrap().replace("http://example.com", EVIL);
    let mut client = server.connect();
    client.send(&[head.as_bytes(), KEY3].concat());
    client.read_until(b"\r\n\r\n");
    let (title, shown) = show(chromium, &url);
    assert!(shown.contains(r#"<td class="origin">&lt;img src=x onerror="#), "{shown}");
    assert_eq!(title, "legacy-websocket");
}
