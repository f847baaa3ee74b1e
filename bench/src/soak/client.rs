//! A client that checks every message it receives.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::State;
use crate::load::REQUEST;

const REQUEST75: &[u8] =
    b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n\
    Origin: http://example.com\r\n\r\n";
const CLOSING: &[u8] = b"\xff\x00";

/// Commands that make the engine and the application trap.
const FAULTS: [&str; 2] = ["trap", "panic"];

/// After this time a server closes a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Nothing takes this long on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a connection ended.
enum Ended {
    /// The client closed it.
    AsWanted,
    /// The server or the network closed it.
    Early(String),
    /// The client received something invalid.
    Wrong(String),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Early(error.to_string())
    }
}

/// Opens one connection after another.
pub(super) async fn come_and_go(address: SocketAddr, state: &State) {
    while !state.pausing.load(Ordering::Relaxed) && !state.stopping.load(Ordering::Relaxed) {
        let traps = state.traps.load(Ordering::Relaxed);
        let ended = match Client::open(address, state).await {
            Ok(client) => client.live(state).await,
            Err(ended) => ended,
        };
        let now = state.traps.load(Ordering::Relaxed);
        let excused = now != traps || now % 2 == 1 || state.stopping.load(Ordering::Relaxed);
        match ended {
            Ended::AsWanted => {}
            Ended::Early(_) if excused => {}
            Ended::Early(why) => state.complain(format!("closed without cause: {why}")),
            Ended::Wrong(what) => state.complain(what),
        }
    }
}

/// Opens one connection after another that sends and does not read, until the server has closed it.
pub(super) async fn do_not_read(address: SocketAddr, state: &State) {
    let is_over = || state.pausing.load(Ordering::Relaxed) || state.stopping.load(Ordering::Relaxed);
    let said = [b"\0e:0:0:", "x".repeat(8000).as_bytes(), b"\xff"].concat();
    while !is_over() {
        let Ok(mut client) = Client::open(address, state).await else { continue };
        let begun = Instant::now();
        loop {
            match timeout(Duration::from_secs(1), client.stream.write_all(&said)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    state.slow.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(_) if is_over() => return,
                Err(_) if begun.elapsed() > WRITE_TIMEOUT + PATIENCE => {
                    state.complain("a client that does not read is not closed".into());
                    break;
                }
                Err(_) => {}
            }
        }
    }
}

/// The trap costs all current connections of its worker. The count is incremented before and after it, so that it is
/// odd meanwhile.
pub(super) async fn make_it_trap(address: SocketAddr, fault: usize, state: &State) {
    let Ok(mut client) = Client::open(address, state).await else { return };
    state.traps.fetch_add(1, Ordering::Relaxed);
    state.faults[fault].fetch_add(1, Ordering::Relaxed);
    // The engine sees the command only in a turn without other reads, so it is repeated.
    let repeated = async {
        let message = [b"\0fault:", FAULTS[fault].as_bytes(), b"\xff"].concat();
        let mut rest = Vec::new();
        while client.stream.write_all(&message).await.is_ok() {
            let gone = timeout(Duration::from_millis(50), client.stream.read_to_end(&mut rest));
            if gone.await.is_ok() {
                break;
            }
        }
    };
    if timeout(PATIENCE, repeated).await.is_err() {
        state.complain(format!("{} had no effect", FAULTS[fault]));
    }
    state.traps.fetch_add(1, Ordering::Relaxed);
}

struct Client {
    stream: TcpStream,
    ahead: Vec<u8>,
    id: u64,
    draft76: bool,
    /// Sent, and returned.
    echoes: (u64, u64),
    broadcasts: (u64, u64),
    /// The last broadcast from each other client.
    others: HashMap<u64, u64>,
}

impl Client {
    async fn open(address: SocketAddr, state: &State) -> Result<Self, Ended> {
        let id = state.next_id.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let draft76 = fastrand::bool();
        stream.write_all(if draft76 { REQUEST } else { REQUEST75 }).await?;
        let mut client = Self {
            stream,
            ahead: Vec::new(),
            id,
            draft76,
            echoes: (0, 0),
            broadcasts: (0, 0),
            others: HashMap::new(),
        };
        let more = if draft76 { 16 } else { 0 };
        loop {
            if let Some(end) = client.ahead.windows(4).position(|window| window == b"\r\n\r\n")
                && client.ahead.len() >= end + 4 + more
            {
                client.ahead.drain(..end + 4 + more);
                state.connections.fetch_add(1, Ordering::Relaxed);
                return Ok(client);
            }
            client.read().await?;
        }
    }

    async fn live(mut self, state: &State) -> Ended {
        let end = Instant::now() + Duration::from_millis(fastrand::u64(10..5000));
        let talked = self.talk(end, state).await;
        let ended = match talked {
            Ok(()) if fastrand::u8(..) < 64 => self.break_off(state).await,
            Ok(()) => self.leave(state).await,
            Err(ended) => Err(ended),
        };
        ended.err().unwrap_or(Ended::AsWanted)
    }

