//! A browser engine of the period, WebKit 534.34, driven by `tests/browser/drive.js`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::frame;
use super::recorder::Recorder;
use super::server::Server;

/// The text the driver sends.
pub(crate) const TEXT: &str = "h\u{e9} \u{20ac} \u{1f600}";

/// A running browser that follows one of the driver's scripts.
pub(crate) struct Browser {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Browser {
    pub(crate) fn start(phantomjs: &Path, recorder: &Recorder, what: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/drive.js");
        let url = format!("http://{}/", recorder.address());
        let mut child = Command::new(phantomjs)
            .args([script, &url, what])
            // PhantomJS crashes at startup if this is set.
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("PhantomJS runs");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The lines the page logs, up to one that starts with `beginning`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, beginning: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert!(count > 0, "no {beginning:?} among {lines:#?}");
            lines.push(line.trim_end().to_owned());
            if line.starts_with(beginning) {
                return lines;
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_success(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A chat between the example's own page in the browser (draft 76) and a draft 75 client.
#[track_caller]
pub(crate) fn chat_with_draft75(phantomjs: &Path, server: &Server) {
    let recorder = Recorder::start(server.address());
    let mut client = server.open75();
    client.expect(&frame("* you are guest 1"));
    let mut browser = Browser::start(phantomjs, &recorder, "chat");
    client.read_until(b" joined\xff");
    client.read_until(&[&b": "[..], TEXT.as_bytes(), b"\xff"].concat());
    client.read_until(b": your turn\xff");
    client.send(&frame("bye"));
    let saw = browser.read_until("guest 1: bye");
    browser.expect_success();
    assert!(saw.iter().any(|line| line.starts_with("guest ") && line.ends_with(TEXT)), "{saw:#?}");
    let stats = saw.iter().find(|line| line.starts_with("* 2 here: guest 1 (draft 75), guest ")).unwrap();
    assert!(stats.ends_with("(draft 76); 1 messages"), "{stats}");
    client.read_until(b" left\xff");
}
