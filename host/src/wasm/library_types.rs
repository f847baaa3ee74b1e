//! Conversions between the types of world `library` and the engine's.

use legacy_websocket::step::{
    Binary, CloseCause, Closed, Command, CommandKind, Connected, Destination, Disposition, Event, Failed,
    Failure, Field, Handshake, Input, Loss, Messages, Passed, Protocol, Read, Recipients, Rejection, Request,
    RequestHead, ResponseField, State, StateChange, Status, Step, Transmission,
};
use legacy_websocket::{ConnectedCounts, Counts, InvalidUtf8, Options, Protocols};

use crate::wasm::bindings::library as theirs;

/// Lends options to `use_them`.
pub(crate) fn with_options<T>(options: &Options, use_them: impl FnOnce(theirs::OptionsParam<'_>) -> T) -> T {
    fn borrow_all(list: &[String]) -> Vec<&str> {
        list.iter().map(String::as_str).collect()
    }
    let (origins, subprotocols, hosts) =
        (borrow_all(&options.origins), borrow_all(&options.subprotocols), borrow_all(&options.hosts));
    let limits = &options.limits;
    use_them(theirs::OptionsParam {
        protocols: lower_protocols(options.protocols),
        origins: &origins,
        subprotocols: &subprotocols,
        hosts: &hosts,
        public_url: options.public_url.as_deref(),
        trust_forwarded: options.trust_forwarded,
        authorise: options.authorise,
        pass_through: options.pass_through,
        echo: options.echo,
        skip_reserved_frames: options.skip_reserved_frames,
        invalid_utf8: match options.invalid_utf8 {
            InvalidUtf8::Replace => theirs::InvalidUtf8::Replace,
            InvalidUtf8::Close => theirs::InvalidUtf8::Close,
        },
        flash_policy: options.flash_policy.as_deref(),
        health_path: options.health_path.as_deref(),
        limits: theirs::Limits {
            max_head_bytes: narrow(limits.max_head_bytes),
            max_fields: narrow(limits.max_fields),
            max_message_bytes: narrow(limits.max_message_bytes),
            max_buffered_bytes: limits.max_buffered_bytes as u64,
            handshake_timeout: limits.handshake_timeout,
            idle_timeout: limits.idle_timeout,
            ping_interval: limits.ping_interval,
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
    })
}

pub(crate) fn lower_input(input: &Input) -> theirs::Input<'_> {
    match input {
        Input::Opened(opened) => theirs::Input::Opened(theirs::Opened {
            connection: opened.connection,
            peer: &opened.peer,
            secure: opened.secure,
        }),
        Input::Received(received) => theirs::Input::Received(theirs::Received {
            connection: received.connection,
            bytes: &received.bytes,
        }),
        Input::Ended(connection) => theirs::Input::Ended(*connection),
        Input::Lost(lost) => theirs::Input::Lost(theirs::Lost {
            connection: lost.connection,
            why: match lost.why {
                Loss::Reset => theirs::Loss::Reset,
                Loss::SlowReader => theirs::Loss::SlowReader,
            },
        }),
        Input::Shutdown => theirs::Input::Shutdown,
        Input::ApplicationLost => theirs::Input::ApplicationLost,
    }
}

pub(crate) fn lower_read(read: &Read) -> theirs::Read {
    theirs::Read { connection: read.connection, end: read.end }
}

/// Lends commands to `use_them`.
pub(crate) fn with_commands<T>(
    commands: &[Command<'_>],
    use_them: impl FnOnce(&[theirs::Command<'_>]) -> T,
) -> T {
    let fields: Vec<Vec<theirs::FieldParam<'_>>> = commands.iter().filter_map(fields_of).collect();
    let mut fields = fields.iter().map(Vec::as_slice);
    use_them(&commands.iter().map(|command| lower_command(command, &mut fields)).collect::<Vec<_>>())
}

fn fields_of<'a>(command: &Command<'a>) -> Option<Vec<theirs::FieldParam<'a>>> {
    let fields = match command {
        Command::Accept(acceptance) => acceptance.fields,
        Command::Respond(response) => response.fields,
        _ => return None,
    };
    let field = |field: &ResponseField<'a>| theirs::FieldParam { name: field.name, value: field.value };
    Some(fields.iter().map(field).collect())
}

fn lower_command<'a>(
    command: &Command<'a>,
    fields: &mut impl Iterator<Item = &'a [theirs::FieldParam<'a>]>,
) -> theirs::Command<'a> {
    match command {
        Command::Send(outgoing) => theirs::Command::Send(theirs::Outgoing {
            to: lower_recipients(&outgoing.to),
            text: outgoing.text,
            ends: outgoing.ends,
        }),
        Command::SendBinary(outgoing) => theirs::Command::SendBinary(theirs::OutgoingBinary {
            to: lower_recipients(&outgoing.to),
            bytes: outgoing.bytes,
        }),
        Command::Close(closing) => theirs::Command::Close(theirs::Closing {
            connection: closing.connection,
            code: closing.code,
            reason: closing.reason,
        }),
        Command::Accept(acceptance) => theirs::Command::Accept(theirs::Acceptance {
            connection: acceptance.connection,
            subprotocol: acceptance.subprotocol,
            fields: fields.next().unwrap_or_default(),
        }),
        Command::Reject(refusal) => theirs::Command::Reject(theirs::Refusal {
            connection: refusal.connection,
            status: refusal.status,
            reason: refusal.reason,
        }),
        Command::Respond(response) => theirs::Command::Respond(theirs::Response {
            connection: response.connection,
            status: response.status,
            fields: fields.next().unwrap_or_default(),
            body: response.body,
        }),
        Command::Tick(after) => theirs::Command::Tick(*after),
        Command::SingleInstance => theirs::Command::SingleInstance,
    }
}

