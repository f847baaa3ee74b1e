//! TLS: a certificate and its key, from files that may change while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use legacy_websocket_shell::LogValue;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tracing::{error, info};

use crate::connection::socket::Socket;
use crate::file::{self, MAX_TEXT_BYTES};

/// How often the files are checked.
const LOOK: Duration = Duration::from_secs(1);

/// How much of a line is quoted, in bytes.
const MAX_QUOTED: usize = 80;

/// The certificate and key of a TLS listener: TLS 1.2 and 1.3. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificates: PathBuf,
    key: PathBuf,
    acceptor: RwLock<Current>,
}

/// The state of the files as last read.
#[derive(Clone)]
struct Current {
    acceptor: TlsAcceptor,
    stamps: [Stamp; 2],
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("stamps", &self.stamps).finish_non_exhaustive()
    }
}

/// Identifies a version of a file; `None` if it does not exist.
type Stamp = Option<(SystemTime, u64)>;

/// Why a certificate or key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{path}: {}", in_words(error))]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        error: pem::Error,
    },
    /// No certificate is in the file.
    #[error("{0}: no certificate found")]
    Empty(PathBuf),
    /// The two do not match, or are of an unsupported kind.
    #[error("{certificates} and {key}: {}", mismatch(error))]
    Unusable {
        /// The certificates' path.
        certificates: PathBuf,
        /// The key's path.
        key: PathBuf,
        /// The cause.
        error: rustls::Error,
    },
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let acceptor = RwLock::new(load(certificates, key, file::read)?);
        Ok(Self(Arc::new(Inner { certificates: certificates.into(), key: key.into(), acceptor })))
    }

    /// Reloads both files for new connections. They must be regular files now. On an error nothing changes.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = load(&self.0.certificates, &self.0.key, file::read_regular)?;
        *self.0.acceptor.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// Reloads whenever a file changes, forever. Two files are not replaced atomically: a mismatch is retried at the
    /// next change, a failed read at the next check.
    pub(crate) async fn follow_files(&self) {
        let mut seen = self.current().stamps;
        let mut told = None;
        loop {
            sleep(LOOK).await;
            let now = [stamp(&self.0.certificates), stamp(&self.0.key)];
            if now == self.current().stamps {
                (seen, told) = (now, None);
            } else if now != seen {
                seen = now;
                match self.reload() {
                    Ok(()) => self.tell_success(),
                    Err(error) => {
                        if error.is_of_the_system() {
                            seen = Default::default();
                        }
                        let why = error.to_string();
                        if told.as_ref() != Some(&why) {
                            tell_failure(&error);
                            told = Some(why);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn reload_and_tell(&self) {
        match self.reload() {
            Ok(()) => self.tell_success(),
            Err(error) => tell_failure(&error),
        }
    }

    fn tell_success(&self) {
        let (certificates, key) = (self.0.certificates.display(), self.0.key.display());
        info!(%certificates, %key, "TLS certificate reloaded");
    }

    /// Performs the handshake with a client that sent `start` first; the reason if it failed.
    pub(crate) async fn accept(&self, stream: TcpStream, start: &[u8]) -> Result<Socket, String> {
        let accepted = self.current().acceptor.accept(stream).await;
        accepted.map(|stream| Socket::Tls(Box::new(stream))).map_err(|error| explain(&error, start))
    }

    fn current(&self) -> Current {
        self.0.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a handshake failed with a client that sent `start` first. Up to TLS 1.2, the client's version is the highest it
/// offers (RFC 8446, section 4.1.2).
fn explain(error: &io::Error, start: &[u8]) -> String {
    let version = match start {
        // A record of type handshake with a message of type client_hello.
        [0x16, _, _, _, _, 0x01, _, _, _, 0x03, minor, ..] => *minor,
        [0x16, ..] => return error.to_string(),
        // The SSL 2.0 ClientHello, which may offer later versions as well (RFC 5246, appendix E.2).
        [0x80..=0xff, _, 0x01, 0x03, minor, ..] => *minor,
        _ => return format!("not TLS: {}", LogValue(start)),
    };
    let offered = match version {
        0 => "SSL 3.0",
        1 => "TLS 1.0",
        2 => "TLS 1.1",
        _ => return error.to_string(),
    };
    format!(
        "the client offers {offered} at best, and TLS 1.2 is required: docs/proxies.md has a TLS terminator for it"
    )
}

impl TlsError {
    /// Whether the error is about access, not about the content: descriptors or permissions may be available a moment
    /// later.
    fn is_of_the_system(&self) -> bool {
        matches!(self, Self::Read { error: pem::Error::Io(_), .. })
    }
}

/// The error, with text shown as text instead of lists of numbers.
fn in_words(error: &pem::Error) -> String {
    let text = |bytes: &[u8]| bytes[..bytes.len().min(MAX_QUOTED)].escape_ascii().to_string();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("there is no line -----END {}-----", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => format!("a section cannot begin with {}", text(line)),
        pem::Error::NoItemsFound => "no private key found".into(),
        pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn tell_failure(error: &TlsError) {
    error!("TLS certificate not reloaded; the previous one stays in use: {error}");
}

fn load(
    certificates: &Path,
    key: &Path,
    read: impl Fn(&Path, u64) -> io::Result<Vec<u8>>,
) -> Result<Current, TlsError> {
    // Before the files, so that a concurrent change is noticed afterwards.
    let stamps = [stamp(certificates), stamp(key)];
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        |error| TlsError::Read { path, error }
    };
    let text = |path| read(path, MAX_TEXT_BYTES).map_err(pem::Error::Io).map_err(unreadable(path));
    let chain = CertificateDer::pem_slice_iter(&text(certificates)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable(certificates))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificates.into()));
    }
    let private = PrivateKeyDer::from_pem_slice(&text(key)?).map_err(unreadable(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| TlsError::Unusable { certificates: certificates.into(), key: key.into(), error })?;
    Ok(Current { acceptor: TlsAcceptor::from(Arc::new(config)), stamps })
}

fn mismatch(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".into(),
        error => error.to_string(),
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_version_a_client_offers_is_named() {
        let error = io::Error::other("as rustls says it");
        for (start, said) in [
            (b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".as_slice(), "TLS 1.0 at best"),
            (b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x02", "TLS 1.1 at best"),
            (b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00", "SSL 3.0 at best"),
            (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", "TLS 1.0 at best"),
            (b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03", "as rustls says it"),
            (b"\x16\x03", "as rustls says it"),
            (b"GET / HTTP/", "not TLS: \"GET / HTTP/\""),
            (b"\x1b[31m", "not TLS: \"\\u{1b}[31m\""),
        ] {
            let explained = explain(&error, start);
            assert!(explained.contains(said), "{start:?}: {explained}");
        }
    }
}
