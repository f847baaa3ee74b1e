//! Drives the application of a server under test over a control connection: lines of JSON, as specified in
//! `README.md`.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use legacy_websocket_trace::{Action, Connection, Protocol, Step};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use super::Run;
use super::needs::advances;

/// How long a server may take to start serving, and to serve again after it was stopped.
const LONGEST_START: Duration = Duration::from_secs(30);

/// Events that the application reports: a handshake awaits its decision, a client is connected.
const HANDSHAKE: &str = "handshake";
const CONNECTED: &str = "connected";

/// A control connection. When it ends, the case ends for the application.
pub(super) struct Application {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    /// The events reported so far.
    told: Vec<Event>,
}

/// An order for the application.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Order<'a> {
    /// Names a connection of the case by the address of its client.
    Connection {
        connection: Connection,
        client: SocketAddr,
    },
    Send {
        connection: Connection,
        text: Cow<'a, str>,
    },
    /// A binary message, as hexadecimal digits.
    SendBinary {
        connection: Connection,
        hex: String,
    },
    Broadcast {
        text: Cow<'a, str>,
    },
    Close {
        connection: Connection,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        #[serde(skip_serializing_if = "str::is_empty")]
        reason: Cow<'a, str>,
    },
    Accept {
        connection: Connection,
        #[serde(skip_serializing_if = "Option::is_none")]
        subprotocol: Option<Cow<'a, str>>,
    },
    Reject {
        connection: Connection,
        status: u16,
        reason: Cow<'a, str>,
    },
    Respond {
        connection: Connection,
        status: u16,
        body: Cow<'a, str>,
    },
    Shutdown,
    /// Advances the server's clock by this much.
    Advance {
        ms: u64,
    },
}

/// A line from the application.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Answer(Answer),
    Event(Event),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
enum Answer {
    Ok,
    /// The order was carried out, or failed.
    Failed {
        #[serde(default)]
        why: String,
    },
    /// Not supported by the server or its adapter.
    Unsupported,
}

#[derive(Debug, Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    connection: Connection,
}