fn lower_recipients<'a>(to: &Recipients<'a>) -> theirs::Recipients<'a> {
    match *to {
        Recipients::One(connection) => theirs::Recipients::One(connection),
        Recipients::Many(connections) => theirs::Recipients::Many(connections),
        Recipients::All => theirs::Recipients::All,
        Recipients::AllBut(connection) => theirs::Recipients::AllBut(connection),
    }
}

pub(crate) fn lift_step(step: theirs::Step) -> Step {
    Step {
        events: step.events.into_iter().map(lift_event).collect(),
        transmissions: step.transmissions.into_iter().map(lift_transmission).collect(),
        next_timeout: step.next_timeout,
        paused: step.paused,
    }
}

fn lift_transmission(transmission: theirs::Transmission) -> Transmission {
    Transmission {
        to: match transmission.to {
            theirs::Destination::One(connection) => Destination::One(connection),
            theirs::Destination::Many(connections) => Destination::Many(connections),
            theirs::Destination::All => Destination::All,
            theirs::Destination::AllBut(connection) => Destination::AllBut(connection),
        },
        bytes: transmission.bytes,
        then: match transmission.then {
            theirs::Disposition::Keep => Disposition::Keep,
            theirs::Disposition::Join => Disposition::Join,
            theirs::Disposition::Leave => Disposition::Leave,
            theirs::Disposition::HalfClose => Disposition::HalfClose,
            theirs::Disposition::Finish => Disposition::Finish,
            theirs::Disposition::Abort => Disposition::Abort,
        },
    }
}

fn lift_event(event: theirs::Event) -> Event {
    match event {
        theirs::Event::Messages(theirs::Messages { connection, text, ends }) => {
            Event::Messages(Messages { connection, text, ends })
        }
        theirs::Event::Binary(theirs::Binary { connection, bytes }) => {
            Event::Binary(Binary { connection, bytes })
        }
        theirs::Event::StateChanged(theirs::StateChange { connection, old, new }) => {
            Event::StateChanged(StateChange { connection, old: lift_state(old), new: lift_state(new) })
        }
        theirs::Event::Handshake(theirs::Handshake { connection, protocol, peer, subprotocol, head }) => {
            let (protocol, head) = (lift_protocol(protocol), lift_head(head));
            Event::Handshake(Handshake { connection, protocol, peer, subprotocol, head })
        }
        theirs::Event::Connected(theirs::Connected { connection, protocol, peer, subprotocol, head }) => {
            let (protocol, head) = (lift_protocol(protocol), lift_head(head));
            Event::Connected(Connected { connection, protocol, peer, subprotocol, head })
        }
        theirs::Event::Request(theirs::Request { connection, peer, head, body }) => {
            Event::Request(Request { connection, peer, head: lift_head(head), body })
        }
        theirs::Event::Passed(theirs::Passed { connection, bytes }) => {
            Event::Passed(Passed { connection, bytes })
        }
        theirs::Event::Closed(theirs::Closed { connection, cause, code, reason }) => {
            Event::Closed(Closed { connection, cause: lift_cause(cause), code, reason })
        }
        theirs::Event::Rejected(theirs::Rejection { connection, peer, status, reason }) => {
            Event::Rejected(Rejection { connection, peer, status, reason })
        }
        theirs::Event::Failed(theirs::Failed { connection, command, why }) => {
            Event::Failed(Failed { connection, command: lift_kind(command), why: lift_failure(why) })
        }
        theirs::Event::Tick(now) => Event::Tick(now),
    }
}

pub(crate) fn lift_head(head: theirs::RequestHead) -> RequestHead {
    let field = |theirs::FieldResult { name, value }| Field { name, value };
    RequestHead {
        method: head.method,
        target: head.target,
        fields: head.fields.into_iter().map(field).collect(),
    }
}

