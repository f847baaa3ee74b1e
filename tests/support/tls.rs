//! Self-signed certificates, and clients that trust them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// A certificate for example.com and 127.0.0.1 with its key, in two files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Creates a certificate; `name` is the stem of its files.
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        let der = Self::write(&certificate, &key);
        Self { certificate, key, der }
    }

    /// Replaces it by a new one in the same files.
    pub(crate) fn renew(&self) -> Self {
        let der = Self::write(&self.certificate, &self.key);
        Self { certificate: self.certificate.clone(), key: self.key.clone(), der }
    }

    fn write(certificate: &PathBuf, key: &PathBuf) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["example.com".into(), "127.0.0.1".into()]).unwrap();
        fs::write(certificate, cert.pem()).unwrap();
        fs::write(key, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    /// The options to serve it on a port that the system chooses.
    pub(crate) fn options(&self) -> [&str; 6] {
        let [certificate, key] = [&self.certificate, &self.key].map(|path| path.to_str().unwrap());
        ["--tls-listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key]
    }

    /// A server with this certificate, for a test's own sockets.
    pub(crate) fn server(&self) -> ServerConnection {
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .unwrap();
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    /// A client that trusts only this certificate.
    pub(crate) fn client(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), "example.com".try_into().unwrap()).unwrap()
    }
}
