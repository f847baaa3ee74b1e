//! A server of one's own: the server component with an application in it.

use thiserror::Error;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PlugError, plug};

use crate::SERVER;

/// Why a server could not be composed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The bytes are no component.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// It exports no `handler` of this version, so it is no application.
    #[error("it does not export hixie:legacy-websocket/handler@0.1.0")]
    NotAnApplication,
    /// The two do not go together.
    #[error("{0}")]
    Composition(String),
}

/// Plugs an application component into [`SERVER`], as `wac plug` does: the result is a command that any host of
/// WASI 0.2 runs. What else the application imports, the result imports, too.
///
/// # Errors
/// [`ComposeError`] says what is wrong with the application.
pub fn compose(application: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, bytes: &[u8]| {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut());
        let package = package.map_err(|error| ComposeError::NotAComponent(format!("{error:#}")))?;
        graph.register_package(package).map_err(|error| ComposeError::Composition(error.to_string()))
    };
    let server = register("server", SERVER)?;
    let application = register("application", application)?;
    plug(&mut graph, vec![application], server).map_err(|error| match error {
        PlugError::NoPlugHappened => ComposeError::NotAnApplication,
        error => ComposeError::Composition(error.to_string()),
    })?;
    graph.encode(EncodeOptions::default()).map_err(|error| ComposeError::Composition(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LIBRARY;

    #[test]
    fn what_is_no_application_is_refused() {
        assert!(matches!(compose(b"text"), Err(ComposeError::NotAComponent(_))));
        assert!(matches!(compose(LIBRARY), Err(ComposeError::NotAnApplication)));
    }
}
