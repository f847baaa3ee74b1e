//! The engine as a component on wasmtime: one store, an epoch deadline for each call, a limit of memory.

use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, thread};

use tracing::{debug, warn};
use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Cache, Config, Engine as Wasmtime, Store, StoreLimits, StoreLimitsBuilder};

use super::{Budget, Engine, EngineError, EngineLost};
use crate::wit::bindings::{Library, LibraryPre};
use crate::wit::{Command, Counts, Input, Options, Read, RequestHead, Status, Step};

/// How often wasmtime's epoch moves on; the grain of [`Budget::call_timeout`].
const TICK: Duration = Duration::from_millis(50);

/// A compiled component, ready to be instantiated.
pub struct ComponentFactory {
    wasmtime: Wasmtime,
    pre: LibraryPre<StoreLimits>,
    budget: Budget,
}

impl fmt::Debug for ComponentFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentFactory").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl ComponentFactory {
    /// Compiles the component that is built into this library, or finds it in wasmtime's cache.
    ///
    /// # Errors
    /// [`EngineError::Component`].
    pub fn embedded(budget: Budget) -> Result<Self, EngineError> {
        Self::compile("the embedded component", legacy_websocket_artifacts::LIBRARY, budget)
    }

    /// Compiles another build of the component.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Component`].
    pub fn from_file(path: &Path, budget: Budget) -> Result<Self, EngineError> {
        let bytes = fs::read(path).map_err(|error| EngineError::Read { path: path.into(), error })?;
        Self::compile(&path.display().to_string(), &bytes, budget)
    }

    fn compile(name: &str, bytes: &[u8], budget: Budget) -> Result<Self, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Component {
            name: name.into(),
            error: format!("{error:#}"),
        };
        let mut config = Config::new();
        config.epoch_interruption(true);
        match Cache::from_file(None) {
            Ok(cache) => {
                config.cache(Some(cache));
            }
            Err(error) => warn!("no compilation cache, every start compiles the component: {error:#}"),
        }
        let wasmtime = Wasmtime::new(&config).map_err(refused)?;
        let component = Component::new(&wasmtime, bytes).map_err(refused)?;
        // Nothing is linked: the component can call nothing.
        let pre = Linker::new(&wasmtime).instantiate_pre(&component).map_err(refused)?;
        let pre = LibraryPre::new(pre).map_err(refused)?;
        start_ticker(&wasmtime);
        debug!("{name} is compiled");
        Ok(Self { wasmtime, pre, budget })
    }

    pub(super) fn make(&self, options: &Options<'_>) -> Result<ComponentEngine, EngineError> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(self.budget.max_memory_bytes)
            .instances(10)
            .tables(10)
            .memories(1)
            .build();
        let mut store = Store::new(&self.wasmtime, limits);
        store.limiter(|limits| limits);
        let ticks = self.budget.call_timeout.as_millis().div_ceil(TICK.as_millis());
        // One more, for the tick that is under way.
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1);
        store.set_epoch_deadline(ticks);
        let library = self.pre.instantiate(&mut store).map_err(lost)?;
        let server = library
            .hixie_legacy_websocket_legacy_websocket()
            .server()
            .call_create(&mut store, options.clone())
            .map_err(lost)?
            .map_err(EngineError::Options)?;
        Ok(ComponentEngine { store, library, server, ticks })
    }
}

/// An instance with its server.
pub(super) struct ComponentEngine {
    store: Store<StoreLimits>,
    library: Library,
    server: ResourceAny,
    ticks: u64,
}

impl fmt::Debug for ComponentEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentEngine").finish_non_exhaustive()
    }
}

impl Engine for ComponentEngine {
    fn turn(&mut self, now: u64, inputs: &[Input<'_>]) -> Result<Step, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_turn(&mut self.store, self.server, now, inputs).map_err(lost)
    }

    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_receive(&mut self.store, self.server, now, reads, bytes).map_err(lost)
    }

    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_command(&mut self.store, self.server, commands).map_err(lost)
    }

    fn counts(&mut self) -> Result<Counts, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_counts(&mut self.store, self.server).map_err(lost)
    }

    fn connections(&mut self) -> Result<Vec<Status>, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_connections(&mut self.store, self.server).map_err(lost)
    }

    fn head(&mut self, connection: u64) -> Result<Option<RequestHead>, EngineLost> {
        self.store.set_epoch_deadline(self.ticks);
        let interface = self.library.hixie_legacy_websocket_legacy_websocket();
        interface.server().call_head(&mut self.store, self.server, connection).map_err(lost)
    }
}

fn lost(error: wasmtime::Error) -> EngineLost {
    EngineLost(format!("{error:#}").replace('\n', "; "))
}

/// Moves the epoch on for as long as the engine lives.
fn start_ticker(wasmtime: &Wasmtime) {
    let weak = wasmtime.weak();
    thread::spawn(move || {
        while let Some(wasmtime) = weak.upgrade() {
            wasmtime.increment_epoch();
            drop(wasmtime);
            thread::sleep(TICK);
        }
    });
}
