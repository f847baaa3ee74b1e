//! Creates engines.

use std::sync::Arc;

use legacy_websocket::Options;

use crate::engine::api::{Engine, EngineError};
use crate::engine::component::ComponentFactory;
use crate::engine::native::NativeEngine;
#[cfg(feature = "record")]
use crate::record::Recorder;

/// Creates engines: the first one, and a replacement for each lost one.
#[derive(Clone, Debug)]
pub enum EngineFactory {
    /// On wasmtime, sandboxed.
    Component(Arc<ComponentFactory>),
    /// The same crate compiled into the host.
    Native,
    /// Another factory's, recorded.
    #[cfg(feature = "record")]
    Recorded(Box<Self>, Recorder),
}

impl EngineFactory {
    /// A fresh engine without connections.
    ///
    /// # Errors
    /// [`EngineError::Options`], or [`EngineError::Lost`].
    pub fn make(&self, options: &Options) -> Result<Box<dyn Engine>, EngineError> {
        match self {
            Self::Component(factory) => Ok(Box::new(factory.make(options)?)),
            Self::Native => Ok(Box::new(NativeEngine::create(options)?)),
            #[cfg(feature = "record")]
            Self::Recorded(factory, recorder) => Ok(recorder.record(factory.make(options)?)),
        }
    }

    /// Records what its engines do.
    #[cfg(feature = "record")]
    #[must_use]
    pub fn recorded_by(self, recorder: Recorder) -> Self {
        Self::Recorded(Box::new(self), recorder)
    }
}
