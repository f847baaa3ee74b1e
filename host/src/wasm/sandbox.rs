//! The sandbox of components: wasmtime with a ticking epoch, and stores with budgets.

use std::thread;
use std::time::Duration;

use thiserror::Error;
use tracing::{debug, warn};
use wasmtime::component::Component;
use wasmtime::{Config, Engine as Wasmtime, ResourceLimiter, Store, Trap};

use crate::wasm::code_cache::CodeCache;

/// How often wasmtime's epoch advances; the resolution of [`Budget::call_timeout`].
const TICK: Duration = Duration::from_millis(50);

/// The maximum of each kind of item: composed components have a dozen of each. No memory limit covers their table
/// elements.
const MAX_INSTANCES: usize = 1000;
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

/// wasmtime's own limit on the bytes one call copies.
pub(crate) const DEFAULT_HOSTCALL_FUEL: usize = 128 << 20;

/// The budget of one call into the component.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Maximum duration of one call; after it the instance is lost. A call normally takes microseconds.
    pub call_timeout: Duration,
    /// Maximum linear memory of one instance, in bytes, summed over all its memories.
    pub max_memory_bytes: usize,
}

impl Budget {
    /// The same in ticks of the epoch.
    pub(crate) fn ticks(&self) -> u64 {
        let ticks = self.call_timeout.as_millis().div_ceil(TICK.as_millis());
        // Plus one for the current tick. The epoch is added to it, and stays below the upper half.
        u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 2).saturating_add(1)
    }
}

/// How calls into a component go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// One after another. Its stores are smaller, and calls faster.
    Sequential,
    /// As WASI 0.3 has it.
    Concurrent,
}

/// Compiles a component, or finds it in the cache, in its own wasmtime engine.
pub(crate) fn compile(bytes: &[u8], calls: Calls) -> wasmtime::Result<(Wasmtime, Component)> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(calls == Calls::Concurrent);
    let cache = CodeCache::new().and_then(|cache| Ok((cache.open()?, cache)));
    let cache = cache.inspect_err(|error| {
        warn!("compilation cache unavailable; every start compiles the component: {error:#}");
    });
    let (opened, cache) = cache.ok().unzip();
    config.cache(opened);
    let wasmtime = Wasmtime::new(&config)?;
    let component = Component::new(&wasmtime, bytes)?;
    if let Some(cache) = cache {
        cache.seal();
    }
    start_ticker(&wasmtime);
    Ok((wasmtime, component))
}

/// A store with its budget; `data` belongs to the instance.
pub(crate) struct Sandbox<T: 'static> {
    pub(crate) store: Store<Guest<T>>,
    budget: Budget,
}

/// A call into a component failed, and the instance is lost.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// It requested more memory than [`Budget::max_memory_bytes`].
    #[error("it wanted more than {0} bytes of memory")]
    Memory(usize),
    /// It took longer than [`Budget::call_timeout`].
    #[error("a call took longer than {0:?}")]
    Timeout(Duration),
    /// It trapped, or could not be called.
    #[error("{}", root_cause(&**.0))]
    Trap(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// In one line, for the log.
fn root_cause(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string().replace('\n', "; ")
}

/// The data of a store.
pub(crate) struct Guest<T> {
    memory: Limiter<Memory>,
    pub(crate) data: T,
}

impl<T> Sandbox<T> {
    pub(crate) fn new(wasmtime: &Wasmtime, budget: Budget, data: T) -> Self {
        let memory = Limiter(Memory { left: budget.max_memory_bytes, refused: false });
        let mut store = Store::new(wasmtime, Guest { memory, data });
        store.limiter(|guest| &mut guest.memory);
        // One call may copy out as much as its memory limit; never less than by default.
        store.set_hostcall_fuel(budget.max_memory_bytes.max(DEFAULT_HOSTCALL_FUEL));
        store.set_epoch_deadline(budget.ticks());
        Self { store, budget }
    }

    /// Starts the time budget; called before each call.
    pub(crate) fn begin(&mut self) {
        self.store.set_epoch_deadline(self.budget.ticks());
    }

    /// The linear memory the instance has allocated. It never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.budget.max_memory_bytes.saturating_sub(self.store.data().memory.0.left)
    }

    /// Why a call failed.
    pub(crate) fn explain(&self, error: wasmtime::Error) -> CallError {
        let Budget { call_timeout, max_memory_bytes } = self.budget;
        if self.store.data().memory.0.refused {
            return CallError::Memory(max_memory_bytes);
        }
        if error.downcast_ref() == Some(&Trap::Interrupt) {
            return CallError::Timeout(call_timeout);
        }
        debug!("{error:?}");
        CallError::Trap(error.into())
    }
}

/// Linear memory that a store may still allocate.
struct Memory {
    left: usize,
    refused: bool,
}

impl GrantMemory for Memory {
    fn grant(&mut self, bytes: usize) -> bool {
        let rest = self.left.checked_sub(bytes);
        self.refused |= rest.is_none();
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

/// Grants linear memory to the instances of a store.
pub(crate) trait GrantMemory {
    /// Whether they may have this many bytes more.
    fn grant(&mut self, bytes: usize) -> bool;
}

/// The limits of a store: linear memory as `M` grants it, and the same maxima of tables and instances for every store.
#[derive(Debug)]
pub(crate) struct Limiter<M>(pub(crate) M);

impl<M: GrantMemory + Send> ResourceLimiter for Limiter<M> {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.0.grant(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

/// Advances the epoch for as long as the engine lives.
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