pub(crate) fn lift_status(status: theirs::Status) -> Status {
    Status {
        connection: status.connection,
        state: lift_state(status.state),
        protocol: status.protocol.map(lift_protocol),
        peer: status.peer,
    }
}

pub(crate) fn lift_counts(counts: theirs::Counts) -> Counts {
    let theirs::ConnectedCounts { draft75, draft76, hybi7, hybi8, rfc6455 } = counts.connected;
    let wide = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Counts {
        open: wide(counts.open),
        connected: ConnectedCounts {
            draft75: wide(draft75),
            draft76: wide(draft76),
            hybi7: wide(hybi7),
            hybi8: wide(hybi8),
            rfc6455: wide(rfc6455),
        },
        buffered_bytes: usize::try_from(counts.buffered_bytes).unwrap_or(usize::MAX),
        messages_received: counts.messages_received,
        messages_sent: counts.messages_sent,
    }
}

fn lift_cause(cause: theirs::CloseCause) -> CloseCause {
    match cause {
        theirs::CloseCause::ByPeer => CloseCause::ByPeer,
        theirs::CloseCause::ByUs => CloseCause::ByUs,
        theirs::CloseCause::ByUsAbruptly => CloseCause::ByUsAbruptly,
        theirs::CloseCause::EndOfStream => CloseCause::EndOfStream,
        theirs::CloseCause::Reset => CloseCause::Reset,
        theirs::CloseCause::HandshakeTimeout => CloseCause::HandshakeTimeout,
        theirs::CloseCause::IdleTimeout => CloseCause::IdleTimeout,
        theirs::CloseCause::PingTimeout => CloseCause::PingTimeout,
        theirs::CloseCause::MessageTimeout => CloseCause::MessageTimeout,
        theirs::CloseCause::CloseTimeout => CloseCause::CloseTimeout,
        theirs::CloseCause::Refused => CloseCause::Refused,
        theirs::CloseCause::Responded => CloseCause::Responded,
        theirs::CloseCause::BadFrame(reason) => CloseCause::BadFrame(reason),
        theirs::CloseCause::BadText => CloseCause::BadText,
        theirs::CloseCause::MessageLimit => CloseCause::MessageLimit,
        theirs::CloseCause::BufferLimit => CloseCause::BufferLimit,
        theirs::CloseCause::SlowReader => CloseCause::SlowReader,
        theirs::CloseCause::EngineLost => CloseCause::EngineLost,
        theirs::CloseCause::Other(reason) => CloseCause::Other(reason),
    }
}

fn lower_protocols(protocols: Protocols) -> theirs::Protocols {
    let flag = |protocol| match protocol {
        Protocol::Draft75 => theirs::Protocols::DRAFT75,
        Protocol::Draft76 => theirs::Protocols::DRAFT76,
        Protocol::Hybi7 => theirs::Protocols::HYBI7,
        Protocol::Hybi8 => theirs::Protocols::HYBI8,
        Protocol::Rfc6455 => theirs::Protocols::RFC6455,
    };
    protocols.iter().map(flag).fold(theirs::Protocols::empty(), |flags, flag| flags | flag)
}

fn lift_protocol(protocol: theirs::Protocol) -> Protocol {
    match protocol {
        theirs::Protocol::Draft75 => Protocol::Draft75,
        theirs::Protocol::Draft76 => Protocol::Draft76,
        theirs::Protocol::Hybi7 => Protocol::Hybi7,
        theirs::Protocol::Hybi8 => Protocol::Hybi8,
        theirs::Protocol::Rfc6455 => Protocol::Rfc6455,
    }
}

fn lift_state(state: theirs::State) -> State {
    match state {
        theirs::State::Unknown => State::Unknown,
        theirs::State::Opening => State::Opening,
        theirs::State::Waiting => State::Waiting,
        theirs::State::Handshaking => State::Handshaking,
        theirs::State::Connected => State::Connected,
        theirs::State::Closed => State::Closed,
    }
}

fn lift_kind(command: theirs::CommandKind) -> CommandKind {
    match command {
        theirs::CommandKind::Send => CommandKind::Send,
        theirs::CommandKind::SendBinary => CommandKind::SendBinary,
        theirs::CommandKind::Close => CommandKind::Close,
        theirs::CommandKind::Accept => CommandKind::Accept,
        theirs::CommandKind::Reject => CommandKind::Reject,
        theirs::CommandKind::Respond => CommandKind::Respond,
    }
}

fn lift_failure(why: theirs::Failure) -> Failure {
    match why {
        theirs::Failure::UnknownConnection => Failure::UnknownConnection,
        theirs::Failure::WrongState => Failure::WrongState,
        theirs::Failure::Invalid => Failure::Invalid,
        theirs::Failure::NotText => Failure::NotText,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