impl Application {
    /// Connects, and waits until the application reports that the server is serving.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (read, write) = stream.into_split();
            let mut application = Self { lines: BufReader::new(read).lines(), write, told: Vec::new() };
            while !application.told.iter().any(|told| told.event == "ready") {
                application.take().await?;
            }
            Ok(application)
        };
        let of_application =
            |error: io::Error| io::Error::new(error.kind(), format!("the application at {address}: {error}"));
        timeout(LONGEST_START, connect)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("it did not report that it is ready")))
            .map_err(of_application)
    }

    /// Reads a line: keeps an event, returns an answer.
    async fn take(&mut self) -> io::Result<Option<Answer>> {
        let line =
            self.lines.next_line().await?.ok_or_else(|| io::Error::other("it ended the connection"))?;
        match serde_json::from_str(&line) {
            Ok(Line::Answer(answer)) => Ok(Some(answer)),
            Ok(Line::Event(event)) => {
                self.told.push(event);
                Ok(None)
            }
            Err(_) => Err(io::Error::other(format!("neither event nor answer: {line}"))),
        }
    }

    /// Gives an order, and waits for its answer, if that comes in time.
    async fn order(&mut self, order: &Order<'_>, end: Instant) -> io::Result<Option<Answer>> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.write.write_all(&line).await?;
        loop {
            match timeout_at(end, self.take()).await {
                Ok(Ok(None)) => {}
                Ok(answer) => return answer,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Waits this long for an event. It is no failure if none is reported.
    async fn until(&mut self, event: &str, connection: Connection, end: Instant) -> io::Result<()> {
        while !self.told.iter().any(|told| told.event == event && told.connection == connection) {
            match timeout_at(end, self.take()).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(answer))) => {
                    return Err(io::Error::other(format!("unexpected answer: {answer:?}")));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

impl<'a> Order<'a> {
    fn of(action: &Action, bytes: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        match *action {
            Action::Send(connection, _) => Self::Send { connection, text },
            Action::Broadcast(_) => Self::Broadcast { text },
            Action::SendBinary(connection, _) => Self::SendBinary { connection, hex: hex::encode(bytes) },
            Action::Close(connection, ref with) => {
                Self::Close { connection, code: with.as_ref().map(|(code, _)| *code), reason: text }
            }
            Action::Accept(connection, ref subprotocol) => {
                Self::Accept { connection, subprotocol: subprotocol.as_ref().map(|_| text) }
            }
            Action::Reject(connection, status, _) => Self::Reject { connection, status, reason: text },
            Action::Respond(connection, status, _) => Self::Respond { connection, status, body: text },
            Action::Shutdown => Self::Shutdown,
        }
    }

    /// The capability that an order requires.
    fn name(&self) -> &'static str {
        match self {
            Self::Connection { .. } => "tell connections by their clients' addresses",
            Self::Send { .. } => "send",
            Self::SendBinary { .. } => "send binary messages",
            Self::Broadcast { .. } => "broadcast",
            Self::Close { code: Some(_), .. } => "close with a code",
            Self::Close { .. } => "close",
            Self::Accept { .. } => "accept",
            Self::Reject { .. } => "reject",
            Self::Respond { .. } => "respond to a handshake",
            Self::Shutdown => "stop the server",
            Self::Advance { .. } => "advance the server's clock",
        }
    }
}

impl Run<'_> {
    /// Tells the application which connection of the case a new one is.
    pub(super) async fn introduce(&mut self, connection: Connection) -> io::Result<()> {
        match self.sockets.address(connection) {
            Some(client) => self.order(Order::Connection { connection, client }).await,
            None => Ok(()),
        }
    }

    /// Has the application act, once it can know about the connections concerned.
    pub(super) async fn act(&mut self, action: &Action, text: &[u8]) -> io::Result<()> {
        let (event, of) = match action {
            Action::Accept(of, _) | Action::Reject(of, ..) | Action::Respond(of, ..) => {
                (HANDSHAKE, vec![*of])
            }
            Action::Send(of, _) | Action::SendBinary(of, _) | Action::Close(of, _) => {
                (CONNECTED, self.connected(Some(*of)))
            }
            Action::Broadcast(_) | Action::Shutdown => (CONNECTED, self.connected(None)),
        };
        let end = Instant::now() + self.target.patience;
        if let Some(application) = &mut self.application {
            for connection in of {
                application.until(event, connection, end).await?;
            }
        }
        self.transcript.action(&Step::Application(action.clone()).to_string());
        self.order(Order::of(action, text)).await
    }

    /// Lets time pass: by waiting, or by advancing the server's clock.
    pub(super) async fn pass(&mut self, time: Duration) -> io::Result<()> {
        if !advances(self.case, self.target) {
            tokio::time::sleep(time).await;
            return Ok(());
        }
        self.transcript.action(&Step::After(time).to_string());
        self.order(Order::Advance { ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }).await
    }

    /// Of these connections, or of all, those whose client has seen the complete opening handshake.
    fn connected(&self, of: Option<Connection>) -> Vec<Connection> {
        let is_last = |what: &str| match self.case.trace.protocol {
            Protocol::Draft76 => what == "answer",
            _ => what.starts_with("101"),
        };
        let is_meant = |connection| of.is_none_or(|of| of == connection);
        let seen = self.seen();
        seen.iter().filter(|(it, _, what)| is_meant(*it) && is_last(what)).map(|(it, ..)| *it).collect()
    }

    async fn order(&mut self, order: Order<'_>) -> io::Result<()> {
        let Some(application) = &mut self.application else { return Ok(()) };
        match application.order(&order, Instant::now() + self.target.patience).await? {
            Some(Answer::Ok) => {}
            Some(Answer::Failed { why }) => {
                self.notes.push(format!("its application could not {}: {why}", order.name()));
            }
            Some(Answer::Unsupported) => {
                self.excuse = Some(format!("needs an application that can {}", order.name()));
            }
            None => {
                self.notes.push(format!("its application was to {}, and did not answer", order.name()));
                // A late answer would be mistaken for the answer to another order.
                self.application = None;
            }
        }
        Ok(())
    }
}
