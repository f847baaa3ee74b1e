//! Watches a component's file, and has the server replace the component when the file changes.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{error, info};

use super::api::ApplicationError;
#[cfg(feature = "gateway")]
use crate::site::SiteError;

/// How often the file is checked. A changed file is used once two checks agree, because compilers do not write it
/// atomically.
const LOOK: Duration = Duration::from_millis(200);

/// A file's modification time and length; `None` while it is missing.
pub(crate) type Look = Option<(SystemTime, u64)>;

pub(crate) fn look(path: &Path) -> Look {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Watches forever; `served` is the state of the file when it was read. `replace` returns whether it still serves.
pub(crate) async fn watch<T: Send + 'static, E: Unready>(
    path: PathBuf,
    mut served: Look,
    compile: impl Fn(&Path) -> Result<T, E> + Clone + Send + 'static,
    replace: impl Fn(T) -> bool,
) {
    let mut before = served;
    let mut told = None;
    loop {
        sleep(LOOK).await;
        let now = look(&path);
        if now.is_none() || now == served || now != std::mem::replace(&mut before, now) {
            continue;
        }
        match elsewhere(path.clone(), compile.clone()).await {
            Ok(compiled) => {
                (served, told) = (now, None);
                info!("{} has changed", path.display());
                // The server has ended.
                if !replace(compiled) {
                    return;
                }
            }
            Err((why, is_read)) => {
                // A failed read is retried; nothing is logged twice.
                if is_read {
                    served = now;
                }
                if told.as_ref() != Some(&why) {
                    error!("the application before serves on: {why}");
                    told = Some(why);
                }
            }
        }
    }
}

/// Why there is no new version.
pub(crate) trait Unready: Display + Send + 'static {
    /// The file could not be read.
    fn is_read_error(&self) -> bool;
}

impl Unready for ApplicationError {
    fn is_read_error(&self) -> bool {
        matches!(self, Self::Read { .. })
    }
}

#[cfg(feature = "gateway")]
impl Unready for SiteError {
    fn is_read_error(&self) -> bool {
        matches!(self, Self::Read { .. })
    }
}

/// Compiles on a separate thread, so that neither clients nor process exit have to wait. An error comes with whether
/// the file was read.
async fn elsewhere<T: Send + 'static, E: Unready>(
    path: PathBuf,
    compile: impl FnOnce(&Path) -> Result<T, E> + Send + 'static,
) -> Result<T, (String, bool)> {
    let (done, result) = oneshot::channel();
    let compiler = thread::Builder::new().name("compiler".into()).spawn(move || {
        // The receiver is gone when the server has ended.
        let _ = done.send(compile(&path));
    });
    if let Err(error) = compiler {
        return Err((error.to_string(), false));
    }
    match result.await {
        Ok(compiled) => compiled.map_err(|error| (error.to_string(), !error.is_read_error())),
        Err(_) => Err(("the compiler panicked".into(), true)),
    }
}
