//! Lifts and lowers the types of the interface `legacy-websocket`.

use legacy_websocket::step::{self, Destination, Disposition, Input, Loss, Opened, Received};
use legacy_websocket::{Counts, InvalidUtf8, Limits, Options, Version};
use legacy_websocket_guest::{lower_draft, lower_event, lower_state};

use crate::bindings::exports::hixie::legacy_websocket::legacy_websocket as wit;

pub(crate) fn default_options() -> wit::Options {
    let Options {
        version,
        origins,
        subprotocols,
        hosts,
        public_url,
        trust_forwarded,
        authorise,
        echo,
        skip_reserved_frames,
        invalid_utf8,
        flash_policy,
        health_path,
        limits,
    } = Options::default();
    wit::Options {
        version: match version {
            Version::Auto => wit::Version::Auto,
            Version::Draft75 => wit::Version::Draft75,
            Version::Draft76 => wit::Version::Draft76,
        },
        origins,
        subprotocols,
        hosts,
        public_url,
        trust_forwarded,
        authorise,
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
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
    }
}

pub(crate) fn lift_options(options: wit::Options) -> Options {
    let limits = options.limits;
    let wide = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        version: match options.version {
            wit::Version::Auto => Version::Auto,
            wit::Version::Draft75 => Version::Draft75,
            wit::Version::Draft76 => Version::Draft76,
        },
        origins: options.origins,
        subprotocols: options.subprotocols,
        hosts: options.hosts,
        public_url: options.public_url,
        trust_forwarded: options.trust_forwarded,
        authorise: options.authorise,
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
            message_timeout: limits.message_timeout,
            close_timeout: limits.close_timeout,
        },
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
        draft: status.draft.map(lower_draft),
        peer: status.peer,
    }
}

pub(crate) fn lower_counts(counts: Counts) -> wit::Counts {
    wit::Counts {
        open: narrow(counts.open),
        connected75: narrow(counts.connected75),
        connected76: narrow(counts.connected76),
        buffered_bytes: u64::try_from(counts.buffered_bytes).unwrap_or(u64::MAX),
        messages_received: counts.messages_received,
        messages_sent: counts.messages_sent,
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
