//! An application as a component on wasmtime, in its own sandbox.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use legacy_websocket::step::{Command, Event};
use legacy_websocket_artifacts::{not_a_component, not_an_application};
use legacy_websocket_shell::Handshakes;
use tracing::debug;
use wasmtime::Engine as Wasmtime;
use wasmtime::component::Linker;

use super::api::{ApplicationError, ApplicationLost, ApplicationOptions};
use super::wasi::{Output, link};
use crate::file::{MAX_COMPONENT_BYTES, read_regular};
use crate::wasm::bindings::application::{Application, ApplicationPre};
use crate::wasm::handler_types::{Commands, Heads, lower_events};
use crate::wasm::sandbox::{Budget, Calls, Guest, Sandbox, compile};

/// A compiled application, ready to be instantiated.
pub struct ApplicationFactory {
    name: String,
    wasmtime: Wasmtime,
    pre: ApplicationPre<Guest<Output>>,
    budget: Budget,
}

impl fmt::Debug for ApplicationFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationFactory").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ApplicationFactory {
    /// Compiles a regular file of up to 256 MiB: see [`new`](Self::new).
    ///
    /// # Errors
    /// [`ApplicationError::Read`], [`ApplicationError::Component`].
    pub fn from_file(path: &Path, options: &ApplicationOptions) -> Result<Arc<Self>, ApplicationError> {
        let bytes = read_regular(path, MAX_COMPONENT_BYTES)
            .map_err(|error| ApplicationError::Read { path: path.into(), error })?;
        Self::new(&path.display().to_string(), &bytes, options)
    }

    /// Compiles a component of world `application`, or finds it in the cache; `name` is for messages.
    ///
    /// It gets the small part of WASI that language runtimes require at startup: randomness, clocks, the environment
    /// in its options, and standard output and error, which go to the log. Any other WASI call traps; other imports
    /// are refused.
    ///
    /// # Errors
    /// [`ApplicationError::Component`].
    pub fn new(
        name: &str,
        bytes: &[u8],
        options: &ApplicationOptions,
    ) -> Result<Arc<Self>, ApplicationError> {
        let refused = |error: wasmtime::Error| ApplicationError::Component {
            name: name.into(),
            error: format!("{error:#}"),
        };
        if let Some(why) = not_a_component(bytes) {
            return Err(refused(wasmtime::Error::msg(why)));
        }
        let (wasmtime, component) = compile(bytes, Calls::Sequential)
            .map_err(|error| refused(of_wasi_0_3(bytes).map_or(error, wasmtime::Error::msg)))?;
        let ty = component.component_type();
        if let Some(why) = not_an_application(ty.exports(&wasmtime).map(|(name, _)| name)) {
            return Err(refused(wasmtime::Error::msg(why)));
        }
        let mut linker = Linker::new(&wasmtime);
        link(&mut linker, &component, &options.environment).map_err(refused)?;
        let pre = linker.instantiate_pre(&component).and_then(ApplicationPre::new).map_err(refused)?;
        debug!("compiled {name}");
        Ok(Arc::new(Self { name: name.into(), wasmtime, pre, budget: options.budget }))
    }

    pub(super) fn make(&self) -> Result<Instance, ApplicationLost> {
        let mut sandbox = Sandbox::new(&self.wasmtime, self.budget, Output::default());
        match self.pre.instantiate(&mut sandbox.store) {
            Ok(application) => Ok(Instance { sandbox, application }),
            Err(error) => Err(lost(&mut sandbox, error)),
        }
    }
}

/// Why a component that needs concurrent calls is no application, if that is what it is: a web application, or a server.
fn of_wasi_0_3(bytes: &[u8]) -> Option<String> {
    let (wasmtime, component) = compile(bytes, Calls::Concurrent).ok()?;
    not_an_application(component.component_type().exports(&wasmtime).map(|(name, _)| name))
}

/// An instance.
pub(crate) struct Instance {
    sandbox: Sandbox<Output>,
    application: Application,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn handle<R>(
        &mut self,
        events: &[Event],
        carry: impl FnOnce(&[Command<'_>]) -> R,
    ) -> Result<R, ApplicationLost> {
        let Self { sandbox, application } = self;
        let heads = Heads::of(events);
        let lowered = lower_events(events, &heads);
        sandbox.begin();
        let handler = application.hixie_legacy_websocket_handler();
        let commands = handler.call_handle(&mut sandbox.store, &lowered);
        let commands = Commands(commands.map_err(|error| lost(sandbox, error))?);
        sandbox.store.data_mut().data.returned();
        let (fields, handshakes) = (commands.fields(), Handshakes::of(events));
        let mut lent = commands.lend(&fields);
        handshakes.accept_undecided(&mut lent);
        Ok(carry(&lent))
    }
}

fn lost(sandbox: &mut Sandbox<Output>, error: wasmtime::Error) -> ApplicationLost {
    sandbox.store.data_mut().data.failed();
    sandbox.explain(error).into()
}
