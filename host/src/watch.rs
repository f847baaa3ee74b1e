//! Looks at an application's file, and has the server replace it when the file is another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info};

use crate::application::ApplicationFactory;
use crate::sandbox::Budget;

/// How often the file is looked at; it is taken when it looks the same twice, for compilers do not write at once.
const LOOK: Duration = Duration::from_millis(200);

/// When it was written, and its length; nothing while it is not there.
type Look = Option<(SystemTime, u64)>;

pub(crate) fn look(path: &Path) -> Look {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Watches for ever; `served` is how the file looked when it was read.
pub(crate) async fn watch(
    path: PathBuf,
    budget: Budget,
    mut served: Look,
    replace: UnboundedSender<Arc<ApplicationFactory>>,
) {
    let mut before = served;
    loop {
        sleep(LOOK).await;
        let now = look(&path);
        if now.is_none() || now == served || now != std::mem::replace(&mut before, now) {
            continue;
        }
        served = now;
        info!("{} has changed", path.display());
        let compiled = path.clone();
        // Others are served while it compiles.
        match spawn_blocking(move || ApplicationFactory::from_file(&compiled, budget)).await {
            Ok(Ok(application)) => {
                // The server has ended.
                if replace.send(application).is_err() {
                    return;
                }
            }
            Ok(Err(error)) => error!("the application before serves on: {error}"),
            Err(error) => error!("the application before serves on: {error}"),
        }
    }
}
