//! Watches an application's file, and has the server replace the application when the file changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{error, info};

use super::api::{ApplicationError, ApplicationOptions};
use super::component::ApplicationFactory;

/// How often the file is checked. A changed file is used once two checks agree, because compilers do not write it
/// atomically.
const LOOK: Duration = Duration::from_millis(200);

/// A file's modification time and length; `None` while it is missing.
type Look = Option<(SystemTime, u64)>;

pub(crate) fn look(path: &Path) -> Look {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Watches forever; `served` is the state of the file when it was read.
pub(crate) async fn watch(
    path: PathBuf,
    options: ApplicationOptions,
    mut served: Look,
    replace: UnboundedSender<Arc<ApplicationFactory>>,
) {
    let mut before = served;
    let mut told = None;
    loop {
        sleep(LOOK).await;
        let now = look(&path);
        if now.is_none() || now == served || now != std::mem::replace(&mut before, now) {
            continue;
        }
        match compile(path.clone(), options.clone()).await {
            Ok(application) => {
                (served, told) = (now, None);
                info!("{} has changed", path.display());
                // The server has ended.
                if replace.send(application).is_err() {
                    return;
                }
            }
            Err(error) => {
                // A failed read is retried; nothing is logged twice.
                if !matches!(error, ApplicationError::Read { .. }) {
                    served = now;
                }
                let why = error.to_string();
                if told.as_ref() != Some(&why) {
                    error!("the application before serves on: {why}");
                    told = Some(why);
                }
            }
        }
    }
}

/// Compiles on a separate thread, so that neither clients nor process exit have to wait.
async fn compile(
    path: PathBuf,
    options: ApplicationOptions,
) -> Result<Arc<ApplicationFactory>, ApplicationError> {
    let (done, result) = oneshot::channel();
    let name = path.clone();
    let compiler = thread::Builder::new().name("compiler".into()).spawn(move || {
        // The receiver is gone when the server has ended.
        let _ = done.send(ApplicationFactory::from_file(&path, &options));
    });
    if let Err(error) = compiler {
        return Err(ApplicationError::Read { path: name, error });
    }
    result.await.unwrap_or_else(|_| {
        let (name, error) = (name.display().to_string(), "the compiler panicked".into());
        Err(ApplicationError::Component { name, error })
    })
}
