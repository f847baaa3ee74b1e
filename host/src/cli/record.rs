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
    /// Write each connection to its own file in this folder, as a trace of the conformance suite. The file contains
    /// everything sent, including cookies and messages, so only its owner can read it.
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,

    /// Maximum size of all recordings of this run. After that, recording stops, and the log says so.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, requires = "record")]
    record_max_bytes: u64,

    /// Maximum recorded of one connection, both directions together. After that, its file ends, and says so.
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
        info!(folder = %folder.display(), "recording every connection, including its cookies and messages");
        Ok((factory.recorded_by(recorder.clone()), Some(recorder)))
    }
}
