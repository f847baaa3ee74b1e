//! Conversions between the types of world `application` and the engine's; each borrows from the other.

use legacy_websocket::step::{
    Acceptance, CloseCause, Closing, Command, CommandKind, Event, Failure, Field, Outgoing, OutgoingBinary,
    Protocol, Recipients, Refusal, RequestHead, Response, ResponseField, State,
};

use crate::wasm::bindings::application as theirs;

/// The fields of the events' heads, one list per event with a head.
pub(crate) struct Heads<'a>(Vec<Vec<theirs::FieldParam<'a>>>);

impl<'a> Heads<'a> {
    pub(crate) fn of(events: &'a [Event]) -> Self {
        Self(
            events
                .iter()
                .filter_map(head)
                .map(|head| head.fields.iter().map(lower_field).collect())
                .collect(),
        )
    }
}

fn head(event: &Event) -> Option<&RequestHead> {
    match event {
        Event::Handshake(handshake) => Some(&handshake.head),
        Event::Connected(connected) => Some(&connected.head),
        Event::Request(request) => Some(&request.head),
        _ => None,
    }
}

fn lower_field(field: &Field) -> theirs::FieldParam<'_> {
    theirs::FieldParam { name: &field.name, value: &field.value }
}

pub(crate) fn lower_events<'a>(events: &'a [Event], heads: &'a Heads<'a>) -> Vec<theirs::Event<'a>> {
    let mut heads = heads.0.iter().map(Vec::as_slice);
    let mut lowered = Vec::with_capacity(events.len());
    for event in events {
        let mut lower_head = |head: &'a RequestHead| theirs::RequestHead {
            method: &head.method,
            target: &head.target,
            fields: heads.next().unwrap_or_default(),
        };
        lowered.push(match event {
            Event::Messages(messages) => theirs::Event::Messages(theirs::Messages {
                connection: messages.connection,
                text: &messages.text,
                ends: &messages.ends,
            }),
            Event::Binary(binary) => {
                theirs::Event::Binary(theirs::Binary { connection: binary.connection, bytes: &binary.bytes })
            }
            Event::StateChanged(change) => theirs::Event::StateChanged(theirs::StateChange {
                connection: change.connection,
                old: lower_state(change.old),
                new: lower_state(change.new),
            }),
            Event::Handshake(handshake) => theirs::Event::Handshake(theirs::Handshake {
                connection: handshake.connection,
                protocol: lower_protocol(handshake.protocol),
                peer: &handshake.peer,
                subprotocol: handshake.subprotocol.as_deref(),
                head: lower_head(&handshake.head),
            }),
            Event::Connected(connected) => theirs::Event::Connected(theirs::Connected {
                connection: connected.connection,
                protocol: lower_protocol(connected.protocol),
                peer: &connected.peer,
                subprotocol: connected.subprotocol.as_deref(),
                head: lower_head(&connected.head),
            }),
            Event::Request(request) => theirs::Event::Request(theirs::Request {
                connection: request.connection,
                peer: &request.peer,
                head: lower_head(&request.head),
                body: &request.body,
            }),
            Event::Passed(passed) => {
                theirs::Event::Passed(theirs::Passed { connection: passed.connection, bytes: &passed.bytes })
            }
            Event::Closed(closed) => theirs::Event::Closed(theirs::Closed {
                connection: closed.connection,
                cause: lower_cause(&closed.cause),
                code: closed.code,
                reason: &closed.reason,
            }),
            Event::Rejected(rejection) => theirs::Event::Rejected(theirs::Rejection {
                connection: rejection.connection,
                peer: &rejection.peer,
                status: rejection.status,
                reason: &rejection.reason,
            }),
            Event::Failed(failed) => theirs::Event::Failed(theirs::Failed {
                connection: failed.connection,
                command: lower_kind(failed.command),
                why: lower_failure(failed.why),
            }),
            Event::Tick(now) => theirs::Event::Tick(*now),
        });
    }
    lowered
}

/// An application's answer.
pub(crate) struct Commands(pub(crate) Vec<theirs::Command>);

impl Commands {
    /// The fields of the commands, one list per command with fields.
    pub(crate) fn fields(&self) -> Vec<Vec<ResponseField<'_>>> {
        self.0.iter().filter_map(fields_of).collect()
    }

    pub(crate) fn lend<'a>(&'a self, fields: &'a [Vec<ResponseField<'a>>]) -> Vec<Command<'a>> {
        let mut fields = fields.iter().map(Vec::as_slice);
        let lend = |command: &'a theirs::Command| match command {
            theirs::Command::Send(outgoing) => Command::Send(Outgoing {
                to: lend_recipients(&outgoing.to),
                text: &outgoing.text,
                ends: &outgoing.ends,
            }),
            theirs::Command::SendBinary(outgoing) => Command::SendBinary(OutgoingBinary {
                to: lend_recipients(&outgoing.to),
                bytes: &outgoing.bytes,
            }),
            theirs::Command::Close(closing) => Command::Close(Closing {
                connection: closing.connection,
                code: closing.code,
                reason: &closing.reason,
            }),
            theirs::Command::Accept(acceptance) => Command::Accept(Acceptance {
                connection: acceptance.connection,
                subprotocol: acceptance.subprotocol.as_deref(),
                fields: fields.next().unwrap_or_default(),
            }),
            theirs::Command::Reject(refusal) => Command::Reject(Refusal {
                connection: refusal.connection,
                status: refusal.status,
                reason: &refusal.reason,
            }),
            theirs::Command::Respond(response) => Command::Respond(Response {
                connection: response.connection,
                status: response.status,
                fields: fields.next().unwrap_or_default(),
                body: &response.body,
            }),
            theirs::Command::Tick(after) => Command::Tick(*after),
            theirs::Command::SingleInstance => Command::SingleInstance,
        };
        self.0.iter().map(lend).collect()
    }
}

