//! What all workers of a gateway share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use legacy_websocket::Options;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::backend::Backend;
use super::error::GatewayError;
use super::fields::Forwarding;
use super::metrics::GatewayMetrics;
use super::options::GatewayOptions;
use super::route::{self, Route};
use super::status::GatewayStatus;
use super::target::Target;
use crate::file::{MAX_TEXT_BYTES, read};
use crate::options::ShellOptions;
use crate::site::Site;

/// The limit of each of the two buffers that a connection has in hyper, unless a head may be longer.
const HTTP_BUFFER_BYTES: usize = 64 << 10;

/// What all workers of a gateway share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(super) options: GatewayOptions,
    /// The longest prefix first.
    pub(super) routes: Vec<Arc<Route>>,
    backends: Vec<Arc<Backend>>,
    /// In place of backends.
    pub(super) site: Option<Arc<Site>>,
    pub(super) metrics: GatewayMetrics,
    /// Of the engine.
    pub(super) policy: Options,
    pub(super) forwarding: Forwarding,
    pub(super) max_message_bytes: usize,
    pub(super) handshake_timeout: Duration,
    pub(super) close_timeout: Duration,
    /// Of the shell.
    pub(super) write_timeout: Duration,
    stage: watch::Sender<Stage>,
    /// Of each old client, by its connection.
    pairs: Mutex<HashMap<u64, Pair>>,
}

#[derive(Debug)]
struct Pair {
    task: AbortHandle,
    /// `None` until it has accepted.
    backend: Option<Arc<Backend>>,
}

/// How far the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// No new requests.
    Stopping,
    /// No more waiting.
    Aborted,
}

impl Gateway {
    pub(crate) fn new(
        options: GatewayOptions,
        engine: &Options,
        shell: &ShellOptions,
    ) -> Result<Self, GatewayError> {
        if options.routes.is_empty() {
            return Err(GatewayError("there is no route".into()));
        }
        let connector = connector(&options)?;
        let (mut routes, mut backends) = (Vec::<Arc<Route>>::new(), Vec::<Arc<Backend>>::new());
        for route in &options.routes {
            let mut own = Vec::new();
            for target in &route.to {
                let name = target.to_string();
                let known = backends.iter().find(|backend| backend.to_string() == name).cloned();
                let backend = match known {
                    Some(backend) => backend,
                    None => Arc::new(
                        Backend::new(
                            target.clone(),
                            connector.as_ref(),
                            options.retry_after,
                            shell.write_timeout,
                        )
                        .map_err(GatewayError)?,
                    ),
                };
                if !backends.iter().any(|known| Arc::ptr_eq(known, &backend)) {
                    backends.push(Arc::clone(&backend));
                }
                own.push(backend);
            }
            if own.is_empty() {
                return Err(GatewayError(format!("route {} has no backend", route.path)));
            }
            let route = Route::new(route, own).map_err(GatewayError)?;
            if routes.iter().any(|other| other.path() == route.path()) {
                return Err(GatewayError(format!("there are two routes for {}", route.path())));
            }
            routes.push(Arc::new(route));
        }
        route::sort(&mut routes);
        Ok(Self { options, routes, backends, ..Self::without_backends(engine, shell, None) })
    }

    /// For a web application in place of backends; old clients are not the gateway's.
    pub(crate) fn of_site(site: Arc<Site>, engine: &Options, shell: &ShellOptions) -> Self {
        Self::without_backends(engine, shell, Some(site))
    }

    fn without_backends(engine: &Options, shell: &ShellOptions, site: Option<Arc<Site>>) -> Self {
        Self {
            options: GatewayOptions::default(),
            routes: Vec::new(),
            backends: Vec::new(),
            site,
            metrics: GatewayMetrics::default(),
            policy: engine.clone(),
            forwarding: Forwarding::new(engine),
            max_message_bytes: engine.limits.max_message_bytes,
            handshake_timeout: Duration::from_millis(engine.limits.handshake_timeout),
            close_timeout: Duration::from_millis(engine.limits.close_timeout),
            write_timeout: shell.write_timeout,
            stage: watch::Sender::new(Stage::Serving),
            pairs: Mutex::default(),
        }
    }

    pub(crate) fn status(&self) -> GatewayStatus {
        let backends = self.backends.iter().map(|backend| backend.status()).collect();
        let names = |route: &Route| route.backends().iter().map(|backend| backend.to_string()).collect();
        let routes = self.routes.iter().map(|route| (route.path().into(), names(route))).collect();
        let pairs = self.pairs().values().filter(|pair| pair.backend.is_some()).count();
        let site = self.site.as_ref().map(|site| self.metrics.of_site(site));
        GatewayStatus { site, ..self.metrics.status(backends, routes, pairs) }
    }

    /// The backend of an old client.
    pub(crate) fn backend_of(&self, connection: u64) -> Option<String> {
        self.pairs().get(&connection)?.backend.as_ref().map(|backend| backend.to_string())
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
        if stage == Stage::Aborted {
            self.pairs().values().for_each(|pair| pair.task.abort());
        }
    }

    /// Waits until every backend of an old client has been told that it is over.
    pub(crate) async fn drained(&self) {
        self.metrics.drained().await;
    }

    /// An old client has come. Its task is aborted when the server no longer waits.
    pub(super) fn opening(&self, connection: u64, task: AbortHandle) {
        self.pairs().insert(connection, Pair { task: task.clone(), backend: None });
        if *self.stage.borrow() == Stage::Aborted {
            task.abort();
        }
    }

    /// The backend has accepted it.
    pub(super) fn paired(&self, connection: u64, backend: &Arc<Backend>) {
        if let Some(pair) = self.pairs().get_mut(&connection) {
            pair.backend = Some(Arc::clone(backend));
        }
    }

    /// The task is over.
    pub(super) fn parted(&self, connection: u64) {
        self.pairs().remove(&connection);
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<u64, Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    pub(super) async fn aborted(&self) {
        // The sender lives as long as this.
        let _ = self.stage().wait_for(|stage| *stage == Stage::Aborted).await;
    }

    /// How clients are spoken with.
    pub(super) fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.handshake_timeout)
            .max_header_size(self.policy.limits.max_head_bytes)
            .max_buf_size(self.policy.limits.max_head_bytes.max(HTTP_BUFFER_BYTES))
            .preserve_header_case(true)
            // The backend's own.
            .auto_date_header(false);
        http
    }
}

/// For backends with `https`, if there is one.
fn connector(options: &GatewayOptions) -> Result<Option<TlsConnector>, GatewayError> {
    let is_secure = |target: &Target| matches!(target, Target::Tcp { secure: true, .. });
    if !options.routes.iter().flat_map(|route| &route.to).any(is_secure) {
        return Ok(None);
    }
    let roots = match &options.backend_ca {
        Some(path) => read_roots(path).map_err(|why| GatewayError(format!("{}: {why}", path.display())))?,
        None => system_roots()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| GatewayError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let text = read(path, MAX_TEXT_BYTES).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate found".into()) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, GatewayError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system may have some that are of no use.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = "the system has no certificates to check https backends against; give --backend-ca";
        return Err(GatewayError(why.into()));
    }
    Ok(roots)
}
