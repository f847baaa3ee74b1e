//! The report page in a browser: the behaviour of its script.

#[path = "../../tests/support/optional.rs"]
mod optional;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use conformance::report::{Report, Seen, html};
use optional::{install, trial};

/// Output of an untrusted server.
const EVIL: &str =
    r#"</script><script>document.title='evil'</script><img src=x onerror="document.title='evil'">"#;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let chromium = install("install-chromium");
    let trials = vec![
        trial("a_link_opens_a_cell", &chromium, a_link_opens_a_cell),
        trial(
            "a_long_stretch_without_a_difference_is_shown_when_asked_for",
            &chromium,
            a_long_stretch_without_a_difference_is_shown_when_asked_for,
        ),
        trial("keys_walk_open_and_close", &chromium, keys_walk_open_and_close),
        trial("filters_leave_what_they_name", &chromium, filters_leave_what_they_name),
        trial(
            "bytes_are_shown_in_hexadecimal_when_asked",
            &chromium,
            bytes_are_shown_in_hexadecimal_when_asked,
        ),
        trial("what_a_server_says_stays_text", &chromium, what_a_server_says_stays_text),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn a_link_opens_a_cell(chromium: &Path) {
    let page = Page::new("link", &[report("one"), report("the other")]);
    let shown = page.show(chromium, "frames/cut@the%20other", "");
    for text in [
        "<h2>frames/cut</h2>",
        "<td>accepted</td><td>accepted</td>",
        r#"<td class="less">message "h"</td><td class="more">end</td>"#,
        r#"<li class="message client text"><time>1.5 ms</time>"#,
        "<small>3,000 bytes, the first 3 shown</small>",
        r"<i>\x00</i>h<i>\xff</i>",
        // One entry per frame, however the bytes were split.
        "<small>2 bytes in 2 pieces</small>",
        "<small>3 bytes in 3 pieces</small>",
        "<blockquote>",
        "client waits: end of turn 1",
        "FIN: ends its side",
    ] {
        assert!(shown.contains(text), "no {text} in {shown}");
    }
    assert!(page.show(chromium, "frames/cut", "").contains("<h2>frames/cut</h2>"));
    assert!(!page.show(chromium, "frames/none@one", "").contains(r#"<tr class="detail">"#));
    assert!(!page.show(chromium, "%", "").contains(r#"<tr class="detail">"#));
}

fn a_long_stretch_without_a_difference_is_shown_when_asked_for(chromium: &Path) {
    let mut report = report("one");
    let case = &mut report.cases[0];
    for list in [&mut case.expected, &mut case.seen] {
        let first = list[0].clone();
        list.splice(0..0, (0..30).map(|at| Seen { what: format!("number {at}"), ..first.clone() }));
    }
    let page = Page::new("stretch", &[report]);
    let say =
        "document.body.append('shown ' + [...document.querySelectorAll('.seen tr:not([hidden])')].length);";
    let shown = page.show(chromium, "frames/cut", say);
    // The head, three entries at either end, the button, the difference.
    assert!(shown.contains("25 more") && shown.contains("shown 9<"), "{shown}");
    let click = format!("document.querySelector('.seen button').click(); {say}");
    assert!(page.show(chromium, "frames/cut", &click).contains("shown 33<"));
}

fn keys_walk_open_and_close(chromium: &Path) {
    let page = Page::new("keys", &[report("one"), report("the other")]);
    let press = "const press = (key) => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true }));
        const say = () => document.body.append('said ' + location.hash + '; ');";
    let drive = "press('ArrowDown'); press('ArrowLeft'); press('Enter'); say(); press('Escape'); say();
        press('ArrowRight'); press(' '); say();";
    let shown = page.show(chromium, "frames/cut@the%20other", &format!("{press}{drive}"));
    assert!(shown.contains("said #frames/whole@one; said ; said #frames/whole@the%20other; "), "{shown}");
}

fn filters_leave_what_they_name(chromium: &Path) {
    let page = Page::new("filters", &[report("one")]);
    let rows = "const form = document.querySelector('form');
        const rows = () => document.body.append('left ' + [...document.querySelectorAll('.case')].filter(
            (row) => row.offsetParent).map((row) => row.id) + '; ');
        const choose = (name, value) => {
            form.reset();
            for (const input of form.elements) {
                if (input.name === name && (name === 'text' || input.value === value)) {
                    if (name === 'text') input.value = value; else input.checked = true;
                }
            }
            form.dispatchEvent(new Event('input'));
            rows();
        };";
    let drive = "choose('outcome', 'must'); choose('outcome', 'na'); choose('severity', 'MAY');
        choose('protocol', 'draft75'); choose('text', 'TITLE because'); choose('text', 'nowhere');";
    let shown = page.show(chromium, "", &format!("{rows}{drive}"));
    let left = "left frames/cut; left http/get; left http/get; left frames/whole; left frames/cut; left ; ";
    assert!(shown.contains(left), "{shown}");
    assert!(shown.contains("0 of 3 cases"), "{shown}");
}

fn bytes_are_shown_in_hexadecimal_when_asked(chromium: &Path) {
    let page = Page::new("hex", &[report("one")]);
    let shown = page.show(chromium, "frames/cut@one", "document.querySelector('.wire button').click();");
    assert!(shown.contains(r#"<span class="bytes">00 68 ff</span>"#), "{shown}");
    let dump = "0000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..\n0010  0d 0a  ";
    assert!(shown.contains(dump), "{shown}");
}

fn what_a_server_says_stays_text(chromium: &Path) {
    let mut report = report(EVIL);
    for case in &mut report.cases {
        (case.title, case.section, case.reason) = (EVIL.into(), EVIL.into(), EVIL.into());
        case.known = Some(EVIL.into());
        case.expected.iter_mut().chain(&mut case.seen).for_each(|seen| seen.what = EVIL.into());
        case.transcript.iter_mut().for_each(|entry| entry.bytes = EVIL.into());
    }
    let shown = Page::new("evil", &[report]).show(chromium, "frames/cut", "");
    assert!(shown.contains("<h2>frames/cut</h2>") && shown.contains("&lt;img src=x"), "{shown}");
    assert!(!shown.contains("<img") && !shown.contains("<title>evil"), "{shown}");
}

/// A page in a file.
struct Page {
    html: String,
    folder: std::path::PathBuf,
}

impl Page {
    fn new(name: &str, reports: &[Report]) -> Self {
        let mut page = Vec::new();
        html(reports, &mut page).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page").join(name);
        fs::create_dir_all(&folder).unwrap();
        Self { html: String::from_utf8(page).unwrap(), folder }
    }

    /// The document after `drive`, a script that follows the page's own, has run, without styles and scripts.
    fn show(&self, chromium: &Path, link: &str, drive: &str) -> String {
        let file = self.folder.join("page.html");
        let drive = format!("<script>{drive}</script></body>");
        fs::write(&file, self.html.replace("</body>", &drive)).unwrap();
        let output = Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--dump-dom"])
            .arg(format!("--user-data-dir={}", self.folder.join("profile").display()))
            .arg(format!("file://{}#{link}", file.display()))
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && shown.contains("scripted"), "{shown}");
        let (head, body) = shown.split_once("<style>").unwrap();
        let mut parts = body.split_once("</style>").unwrap().1.split("<script");
        let first = head.to_owned() + parts.next().unwrap();
        parts.filter_map(|part| part.split_once("</script>")).fold(first, |shown, (_, rest)| shown + rest)
    }
}

fn report(name: &str) -> Report {
    let case = |id: &str, protocol, severity, verdict, reason, last| {
        serde_json::json!({
            "id": id, "title": "A title", "protocol": protocol, "section": "75 s3.1", "severity": severity, "requirements": ["chunking"],
            "verdict": verdict, "reason": reason,
            "expected": [seen("accepted"), seen("message \"h\"")], "seen": [seen("accepted"), seen(last)],
            "transcript": [
                entry(0.0, "client", "head", "474554202f20485454502f312e310d0a0d0a", 18),
                entry(1.0, "client", "wait", "", 0),
                entry(1.5, "client", "text", "0068ff", 3000),
                entry(1.75, "server", "text", "00", 1),
                entry(1.75, "server", "text", "ff", 1),
                entry(1.8, "server", "text", "00", 1),
                entry(1.8, "server", "text", "61", 1),
                entry(1.8, "server", "text", "ff", 1),
                entry(2.0, "server", "fin", "", 0),
            ],
        })
    };
    let json = serde_json::json!({
        "format": 2,
        "server": { "name": name, "url": "ws://127.0.0.1/", "protocols": [], "echo": true, "settings": [] },
        "started": "2010-05-06T12:00:00Z",
        "cases": [
            case("frames/cut", "draft76", "MUST", "fails-must", "because", "end"),
            case("frames/whole", "draft75", "SHOULD", "pass", "", "message \"h\""),
            case("http/get", "none", "MAY", "not-applicable", "there is no HTTP", "end"),
        ],
    });
    Report::read(json.to_string().as_bytes()).unwrap()
}

fn seen(what: &str) -> serde_json::Value {
    serde_json::json!({ "connection": 1, "turn": 1, "what": what })
}

fn entry(at: f64, from: &str, kind: &str, bytes: &str, length: usize) -> serde_json::Value {
    serde_json::json!({ "at": at, "connection": 1, "from": from, "kind": kind, "bytes": bytes, "length": length })
}
