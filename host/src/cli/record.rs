//! Options for recordings.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use legacy_websocket::{InvalidUtf8, Options as EngineOptions, Version};
use legacy_websocket_trace::Setting;
use tracing::info;

use crate::engine::EngineFactory;
use crate::record::{RecordOptions, Recorder, check_folder};

#[derive(Debug, Args)]
#[command(next_help_heading = "Recordings")]
pub(super) struct RecordArgs {
    /// Write each connection to a file of its own in this folder, as a trace of the conformance suite. It holds all
    /// that was sent, cookies and messages too: only its owner can read it.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,

    /// All recordings of this run. More: nothing more is recorded, and the log says so.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, requires = "record")]
    record_max_bytes: u64,

    /// What is recorded of one connection, both directions together. More: its file ends there, and says so.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, requires = "record")]
    record_max_connection_bytes: u64,
}

impl RecordArgs {
    /// Whether recordings could be written. Makes no folder: it would be that of whoever checks, not of whoever serves.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(folder) = &self.record else { return Ok(()) };
        check_folder(folder).map_err(|error| format!("--record {}: {error}", folder.display()))
    }

    /// Starts recording what the factory's engines do, if asked to.
    pub(super) fn start(
        &self,
        factory: EngineFactory,
        engine: &EngineOptions,
    ) -> Result<(EngineFactory, Option<Recorder>), Box<dyn Error>> {
        let Some(folder) = &self.record else {
            return Ok((factory, None));
        };
        let mut options = RecordOptions::new(folder.clone());
        options.max_bytes = self.record_max_bytes;
        options.max_connection_bytes = self.record_max_connection_bytes;
        options.settings = settings(engine);
        let recorder =
            Recorder::start(options).map_err(|error| format!("--record {}: {error}", folder.display()))?;
        info!(folder = %folder.display(), "every connection is recorded, with its cookies and messages");
        Ok((factory.recorded_by(recorder.clone()), Some(recorder)))
    }
}

/// Options that a replay needs: all that a server does not do anyway.
fn settings(options: &EngineOptions) -> Vec<Setting> {
    let default = EngineOptions::default();
    let mut settings = Vec::new();
    let mut set = |name: &str, value: &str| {
        settings.push(Setting { name: name.into(), value: value.into() });
    };
    match options.version {
        Version::Auto => {}
        Version::Draft75 => set("version", "draft75"),
        Version::Draft76 => set("version", "draft76"),
    }
    for (name, values) in
        [("origin", &options.origins), ("host", &options.hosts), ("subprotocol", &options.subprotocols)]
    {
        values.iter().filter(|value| *value != "*").for_each(|value| set(name, value));
    }
    if let Some(url) = &options.public_url {
        set("public-url", url);
    }
    if let Some(policy) = &options.flash_policy {
        set("flash-policy", policy);
    }
    if let Some(path) = &options.health_path {
        set("health-path", path);
    }
    for (name, on) in [
        ("trust-forwarded", options.trust_forwarded),
        ("authorise", options.authorise),
        ("skip-reserved-frames", options.skip_reserved_frames),
    ] {
        if on {
            set(name, "");
        }
    }
    if options.invalid_utf8 == InvalidUtf8::Close {
        set("invalid-utf8", "close");
    }
    let (limits, usual) = (&options.limits, &default.limits);
    for (name, limit, usual) in [
        ("max-head-bytes", limits.max_head_bytes, usual.max_head_bytes),
        ("max-fields", limits.max_fields, usual.max_fields),
        ("max-message-bytes", limits.max_message_bytes, usual.max_message_bytes),
    ] {
        if limit != usual {
            set(name, &limit.to_string());
        }
    }
    for (name, limit, usual) in [
        ("handshake-timeout", limits.handshake_timeout, usual.handshake_timeout),
        ("idle-timeout", limits.idle_timeout, usual.idle_timeout),
        ("message-timeout", limits.message_timeout, usual.message_timeout),
        ("close-timeout", limits.close_timeout, usual.close_timeout),
    ] {
        if limit != usual {
            set(name, &time(limit));
        }
    }
    settings
}

/// Milliseconds as the command line takes them.
fn time(millis: u64) -> String {
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}
