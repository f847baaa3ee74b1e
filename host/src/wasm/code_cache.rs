//! Compiled components, cached by wasmtime between starts, and verified before use: wasmtime runs cached code
//! unchecked, so a flipped bit on the disk would end the process, or worse.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::{Cache, CacheConfig};

/// A folder for wasmtime alone, and next to it the digest of each file in it.
#[derive(Debug)]
pub(crate) struct CodeCache {
    code: PathBuf,
    digests: PathBuf,
}

impl CodeCache {
    /// In the user's cache directory (on Linux `$XDG_CACHE_HOME`, or `~/.cache`).
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let of_wasmtime = Cache::new(CacheConfig::new())?;
        Ok(Self::beside(of_wasmtime.directory()))
    }

    fn beside(folder: &Path) -> Self {
        let folder = folder.with_file_name("legacy-websocket");
        Self { code: folder.join("code"), digests: folder.join("digests") }
    }

    /// Reads the digests that were stored.
    pub(crate) fn open(&self) -> wasmtime::Result<Cache> {
        for file in self.files() {
            if !self.is_intact(&file) {
                match fs::remove_file(&file) {
                    // Another process was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
        }
        let mut config = CacheConfig::new();
        config.with_directory(&self.code);
        // A file rewritten after some uses, to be smaller, would have another digest.
        config.with_optimized_compression_usage_counter_threshold(u64::MAX);
        Cache::new(config)
    }

    /// Called after compiling components. If it fails, they are compiled again at the next start.
    pub(crate) fn seal(&self) {
        let unsealed = self.files().into_iter().filter(|file| !self.digest_of(file).exists());
        for file in unsealed {
            if let Err(error) = self.write_digest(&file) {
                debug!("{}: {error}", file.display());
            }
        }
    }

    fn is_intact(&self, file: &Path) -> bool {
        // Without a digest, another process has just compiled it, or did not get this far.
        let Ok(expected) = fs::read_to_string(self.digest_of(file)) else {
            return false;
        };
        let intact = digest(file).is_ok_and(|digest| digest == expected);
        if !intact {
            warn!("{} is damaged; recompiling the component", file.display());
            let _ = fs::remove_file(self.digest_of(file));
        }
        intact
    }

    /// Writes a file atomically.
    fn write_digest(&self, file: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.digests)?;
        let (to, digest) = (self.digest_of(file), digest(file)?);
        let new = to.with_extension(std::process::id().to_string());
        fs::write(&new, digest)?;
        fs::rename(&new, to)
    }

    fn digest_of(&self, file: &Path) -> PathBuf {
        self.digests.join(file.file_name().unwrap_or_default())
    }

    /// The files that contain code: wasmtime has a folder per version, and its other files have an extension.
    fn files(&self) -> Vec<PathBuf> {
        let versions = list(&self.code.join("modules"));
        let files = versions.iter().flat_map(|version| list(version));
        files.filter(|file| file.extension().is_none()).collect()
    }
}

/// The content of a folder; nothing if it does not exist.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn digest(file: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(file)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
