//! Recording files: readable by their owner only, and never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use legacy_websocket_trace::{EXTENSION, Trace};

/// The first note of a recording says whether it is complete. It is written at the start, so that it is true whatever
/// happens, and later overwritten in place.
const OPEN: &str = "incomplete: the recording ended before the connection did";
const WHOLE: &str = "complete";
const MISSING: &str = "incomplete: a comment says where something is missing";

/// The files may contain cookies and passwords.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Creates the folder, and checks that it is writable.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    probe(folder)
}

/// Checks that the folder is writable, or can be created. Leaves nothing behind.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    let there = folder.ancestors().find(|folder| folder.exists());
    // The last ancestor of a relative path is empty.
    probe(there.unwrap_or(Path::new(".")))
}

fn probe(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".{}.probe", std::process::id()));
    create(&probe)?;
    fs::remove_file(probe)
}

/// A trace that grows by complete lines. It is not kept open: connections are many, descriptors are not.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    status_at: u64,
    length: u64,
}

impl TraceFile {
    /// Writes a trace into a file with a unique name. On an error there is no file.
    pub(super) fn create(
        folder: &Path,
        number: u64,
        since: SystemTime,
        mut head: Trace,
        steps: &str,
    ) -> io::Result<Self> {
        head.notes.insert(0, OPEN.into());
        let text = format!("{head}{steps}");
        let date = humantime::format_rfc3339_seconds(since).to_string().replace(['-', ':'], "");
        let stem = format!("{date}-{}-{number:06}", std::process::id());
        let mut path = folder.join(format!("{stem}.{EXTENSION}"));
        let mut file = create(&path);
        for again in 2..10 {
            if !file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
            // Another process with the same id within the same second: in another container, or the clock was set
            // back.
            path = folder.join(format!("{stem}-{again}.{EXTENSION}"));
            file = create(&path);
        }
        if let Err(error) = file?.write_all(text.as_bytes()) {
            // The remainder would not be a valid trace. If removing it fails too, nothing more can be done.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let status_at = text.find(OPEN).unwrap_or_default() as u64;
        Ok(Self { path, status_at, length: text.len() as u64 })
    }

    /// Appends lines: all of them, or none on an error.
    pub(super) fn append(&mut self, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        if let Err(error) = file.write_all(text.as_bytes()) {
            // A full disk may have taken half a line; truncate it.
            file.set_len(self.length)?;
            return Err(error);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// Finishes the file.
    pub(super) fn finish(&self, whole: bool) -> io::Result<()> {
        let status = format!("{:<width$}", if whole { WHOLE } else { MISSING }, width = OPEN.len());
        OpenOptions::new().write(true).open(&self.path)?.write_all_at(status.as_bytes(), self.status_at)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_fits_in_the_space_of_the_first() {
        assert!(WHOLE.len() <= OPEN.len() && MISSING.len() <= OPEN.len());
    }
}
