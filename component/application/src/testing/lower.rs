//! The engine's events, as an application gets them.

use legacy_websocket::step::{CloseCause, CommandKind, Event, Failure, Field, Protocol, RequestHead, State};

use crate::types;

/// Moves an event's contents.
pub fn lower_event(event: Event) -> types::Event {
    match event {
        Event::Messages(messages) => types::Event::Messages(types::Messages {
            connection: messages.connection,
            text: messages.text,
            ends: messages.ends,
        }),
        Event::Binary(binary) => {
            types::Event::Binary(types::Binary { connection: binary.connection, bytes: binary.bytes })
        }
        Event::StateChanged(change) => types::Event::StateChanged(types::StateChange {
            connection: change.connection,
            old: lower_state(change.old),
            new: lower_state(change.new),
        }),
        Event::Handshake(handshake) => types::Event::Handshake(types::Handshake {
            connection: handshake.connection,
            protocol: lower_protocol(handshake.protocol),
            peer: handshake.peer,
            subprotocol: handshake.subprotocol,
            head: lower_head(handshake.head),
        }),
        Event::Connected(connected) => types::Event::Connected(types::Connected {
            connection: connected.connection,
            protocol: lower_protocol(connected.protocol),
            peer: connected.peer,
            subprotocol: connected.subprotocol,
            head: lower_head(connected.head),
        }),
        Event::Request(request) => types::Event::Request(types::Request {
            connection: request.connection,
            peer: request.peer,
            head: lower_head(request.head),
            body: request.body,
        }),
        Event::Passed(passed) => {
            types::Event::Passed(types::Passed { connection: passed.connection, bytes: passed.bytes })
        }
        Event::Closed(closed) => types::Event::Closed(types::Closed {
            connection: closed.connection,
            cause: lower_cause(closed.cause),
            code: closed.code,
            reason: closed.reason,
        }),
        Event::Rejected(rejection) => types::Event::Rejected(types::Rejection {
            connection: rejection.connection,
            peer: rejection.peer,
            status: rejection.status,
            reason: rejection.reason,
        }),
        Event::Failed(failed) => types::Event::Failed(types::Failed {
            connection: failed.connection,
            command: lower_kind(failed.command),
            why: lower_failure(failed.why),
        }),
        Event::Tick(now) => types::Event::Tick(now),
    }
}

/// Moves a head's contents.
pub fn lower_head(head: RequestHead) -> types::RequestHead {
    let field = |Field { name, value }| types::Field { name, value };
    types::RequestHead {
        method: head.method,
        target: head.target,
        fields: head.fields.into_iter().map(field).collect(),
    }
}

/// Which protocol.
pub fn lower_protocol(protocol: Protocol) -> types::Protocol {
    match protocol {
        Protocol::Draft75 => types::Protocol::Draft75,
        Protocol::Draft76 => types::Protocol::Draft76,
        Protocol::Hybi7 => types::Protocol::Hybi7,
        Protocol::Hybi8 => types::Protocol::Hybi8,
        Protocol::Rfc6455 => types::Protocol::Rfc6455,
    }
}

/// Which state.
pub fn lower_state(state: State) -> types::State {
    match state {
        State::Unknown => types::State::Unknown,
        State::Opening => types::State::Opening,
        State::Waiting => types::State::Waiting,
        State::Handshaking => types::State::Handshaking,
        State::Connected => types::State::Connected,
        State::Closed => types::State::Closed,
    }
}

fn lower_cause(cause: CloseCause) -> types::CloseCause {
    match cause {
        CloseCause::ByPeer => types::CloseCause::ByPeer,
        CloseCause::ByUs => types::CloseCause::ByUs,
        CloseCause::ByUsAbruptly => types::CloseCause::ByUsAbruptly,
        CloseCause::EndOfStream => types::CloseCause::EndOfStream,
        CloseCause::Reset => types::CloseCause::Reset,
        CloseCause::HandshakeTimeout => types::CloseCause::HandshakeTimeout,
        CloseCause::IdleTimeout => types::CloseCause::IdleTimeout,
        CloseCause::PingTimeout => types::CloseCause::PingTimeout,
        CloseCause::MessageTimeout => types::CloseCause::MessageTimeout,
        CloseCause::CloseTimeout => types::CloseCause::CloseTimeout,
        CloseCause::Refused => types::CloseCause::Refused,
        CloseCause::Responded => types::CloseCause::Responded,
        CloseCause::BadFrame(reason) => types::CloseCause::BadFrame(reason),
        CloseCause::BadText => types::CloseCause::BadText,
        CloseCause::MessageLimit => types::CloseCause::MessageLimit,
        CloseCause::BufferLimit => types::CloseCause::BufferLimit,
        CloseCause::SlowReader => types::CloseCause::SlowReader,
        CloseCause::EngineLost => types::CloseCause::EngineLost,
        CloseCause::Other(reason) => types::CloseCause::Other(reason),
    }
}

fn lower_kind(command: CommandKind) -> types::CommandKind {
    match command {
        CommandKind::Send => types::CommandKind::Send,
        CommandKind::SendBinary => types::CommandKind::SendBinary,
        CommandKind::Close => types::CommandKind::Close,
        CommandKind::Accept => types::CommandKind::Accept,
        CommandKind::Reject => types::CommandKind::Reject,
        CommandKind::Respond => types::CommandKind::Respond,
    }
}

fn lower_failure(why: Failure) -> types::Failure {
    match why {
        Failure::UnknownConnection => types::Failure::UnknownConnection,
        Failure::WrongState => types::Failure::WrongState,
        Failure::Invalid => types::Failure::Invalid,
        Failure::NotText => types::Failure::NotText,
    }
}
