//! The engine as a component on wasmtime, in a sandbox.

use std::fmt;
use std::path::Path;

use legacy_websocket::step::{Command, Input, Read, RequestHead, Status, Step};
use legacy_websocket::{Counts, Options};
use legacy_websocket_artifacts::not_a_component;
use tracing::debug;
use wasmtime::component::{Linker, ResourceAny};
use wasmtime::{Engine as Wasmtime, Store};

use super::api::{Engine, EngineError, EngineLost};
use crate::file::{MAX_COMPONENT_BYTES, read_regular};
use crate::wasm::bindings::library::{GuestServer, Library, LibraryPre};
use crate::wasm::library_types::{
    lift_counts, lift_head, lift_status, lift_step, lower_input, lower_read, with_commands, with_options,
};
use crate::wasm::sandbox::{Budget, Calls, Guest, Sandbox, compile};

/// A compiled component, ready to be instantiated.
pub struct ComponentFactory {
    wasmtime: Wasmtime,
    pre: LibraryPre<Guest<()>>,
    budget: Budget,
}

impl fmt::Debug for ComponentFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentFactory").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl ComponentFactory {
    /// Compiles the component embedded in this library, or finds it in the cache.
    ///
    /// # Errors
    /// [`EngineError::Component`].
    pub fn embedded(budget: Budget) -> Result<Self, EngineError> {
        Self::compile("the embedded component", legacy_websocket_artifacts::LIBRARY, budget)
    }

    /// Compiles another build of the component, a regular file of up to 256 MiB.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Component`].
    pub fn from_file(path: &Path, budget: Budget) -> Result<Self, EngineError> {
        let bytes = read_regular(path, MAX_COMPONENT_BYTES)
            .map_err(|error| EngineError::Read { path: path.into(), error })?;
        Self::compile(&path.display().to_string(), &bytes, budget)
    }

    fn compile(name: &str, bytes: &[u8], budget: Budget) -> Result<Self, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Component {
            name: name.into(),
            error: format!("{error:#}"),
        };
        if let Some(why) = not_a_component(bytes) {
            return Err(refused(wasmtime::Error::msg(why)));
        }
        let (wasmtime, component) = compile(bytes, Calls::Sequential).map_err(refused)?;
        // Nothing is linked: the component cannot call anything.
        let pre = Linker::new(&wasmtime).instantiate_pre(&component).map_err(refused)?;
        let pre = LibraryPre::new(pre).map_err(refused)?;
        debug!("compiled {name}");
        Ok(Self { wasmtime, pre, budget })
    }

    pub(super) fn make(&self, options: &Options) -> Result<ComponentEngine, EngineError> {
        let mut sandbox = Sandbox::new(&self.wasmtime, self.budget, ());
        let library = self.pre.instantiate(&mut sandbox.store).map_err(|error| lost(&sandbox, error))?;
        let interface = library.hixie_legacy_websocket_legacy_websocket();
        let created =
            with_options(options, |options| interface.server().call_create(&mut sandbox.store, options));
        let server = created.map_err(|error| lost(&sandbox, error))?.map_err(EngineError::Options)?;
        Ok(ComponentEngine { sandbox, library, server })
    }
}

/// An instance with its server.
pub(super) struct ComponentEngine {
    sandbox: Sandbox<()>,
    library: Library,
    server: ResourceAny,
}

impl fmt::Debug for ComponentEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentEngine").finish_non_exhaustive()
    }
}

impl ComponentEngine {
    /// One call into the component, within its budget.
    fn call<T>(
        &mut self,
        run: impl FnOnce(GuestServer<'_>, &mut Store<Guest<()>>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, EngineLost> {
        let Self { sandbox, library, server } = self;
        sandbox.begin();
        let interface = library.hixie_legacy_websocket_legacy_websocket();
        run(interface.server(), &mut sandbox.store, *server).map_err(|error| lost(sandbox, error))
    }
}

impl Engine for ComponentEngine {
    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, EngineLost> {
        let inputs: Vec<_> = inputs.iter().map(lower_input).collect();
        self.call(|interface, store, server| interface.call_turn(store, server, now, &inputs)).map(lift_step)
    }

    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost> {
        let reads: Vec<_> = reads.iter().map(lower_read).collect();
        self.call(|interface, store, server| interface.call_receive(store, server, now, &reads, bytes))
            .map(lift_step)
    }

    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        with_commands(commands, |commands| {
            self.call(|interface, store, server| interface.call_command(store, server, commands, true))
        })
        .map(lift_step)
    }

    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        with_commands(commands, |commands| {
            self.call(|interface, store, server| interface.call_command(store, server, commands, false))
        })
        .map(lift_step)
    }

    fn set_budget(&mut self, events: u32) -> Result<(), EngineLost> {
        self.call(|interface, store, server| interface.call_set_budget(store, server, events))
    }

    fn counts(&mut self) -> Result<Counts, EngineLost> {
        self.call(|interface, store, server| interface.call_counts(store, server)).map(lift_counts)
    }

    fn connections(&mut self) -> Result<Vec<Status>, EngineLost> {
        let connections = self.call(|interface, store, server| interface.call_connections(store, server))?;
        Ok(connections.into_iter().map(lift_status).collect())
    }

    fn head(&mut self, connection: u64) -> Result<Option<RequestHead>, EngineLost> {
        let head = self.call(|interface, store, server| interface.call_head(store, server, connection))?;
        Ok(head.map(lift_head))
    }

    fn memory_bytes(&self) -> usize {
        self.sandbox.memory_bytes()
    }
}

fn lost(sandbox: &Sandbox<()>, error: wasmtime::Error) -> EngineLost {
    EngineLost(sandbox.explain(error))
}
