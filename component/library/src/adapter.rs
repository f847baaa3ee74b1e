//! Lifts and lowers the types of the interface `legacy-websocket`.

use legacy_websocket::step::{self, Destination, Disposition, Input, Loss, Opened, Received};
use legacy_websocket::{ConnectedCounts, Counts, InvalidUtf8, Limits, Options, Protocol, Protocols};
use legacy_websocket_guest::{lower_event, lower_protocol, lower_state};

use crate::bindings::exports::hixie::legacy_websocket::legacy_websocket as wit;

pub(crate) fn default_options() -> wit::Options {
    let Options {
        protocols,
        origins,
        subprotocols,
        hosts,
        public_url,
        trust_forwarded,
        authorise,
        pass_through,
        echo,
        skip_reserved_frames,
        invalid_utf8,
        flash_policy,
        health_path,
        limits,
    } = Options::default();
    wit::Options {
        protocols: lower_protocols(protocols),
        origins,
        subprotocols,
        hosts,
        public_url,
        trust_forwarded,
        authorise,
        pass_through,
        echo,
        skip_reserved_frames,
        invalid_utf8: match invalid_utf8 {
            InvalidUtf8::Replace => wit::InvalidUtf8::Replace,
            InvalidUtf8::Close => wit::InvalidUtf8::Close,
        },
        flash_policy,
        health_path,
        limits: wit::Limits {
            max_head_bytes: narrow(limits.max_head_bytes),
            max_fields: narrow(limits.max_fields),
            max_message_bytes: narrow(limits.max_message_bytes),
            max_buffered_bytes: u64::try_from(limits.max_buffered_bytes).unwrap_or(u64::MAX),
            handshake_timeout: limits.handshake_timeout,
            idle_timeout: limits.idle_timeout,
            ping_interval: limits.ping_interval,
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
    }
}

pub(crate) fn lift_options(options: wit::Options) -> Options {
    let limits = options.limits;
    let wide = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        protocols: lift_protocols(options.protocols),
        origins: options.origins,
        subprotocols: options.subprotocols,
        hosts: options.hosts,
        public_url: options.public_url,
        trust_forwarded: options.trust_forwarded,
        authorise: options.authorise,
        pass_through: options.pass_through,
        echo: options.echo,
        skip_reserved_frames: options.skip_reserved_frames,
        invalid_utf8: match options.invalid_utf8 {
            wit::InvalidUtf8::Replace => InvalidUtf8::Replace,
            wit::InvalidUtf8::Close => InvalidUtf8::Close,
        },
        flash_policy: options.flash_policy,
        health_path: options.health_path,
        limits: Limits {
            max_head_bytes: wide(limits.max_head_bytes),
            max_fields: wide(limits.max_fields),
            max_message_bytes: wide(limits.max_message_bytes),
            max_buffered_bytes: usize::try_from(limits.max_buffered_bytes).unwrap_or(usize::MAX),
            handshake_timeout: limits.handshake_timeout,
            idle_timeout: limits.idle_timeout,
            ping_interval: limits.ping_interval,
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
    }
}

fn lower_protocols(protocols: Protocols) -> wit::Protocols {
    protocols.iter().map(flag).fold(wit::Protocols::empty(), |flags, flag| flags | flag)
}

fn lift_protocols(flags: wit::Protocols) -> Protocols {
    let is_on = |protocol: &Protocol| (flags & flag(*protocol)) != wit::Protocols::empty();
    Protocol::ALL.into_iter().filter(is_on).collect()
}

fn flag(protocol: Protocol) -> wit::Protocols {
    match protocol {
        Protocol::Draft75 => wit::Protocols::DRAFT75,
        Protocol::Draft76 => wit::Protocols::DRAFT76,
        Protocol::Hybi7 => wit::Protocols::HYBI7,
        Protocol::Hybi8 => wit::Protocols::HYBI8,
        Protocol::Rfc6455 => wit::Protocols::RFC6455,
    }
}

pub(crate) fn lift_input(input: wit::Input) -> Input {
    match input {
        wit::Input::Opened(wit::Opened { connection, peer, secure }) => {
            Input::Opened(Opened { connection, peer, secure })
        }
        wit::Input::Received(wit::Received { connection, bytes }) => {
            Input::Received(Received { connection, bytes })
        }
        wit::Input::Ended(connection) => Input::Ended(connection),
        wit::Input::Lost(wit::Lost { connection, why }) => {
            let why = match why {
                wit::Loss::Reset => Loss::Reset,
                wit::Loss::SlowReader => Loss::SlowReader,
            };
            Input::Lost(step::Lost { connection, why })
        }
        wit::Input::Shutdown => Input::Shutdown,
        wit::Input::ApplicationLost => Input::ApplicationLost,
    }
}

pub(crate) fn lift_read(read: wit::Read) -> step::Read {
    step::Read { connection: read.connection, end: read.end }
}

pub(crate) fn lower_step(step: step::Step) -> wit::Step {
    wit::Step {
        events: step.events.into_iter().map(lower_event).collect(),
        transmissions: step.transmissions.into_iter().map(lower_transmission).collect(),
        next_timeout: step.next_timeout,
        paused: step.paused,
    }
}

fn lower_transmission(transmission: step::Transmission) -> wit::Transmission {
    wit::Transmission {
        to: match transmission.to {
            Destination::One(connection) => wit::Destination::One(connection),
            Destination::Many(connections) => wit::Destination::Many(connections),
            Destination::All => wit::Destination::All,
            Destination::AllBut(connection) => wit::Destination::AllBut(connection),
        },
        bytes: transmission.bytes,
        then: match transmission.then {
            Disposition::Keep => wit::Disposition::Keep,
            Disposition::Join => wit::Disposition::Join,
            Disposition::Leave => wit::Disposition::Leave,
            Disposition::HalfClose => wit::Disposition::HalfClose,
            Disposition::Finish => wit::Disposition::Finish,
            Disposition::Abort => wit::Disposition::Abort,
        },
    }
}

pub(crate) fn lower_status(status: step::Status) -> wit::Status {
    wit::Status {
        connection: status.connection,
        state: lower_state(status.state),
        protocol: status.protocol.map(lower_protocol),
        peer: status.peer,
    }
}

pub(crate) fn lower_counts(counts: Counts) -> wit::Counts {
    let ConnectedCounts { draft75, draft76, hybi7, hybi8, rfc6455 } = counts.connected;
    wit::Counts {
        open: narrow(counts.open),
        connected: wit::ConnectedCounts {
            draft75: narrow(draft75),
            draft76: narrow(draft76),
            hybi7: narrow(hybi7),
            hybi8: narrow(hybi8),
            rfc6455: narrow(rfc6455),
        },
        buffered_bytes: u64::try_from(counts.buffered_bytes).unwrap_or(u64::MAX),
        messages_received: counts.messages_received,
        messages_sent: counts.messages_sent,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