fn fields_of(command: &theirs::Command) -> Option<Vec<ResponseField<'_>>> {
    match command {
        theirs::Command::Accept(acceptance) => Some(lend_fields(&acceptance.fields)),
        theirs::Command::Respond(response) => Some(lend_fields(&response.fields)),
        _ => None,
    }
}

fn lend_fields(fields: &[theirs::FieldResult]) -> Vec<ResponseField<'_>> {
    fields.iter().map(|field| ResponseField { name: &field.name, value: &field.value }).collect()
}

fn lend_recipients(recipients: &theirs::Recipients) -> Recipients<'_> {
    match recipients {
        theirs::Recipients::One(connection) => Recipients::One(*connection),
        theirs::Recipients::Many(connections) => Recipients::Many(connections),
        theirs::Recipients::All => Recipients::All,
        theirs::Recipients::AllBut(connection) => Recipients::AllBut(*connection),
    }
}

fn lower_cause(cause: &CloseCause) -> theirs::CloseCause<'_> {
    match cause {
        CloseCause::ByPeer => theirs::CloseCause::ByPeer,
        CloseCause::ByUs => theirs::CloseCause::ByUs,
        CloseCause::ByUsAbruptly => theirs::CloseCause::ByUsAbruptly,
        CloseCause::EndOfStream => theirs::CloseCause::EndOfStream,
        CloseCause::Reset => theirs::CloseCause::Reset,
        CloseCause::HandshakeTimeout => theirs::CloseCause::HandshakeTimeout,
        CloseCause::IdleTimeout => theirs::CloseCause::IdleTimeout,
        CloseCause::PingTimeout => theirs::CloseCause::PingTimeout,
        CloseCause::MessageTimeout => theirs::CloseCause::MessageTimeout,
        CloseCause::CloseTimeout => theirs::CloseCause::CloseTimeout,
        CloseCause::Refused => theirs::CloseCause::Refused,
        CloseCause::Responded => theirs::CloseCause::Responded,
        CloseCause::BadFrame(reason) => theirs::CloseCause::BadFrame(reason),
        CloseCause::BadText => theirs::CloseCause::BadText,
        CloseCause::MessageLimit => theirs::CloseCause::MessageLimit,
        CloseCause::BufferLimit => theirs::CloseCause::BufferLimit,
        CloseCause::SlowReader => theirs::CloseCause::SlowReader,
        CloseCause::EngineLost => theirs::CloseCause::EngineLost,
        CloseCause::Other(reason) => theirs::CloseCause::Other(reason),
    }
}

fn lower_protocol(protocol: Protocol) -> theirs::Protocol {
    match protocol {
        Protocol::Draft75 => theirs::Protocol::Draft75,
        Protocol::Draft76 => theirs::Protocol::Draft76,
        Protocol::Hybi7 => theirs::Protocol::Hybi7,
        Protocol::Hybi8 => theirs::Protocol::Hybi8,
        Protocol::Rfc6455 => theirs::Protocol::Rfc6455,
    }
}

fn lower_state(state: State) -> theirs::State {
    match state {
        State::Unknown => theirs::State::Unknown,
        State::Opening => theirs::State::Opening,
        State::Waiting => theirs::State::Waiting,
        State::Handshaking => theirs::State::Handshaking,
        State::Connected => theirs::State::Connected,
        State::Closed => theirs::State::Closed,
    }
}

fn lower_kind(command: CommandKind) -> theirs::CommandKind {
    match command {
        CommandKind::Send => theirs::CommandKind::Send,
        CommandKind::SendBinary => theirs::CommandKind::SendBinary,
        CommandKind::Close => theirs::CommandKind::Close,
        CommandKind::Accept => theirs::CommandKind::Accept,
        CommandKind::Reject => theirs::CommandKind::Reject,
        CommandKind::Respond => theirs::CommandKind::Respond,
    }
}

fn lower_failure(why: Failure) -> theirs::Failure {
    match why {
        Failure::UnknownConnection => theirs::Failure::UnknownConnection,
        Failure::WrongState => theirs::Failure::WrongState,
        Failure::Invalid => theirs::Failure::Invalid,
        Failure::NotText => theirs::Failure::NotText,
    }
}
