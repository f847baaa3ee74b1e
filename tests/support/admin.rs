//! Client for the `--metrics` port.

use std::collections::BTreeMap;
use std::time::Instant;

use super::DEADLINE;
use super::client::Client;
use super::server::Server;

/// Starts a server with a metrics port.
pub(crate) fn start(engine: &str, options: &[&str]) -> (Server, Admin) {
    let server = Server::start(&[&["--engine", engine, "--metrics", "0"], options].concat());
    let admin = Admin::of(&server);
    (server, admin)
}

pub(crate) struct Admin(pub(crate) String);

impl Admin {
    /// That of a server started with `--metrics`.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        let line = server.wait_for_log(&["status on http://127.0.0.1:"]);
        Self(line.split("http://").nth(1).unwrap().trim_end_matches('/').to_owned())
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.0.parse().unwrap())
    }

    /// The head and the body of the answer.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str) -> (String, String) {
        self.ask_host(&self.0, method, path)
    }

    #[track_caller]
    pub(crate) fn ask_host(&self, host: &str, method: &str, path: &str) -> (String, String) {
        let mut client = self.connect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.send(head.as_bytes());
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.into(), body.into())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> String {
        let (head, body) = self.ask("GET", path);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        body
    }

    /// All samples; checks their format.
    #[track_caller]
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
        for line in self.get("/metrics").lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                let known = families.contains_key(bare)
                    || ["_bucket", "_sum", "_count"].iter().any(|part| {
                        bare.strip_suffix(part)
                            .is_some_and(|name| families.get(name).is_some_and(|kind| kind == "histogram"))
                    });
                assert!(known, "{line}");
                assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
            }
        }
        samples
    }
}

/// Polls the metrics until `is_so`: a peer's action takes a moment to show.
#[track_caller]
pub(crate) fn until(admin: &Admin, is_so: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    let end = Instant::now() + DEADLINE;
    loop {
        let metrics = admin.metrics();
        if is_so(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < end, "{metrics:#?}");
    }
}
