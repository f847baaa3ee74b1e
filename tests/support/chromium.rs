//! Headless Chromium, driven over its remote debugging protocol.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::{Value, json};

use super::DEADLINE;
use super::third_party::ThirdParty;

/// Messages on its pipe end with NUL.
const END: u8 = 0;

/// Opens the server's page, as a client that is driven by lines.
pub(crate) fn open(chromium: &Path, server: SocketAddr, name: &str) -> ThirdParty {
    let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{name}"));
    // A profile that another run has left behind may be locked.
    let _ = std::fs::remove_dir_all(&profile);
    // Chromium reads its pipe on descriptor 3 and writes to 4.
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"])
        .arg(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg("--remote-debugging-pipe")
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Chromium starts");
    let (lines, results) = listen(child.stdout.take().unwrap());
    let mut tab = Tab { pipe: child.stdin.take().unwrap(), results, session: Value::Null, last: 0 };
    tab.open(&format!("http://{server}/"));
    ThirdParty::new(child, lines, move |line| {
        tab.call("Runtime.evaluate", &json!({ "expression": format!("tell({})", Value::from(line)) }));
    })
}

/// One page.
struct Tab {
    pipe: ChildStdin,
    results: Receiver<Value>,
    session: Value,
    /// The number of the last call.
    last: u32,
}

impl Tab {
    fn open(&mut self, url: &str) {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        self.session = self.call("Target.attachToTarget", &attach)["sessionId"].clone();
        self.call("Runtime.enable", &json!({}));
        self.call("Page.enable", &json!({}));
        let script = include_str!("../browser/watch.js");
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
        self.call("Page.navigate", &json!({ "url": url }));
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut call = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_null() {
            call["sessionId"] = self.session.clone();
        }
        self.pipe.write_all(&[call.to_string().as_bytes(), &[END]].concat()).unwrap();
        let answer = self.results.recv_timeout(DEADLINE).expect("Chromium answers");
        let is_fine = answer["id"] == self.last && answer["result"]["exceptionDetails"].is_null();
        assert!(is_fine && answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }
}

/// What pages write to the console, and the answers to calls.
fn listen(stdout: ChildStdout) -> (Receiver<String>, Receiver<Value>) {
    let ((told, lines), (answered, results)) = (channel(), channel());
    thread::spawn(move || {
        for message in BufReader::new(stdout).split(END).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("JSON");
            if sort(message, &told, &answered).is_none() {
                // The client is gone.
                return;
            }
        }
    });
    (lines, results)
}

fn sort(message: Value, told: &Sender<String>, answered: &Sender<Value>) -> Option<()> {
    if !message["id"].is_null() {
        return answered.send(message).ok();
    }
    match message["method"].as_str() {
        Some("Runtime.consoleAPICalled") => {
            told.send(message["params"]["args"][0]["value"].as_str().unwrap_or_default().into()).ok()
        }
        Some("Runtime.exceptionThrown") => told.send(format!("error {message}")).ok(),
        _ => Some(()),
    }
}
