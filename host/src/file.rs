//! Files named by the operator: limited in size, and never blocking while the server runs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Largest component, in bytes. One with a language runtime has about 20 MB.
pub(crate) const MAX_COMPONENT_BYTES: u64 = 256 << 20;

/// Largest text file, in bytes: a configuration, a policy, certificates.
pub(crate) const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Reads a file of any kind, even a pipe, in full.
///
/// # Errors
/// `FileTooLarge` above `limit` bytes, without reading further; otherwise the system's.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

/// Like [`read`], for UTF-8.
///
/// # Errors
/// `InvalidData` if it is not UTF-8; those of [`read`].
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "not UTF-8"))
}

/// Reads a regular file in full. Anything else is refused before it is opened: opening a FIFO blocks until there is a writer.
///
/// # Errors
/// `InvalidInput` if it is not a regular file; those of [`read`].
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    read(path, limit)
}

/// The path of `unix:PATH`, by which sockets are named; `None` if the text names something else.
///
/// # Errors
/// What is missing.
pub(crate) fn unix_path(text: &str) -> Option<Result<PathBuf, String>> {
    let path = text.strip_prefix("unix:")?;
    Some(if path.is_empty() { Err("a path must follow unix:".into()) } else { Ok(path.into()) })
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("larger than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_files_neither_block_nor_are_read_without_end() {
        for path in ["/dev/zero", "/dev/tty", "/"] {
            assert!(read_regular(Path::new(path), 100).is_err(), "{path}");
        }
        assert_eq!(read(Path::new("/dev/zero"), 100).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_file_of_exactly_the_limit_is_read() {
        let path = std::env::temp_dir().join(format!("legacy-websocket-{}", std::process::id()));
        fs::write(&path, [0; 100]).unwrap();
        for read in [read, read_regular] {
            assert_eq!(read(&path, 100).unwrap().len(), 100);
            assert_eq!(read(&path, 99).unwrap_err().kind(), ErrorKind::FileTooLarge);
        }
        fs::remove_file(path).unwrap();
    }
}
