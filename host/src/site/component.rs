//! A web application's component, compiled and linked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use legacy_websocket_artifacts::not_a_component;
use legacy_websocket_wasi::{StoreData, Version, link};
use tracing::debug;
use wasmtime::{Engine as Wasmtime, Store};
use wasmtime_wasi_http::handler::ProxyPre;

use super::instance::InstanceState;
use super::memory::InstanceMemory;
use super::options::{SiteError, SiteOptions};
use super::output;
use crate::file::{MAX_COMPONENT_BYTES, read_regular};
use crate::wasm::sandbox::{Budget, Calls, DEFAULT_HOSTCALL_FUEL, Limiter, compile};

/// What a web application exports, by version of WASI.
const HANDLER_P3: &str = "wasi:http/handler@0.3.";
const HANDLER_P2: &str = "wasi:http/incoming-handler@0.2.";

/// A compiled web application, ready to be instantiated.
pub(crate) struct SiteFactory {
    name: String,
    wasmtime: Wasmtime,
    pre: ProxyPre<StoreData>,
    budget: Budget,
    environment: Vec<(String, String)>,
}

impl fmt::Debug for SiteFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteFactory").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SiteFactory {
    /// Compiles a regular file of up to 256 MiB, or finds it in the cache.
    ///
    /// # Errors
    /// [`SiteError::Read`], [`SiteError::Component`].
    pub(crate) fn from_file(path: &Path, options: &SiteOptions) -> Result<Arc<Self>, SiteError> {
        let bytes = read_regular(path, MAX_COMPONENT_BYTES)
            .map_err(|error| SiteError::Read { path: path.into(), error })?;
        let name = path.display().to_string();
        let refused = |error: String| SiteError::Component { name: name.clone(), error };
        if let Some(why) = not_a_component(&bytes) {
            return Err(refused(why.into()));
        }
        let wrong = |error: wasmtime::Error| refused(format!("{error:#}"));
        let (wasmtime, component) = compile(&bytes, Calls::Concurrent).map_err(wrong)?;
        let ty = component.component_type();
        let version = version(ty.exports(&wasmtime).map(|(name, _)| name)).map_err(refused)?;
        let pre = link(&wasmtime, &component, version).map_err(wrong)?;
        debug!("compiled {name}");
        let environment = options.environment.clone();
        Ok(Arc::new(Self { name, wasmtime, pre, budget: options.budget, environment }))
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    pub(super) fn pre(&self) -> &ProxyPre<StoreData> {
        &self.pre
    }

    /// A store for an instance.
    pub(super) fn store(&self, memory: InstanceMemory, instance: &Arc<InstanceState>) -> Store<StoreData> {
        let data = StoreData::new(Box::new(Limiter(memory)), output::stream(), &self.environment);
        let mut store = Store::new(&self.wasmtime, data);
        store.limiter(|data| data.limiter());
        store.set_hostcall_fuel(self.budget.max_memory_bytes.max(DEFAULT_HOSTCALL_FUEL));
        store.set_epoch_deadline(1);
        let instance = Arc::clone(instance);
        store.epoch_deadline_callback(move |_| instance.tick());
        store
    }
}

/// The version of WASI that a component with these exports is for; or why it is no web application, as a sentence
/// about it.
fn version<'a>(exports: impl IntoIterator<Item = &'a str>) -> Result<Version, String> {
    let (mut http, mut application) = (None, None);
    let mut p2 = false;
    for name in exports {
        if name.starts_with(HANDLER_P3) {
            return Ok(Version::P3);
        }
        p2 |= name.starts_with(HANDLER_P2);
        if name.starts_with("wasi:http/") {
            http.get_or_insert(name);
        } else if name.starts_with("hixie:legacy-websocket/handler@") {
            application.get_or_insert(name);
        }
    }
    const WANTED: &str = "wasi:http/handler@0.3.0 (or wasi:http/incoming-handler@0.2.x)";
    match (http, application) {
        _ if p2 => Ok(Version::P2),
        (Some(name), _) => Err(format!("it exports {name}, not {WANTED}")),
        (None, Some(name)) => Err(format!(
            "it exports {name}: it is an application, and comes without --http; one for --http exports {WANTED}"
        )),
        (None, None) => Err(format!("it does not export {WANTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_applications_are_told_by_their_exports() {
        assert_eq!(version(["wasi:http/incoming-handler@0.2.8", "wasi:http/handler@0.3.0"]), Ok(Version::P3));
        assert_eq!(version(["wasi:http/incoming-handler@0.2.0"]), Ok(Version::P2));
        for (exports, why) in [
            (&[][..], "does not export wasi:http/handler@0.3.0"),
            (&["wasi:cli/run@0.2.6"], "does not export wasi:http/handler@0.3.0"),
            (&["hixie:legacy-websocket/handler@0.2.0"], "it is an application"),
            (&["wasi:http/handler@0.4.0"], "it exports wasi:http/handler@0.4.0, not wasi:http/handler@0.3.0"),
        ] {
            let said = version(exports.iter().copied()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
