//! Options for recordings.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use legacy_websocket_shell::Settings;
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
    /// Checks that recordings could be written. Creates no folder: it would belong to the user who checks, not the one
    /// who serves.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(folder) = &self.record else { return Ok(()) };
        check_folder(folder).map_err(|error| format!("--record {}: {error}", folder.display()))
    }

    /// Starts recording the factory's engines, if requested.
    pub(super) fn start(
        &self,
        factory: EngineFactory,
        settings: &Settings,
    ) -> Result<(EngineFactory, Option<Recorder>), Box<dyn Error>> {
        let Some(folder) = &self.record else {
            return Ok((factory, None));
        };
        let mut options = RecordOptions::new(folder.clone());
        options.max_bytes = self.record_max_bytes;
        options.max_connection_bytes = self.record_max_connection_bytes;
        let setting = |(name, value): (&str, String)| Setting { name: name.into(), value };
        options.settings = settings.traced().into_iter().map(setting).collect();
        let recorder =
            Recorder::start(options).map_err(|error| format!("--record {}: {error}", folder.display()))?;
        info!(folder = %folder.display(), "every connection is recorded, with its cookies and messages");
        Ok((factory.recorded_by(recorder.clone()), Some(recorder)))
    }
}