    /// Sends messages now and then, and checks what arrives.
    async fn talk(&mut self, end: Instant, state: &State) -> Result<(), Ended> {
        while Instant::now() < end && !state.pausing.load(Ordering::Relaxed) {
            self.say().await?;
            let next = (Instant::now() + Duration::from_millis(fastrand::u64(1..400))).min(end);
            loop {
                tokio::select! {
                    () = sleep_until(next.into()) => break,
                    read = self.stream.read_buf(&mut self.ahead) => {
                        if read? == 0 {
                            return Err(Ended::Early("FIN".into()));
                        }
                        self.check(state)?;
                        if self.ahead == CLOSING {
                            return Err(Ended::Early("closing handshake".into()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn say(&mut self) -> io::Result<()> {
        let mut said = Vec::new();
        for _ in 0..fastrand::u64(1..20) {
            let (kind, count) =
                if fastrand::u8(..) < 4 { ('b', &mut self.broadcasts.0) } else { ('e', &mut self.echoes.0) };
            *count += 1;
            let filling = "é".repeat(fastrand::usize(..100));
            said.extend_from_slice(format!("\0{kind}:{}:{count}:{filling}", self.id).as_bytes());
            said.push(0xff);
        }
        self.stream.write_all(&said).await
    }

    /// Disconnects in the middle of a frame.
    async fn break_off(mut self, state: &State) -> Result<(), Ended> {
        state.killed.fetch_add(1, Ordering::Relaxed);
        self.stream.write_all(b"\0e:never whole").await?;
        if fastrand::bool() {
            self.stream.set_zero_linger()?;
        }
        Ok(())
    }

    /// Closes by the closing handshake in draft 76; draft 75 has none, so it closes once every message is returned.
    async fn leave(mut self, state: &State) -> Result<(), Ended> {
        if self.draft76 {
            self.stream.write_all(CLOSING).await?;
        }
        let complete = |client: &Self| {
            let back = client.echoes.0 == client.echoes.1 && client.broadcasts.0 == client.broadcasts.1;
            if client.draft76 { client.ahead.starts_with(CLOSING) } else { back }
        };
        while !complete(&self) {
            self.read().await?;
            self.check(state)?;
        }
        if self.echoes.0 != self.echoes.1 || self.broadcasts.0 != self.broadcasts.1 {
            // The server may have started a closing handshake at the same time.
            return Err(Ended::Early(format!(
                "closing handshake before all of {:?} and {:?} were returned",
                self.echoes, self.broadcasts
            )));
        }
        self.stream.shutdown().await?;
        // Broadcasts may still reach a draft 75 client.
        while self.stream.read_buf(&mut self.ahead).await? > 0 {
            self.ahead.clear();
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Ended> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await {
            Ok(Ok(0)) => Err(Ended::Early("FIN".into())),
            Ok(read) => {
                read?;
                Ok(())
            }
            Err(_) => Err(Ended::Wrong("the server has stopped sending".into())),
        }
    }

    /// Checks and removes the complete frames read.
    fn check(&mut self, state: &State) -> Result<(), Ended> {
        let mut taken = 0;
        while let Some(0x00) = self.ahead.get(taken)
            && let Some(end) = self.ahead[taken..].iter().position(|byte| *byte == 0xff)
        {
            let text = String::from_utf8_lossy(&self.ahead[taken + 1..taken + end]).into_owned();
            taken += end + 1;
            self.check_one(&text, state).ok_or_else(|| {
                Ended::Wrong(format!("client {} received {text:?} after {:?}", self.id, self.others))
            })?;
        }
        self.ahead.drain(..taken);
        match self.ahead.as_slice() {
            [] | [0x00, ..] | [0xff] | CLOSING => Ok(()),
            other => Err(Ended::Wrong(format!("not a frame: {}", other.escape_ascii()))),
        }
    }

    /// None if the message is invalid.
    fn check_one(&mut self, text: &str, state: &State) -> Option<()> {
        // The application reports connections lost with an engine, and to whoever spoke last, answers whose client has
        // left meanwhile.
        if text == "gone" || text.starts_with("CommandKind::Send to ") {
            return Some(());
        }
        let mut parts = text.splitn(4, ':');
        let (kind, id, number) =
            (parts.next()?, parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
        match kind {
            "e" => {
                state.echoed.fetch_add(1, Ordering::Relaxed);
                self.echoes.1 += 1;
                (id == self.id && number == self.echoes.1).then_some(())
            }
            "b" if id == self.id => {
                state.told.fetch_add(1, Ordering::Relaxed);
                self.broadcasts.1 += 1;
                (number == self.broadcasts.1).then_some(())
            }
            "b" => {
                state.told.fetch_add(1, Ordering::Relaxed);
                // The first may have any number, since we joined later.
                let before = self.others.insert(id, number);
                before.is_none_or(|before| number == before + 1).then_some(())
            }
            _ => None,
        }
    }
}
