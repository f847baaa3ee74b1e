//! The application's side of `check --application`, as the author of a server would write it: lines of JSON in, orders
//! to the server out.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

/// An order from the checker.
#[derive(Debug)]
pub(crate) struct Job {
    /// The address of the client of the connection concerned.
    pub(crate) client: String,
    pub(crate) order: Order,
    pub(crate) reply: Reply,
}

#[derive(Debug)]
pub(crate) enum Order {
    Send(String),
    SendBinary(Vec<u8>),
    Broadcast(String),
    Close(Option<(u16, String)>),
    Accept(Option<String>),
    Reject(u16, String),
    Respond(u16, String),
    Shutdown,
    Advance(u64),
    /// The case that stopped the server has ended.
    Restart,
}

/// How the adapter behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It carries out orders.
    Able,
    /// It claims to, but does nothing.
    Lying,
    /// It reports that it supports nothing.
    Unable,
    /// It does not answer.
    Mute,
}

/// Where the answer to an order goes.
#[derive(Clone, Debug)]
pub(crate) struct Reply(Arc<Mutex<TcpStream>>);

impl Reply {
    pub(crate) fn ok(&self) {
        self.say(&json!({ "answer": "ok" }));
    }

    pub(crate) fn failed(&self, why: &str) {
        self.say(&json!({ "answer": "failed", "why": why }));
    }

    pub(crate) fn unsupported(&self) {
        self.say(&json!({ "answer": "unsupported" }));
    }

    fn say(&self, line: &Value) {
        // The receiver may be gone.
        let _ = self.0.lock().expect("nobody panics").write_all(format!("{line}\n").as_bytes());
    }
}

/// The control connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Controls(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// By the address of the client: the case a connection belongs to, and its number there.
    connections: HashMap<String, (Reply, u64)>,
    serves: bool,
}

impl Controls {
    /// Accepts orders on its own address as long as the process runs.
    pub(crate) fn listen(&self, manner: Manner, give: impl Fn(Job) + Clone + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let controls = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (controls, give) = (controls.clone(), give.clone());
                thread::spawn(move || controls.obey(stream.expect("a connection"), manner, give));
            }
        });
        address
    }

    /// Sets whether the server is serving. Control connections are greeted once it is.
    pub(crate) fn set_serving(&self, serves: bool) {
        self.state().serves = serves;
        self.0.1.notify_all();
    }

    /// Notifies the case that the connection belongs to.
    pub(crate) fn tell(&self, event: &str, client: &str) {
        if let Some((reply, number)) = self.state().connections.get(client) {
            reply.say(&json!({ "event": event, "connection": number }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("nobody panics")
    }

    /// One control connection: one case.
    fn obey(&self, stream: TcpStream, manner: Manner, give: impl Fn(Job)) {
        let reply = Reply(Arc::new(Mutex::new(stream.try_clone().expect("another handle"))));
        drop(self.0.1.wait_while(self.state(), |state| !state.serves).expect("nobody panics"));
        reply.say(&json!({ "event": "ready" }));
        let (mut clients, mut stopped) = (HashMap::new(), false);
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            let line: Value = serde_json::from_str(&line).expect("JSON");
            let number = line["connection"].as_u64().unwrap_or_default();
            let order = match line["do"].as_str().expect("an order") {
                "connection" => {
                    let client = text(&line["client"]).expect("an address");
                    self.state().connections.insert(client.clone(), (reply.clone(), number));
                    clients.insert(number, client);
                    reply.ok();
                    continue;
                }
                "send" => Order::Send(text(&line["text"]).expect("a text")),
                "broadcast" => Order::Broadcast(text(&line["text"]).expect("a text")),
                "send-binary" => {
                    Order::SendBinary(hex::decode(text(&line["hex"]).expect("a text")).expect("digits"))
                }
                "close" => {
                    let code = line["code"].as_u64().map(|code| u16::try_from(code).expect("a code"));
                    Order::Close(code.map(|code| (code, text(&line["reason"]).unwrap_or_default())))
                }
                "accept" => Order::Accept(text(&line["subprotocol"])),
                "reject" => {
                    let status = line["status"].as_u64().expect("a number");
                    Order::Reject(status as u16, text(&line["reason"]).expect("a text"))
                }
                "respond" => {
                    let status = line["status"].as_u64().expect("a number");
                    Order::Respond(status as u16, text(&line["body"]).expect("a text"))
                }
                "shutdown" => Order::Shutdown,
                "advance" => Order::Advance(line["ms"].as_u64().expect("a number")),
                other => panic!("no such order: {other}"),
            };
            match manner {
                Manner::Able => {
                    if matches!(order, Order::Shutdown) {
                        stopped = true;
                        self.set_serving(false);
                    }
                    let client = clients.get(&number).cloned().unwrap_or_default();
                    give(Job { client, order, reply: reply.clone() });
                }
                Manner::Lying => reply.ok(),
                Manner::Unable => reply.unsupported(),
                Manner::Mute => {}
            }
        }
        self.state().connections.retain(|client, _| !clients.values().any(|of| of == client));
        if stopped {
            give(Job { client: String::new(), order: Order::Restart, reply });
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}
