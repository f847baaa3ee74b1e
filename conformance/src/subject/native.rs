//! The engine as a Rust library.

use legacy_websocket::hybi::CloseCode;
use legacy_websocket::{
    CloseCause, ConnectionId, Destination, Disposition, Event as Told, FrameError, Loss, Misuse, Options,
    Peer, Protocol, Server, Transmission,
};
use legacy_websocket_shell::Members;

use super::{Command, Event, Input, Step, Subject, Then, Write};

/// The native engine, through its own API.
#[derive(Debug)]
pub struct Native {
    server: Server,
    members: Members,
}

impl Native {
    /// Creates it with these options; `None` if the engine refuses them.
    #[must_use]
    pub fn new(options: Options) -> Option<Self> {
        Some(Self { server: Server::new(options).ok()?, members: Members::default() })
    }
}

impl Subject for Native {
    fn input(&mut self, now: u64, input: Input<'_>) -> Step {
        let Self { server, members } = self;
        let mut step = Step::default();
        // An end that waits for the application's answers is not due before they are given.
        if !matches!(input, Input::Commands(_)) {
            server.advance(now);
        }
        match input {
            Input::Open(id) => {
                let peer = Peer { address: "client".into(), secure: false };
                let opened = server.open(ConnectionId(id), peer);
                debug_assert!(opened.is_ok(), "the replay uses an id once");
            }
            Input::Bytes(id, bytes) => {
                for event in server.receive(ConnectionId(id), bytes) {
                    step.events.push(lower(event));
                }
            }
            Input::Fin(id) => server.receive_eof(ConnectionId(id)),
            Input::Reset(id) => server.lost(ConnectionId(id), Loss::Reset),
            Input::Time => {}
            Input::Commands(commands) => {
                step.events.extend(commands.iter().filter_map(|command| carry_out(server, command)));
                // Ends that waited for these commands are due now.
                server.advance(now);
            }
        }
        while let Some(event) = server.poll_event() {
            step.events.push(lower(event));
        }
        while let Some(transmission) = server.poll_transmit() {
            step.writes.extend(writes(transmission, members));
        }
        step.next_timeout = server.poll_timeout();
        step
    }
}

/// The failure event, if the command failed.
fn carry_out(server: &mut Server, command: &Command<'_>) -> Option<(u64, Event)> {
    let (id, name, result) = match *command {
        Command::Send(id, text) => (id, "send", server.send(ConnectionId(id), text)),
        Command::Broadcast(text) => {
            server.broadcast(text, None);
            return None;
        }
        Command::SendBinary(id, bytes) => (id, "send-binary", server.send_binary(ConnectionId(id), bytes)),
        Command::Close(id, None) => (id, "close", server.close(ConnectionId(id))),
        Command::Close(id, Some((code, reason))) => {
            let close = |code| server.close_with(ConnectionId(id), code, reason);
            (id, "close", CloseCode::new(code).ok_or(Misuse::Invalid).and_then(close))
        }
        Command::Accept(id, subprotocol) => (id, "accept", server.accept(ConnectionId(id), subprotocol, &[])),
        Command::Reject(id, status, reason) => {
            (id, "reject", server.reject(ConnectionId(id), status, reason))
        }
        Command::Respond(id, status, body) => {
            (id, "respond", server.respond(ConnectionId(id), status, &[], body.as_bytes()))
        }
        Command::Shutdown => {
            server.shutdown();
            return None;
        }
    };
    let why = match result {
        Ok(()) => return None,
        Err(Misuse::UnknownConnection) => "unknown-connection",
        Err(Misuse::WrongState) => "wrong-state",
        Err(Misuse::Unsupported) => "not-text",
        Err(_) => "invalid",
    };
    Some((id, Event::Other(format!("failed: {name}, {why}"))))
}

fn writes(Transmission { to, bytes, then }: Transmission, members: &mut Members) -> Vec<Write> {
    if let Destination::One(id) = to {
        members.observe(id.0, then);
    }
    let then = match then {
        Disposition::Keep | Disposition::Join | Disposition::Leave => Then::Keep,
        Disposition::HalfClose => Then::HalfClose,
        Disposition::Finish => Then::Finish,
        Disposition::Abort => Then::Abort,
    };
    let ids = match to {
        Destination::One(id) => vec![id.0],
        Destination::Many(ids) => ids.into_iter().map(|id| id.0).collect(),
        Destination::All => members.iter().collect(),
        Destination::AllBut(but) => members.iter().filter(|id| *id != but.0).collect(),
    };
    ids.into_iter().map(|id| Write { id, bytes: bytes.clone(), then }).collect()
}

fn lower(event: Told<'_>) -> (u64, Event) {
    let asked =
        |name: Option<String>| name.map_or_else(String::new, |name| format!(", subprotocol {name:?}"));
    let (id, text) = match event {
        Told::Message { connection, text } => return (connection.0, Event::Message(text.into_owned())),
        Told::Binary { connection, bytes } => return (connection.0, Event::Binary(bytes)),
        Told::Request { connection, head, body, .. } => {
            let asked = format!("{} {}, body of {}", head.method(), head.target_text(), body.len());
            return (connection.0, Event::Request(asked));
        }
        Told::Passed { connection, bytes } => return (connection.0, Event::Passed(bytes)),
        Told::StateChanged { connection, new, .. } => (connection, format!("state: {new:?}").to_lowercase()),
        Told::Handshake { connection, protocol, subprotocol, .. } => {
            (connection, format!("handshake: {}{}", name(protocol), asked(subprotocol)))
        }
        Told::Connected { connection, protocol, subprotocol, .. } => {
            (connection, format!("connected: {}{}", name(protocol), asked(subprotocol)))
        }
        Told::Closed { connection, cause: why, code, reason } => {
            let code = code.map_or_else(String::new, |code| format!(", {code} {reason:?}"));
            (connection, format!("closed: {}{code}", cause(why)))
        }
        Told::Rejected { connection, status, reason, .. } => {
            (connection, format!("rejected: {status} {reason}"))
        }
        _ => (ConnectionId(0), "an event unknown to the suite".into()),
    };
    (id.0, Event::Other(text))
}

/// The protocol's name in snapshots.
#[must_use]
pub fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Draft75 => "draft 75",
        Protocol::Draft76 => "draft 76",
        Protocol::Hybi7 => "hybi-07",
        Protocol::Hybi8 => "hybi-08",
        Protocol::Rfc6455 => "RFC 6455",
    }
}

/// The cause's name in the WIT package.
fn cause(cause: CloseCause) -> String {
    let name = match cause {
        CloseCause::ByPeer => "by-peer",
        CloseCause::ByUs => "by-us",
        CloseCause::ByUsAbruptly => "by-us-abruptly",
        CloseCause::EndOfStream => "end-of-stream",
        CloseCause::Reset => "reset",
        CloseCause::SlowReader => "slow-reader",
        CloseCause::HandshakeTimeout => "handshake-timeout",
        CloseCause::IdleTimeout => "idle-timeout",
        CloseCause::PingTimeout => "ping-timeout",
        CloseCause::MessageTimeout => "message-timeout",
        CloseCause::CloseTimeout => "close-timeout",
        CloseCause::Refused => "refused",
        CloseCause::Responded => "responded",
        CloseCause::Frame(FrameError::TooLong) => "message-limit",
        CloseCause::Frame(FrameError::NoRoom) => "buffer-limit",
        CloseCause::Frame(FrameError::NotUtf8) => "bad-text",
        CloseCause::Frame(error) => return format!("bad-frame, {error}"),
        _ => "a cause that the suite does not know",
    };
    name.into()
}
