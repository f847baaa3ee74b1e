//! A server of one's own: the server component, middlewares and an application in one.

use thiserror::Error;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, PlugError, plug};

use crate::handler::{HANDLER, not_a_site, not_an_application};
use crate::{SERVER, SERVER_P3, SERVER_P3_HTTP};

/// The version of WASI that a server needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wasi {
    /// WASI 0.2: world `server`.
    #[default]
    P2,
    /// WASI 0.3: world `server` of `wit/p3`.
    P3,
}

impl Wasi {
    /// The server component.
    #[must_use]
    pub fn server(self) -> &'static [u8] {
        match self {
            Self::P2 => SERVER,
            Self::P3 => SERVER_P3,
        }
    }
}

/// Why components could not be composed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The bytes are no component.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// It imports a `handler`, so it needs an application of its own.
    #[error(
        "it imports {HANDLER}: it is a middleware, and needs an application after it (--with names middlewares)"
    )]
    NoApplication,
    /// It exports no `handler` of this version, so it is no application.
    #[error("{0}")]
    NotAnApplication(String),
    /// It exports no `wasi:http/handler` of WASI 0.3, so it does not serve HTTP.
    #[error("{0}")]
    NotASite(String),
    /// It imports no `handler` of this version or exports none, so nothing can stand behind it.
    #[error("it does not both import and export {HANDLER}")]
    NotAMiddleware,
    /// They do not go together.
    #[error("{0}")]
    Composition(String),
}

/// Plugs an application component into a server, as `wac plug` does: the result is a command that any host of that
/// version of WASI runs. What else the application imports, the result imports, too.
///
/// # Errors
/// [`ComposeError`] says what is wrong with the application.
pub fn compose(application: &[u8], wasi: Wasi) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let server = register(&mut graph, "server", wasi.server())?;
    let application = register_application(&mut graph, application)?;
    finish(graph, vec![application], server)
}

/// Plugs an application and a component that serves HTTP (`wasi:http/handler`) into a server for WASI 0.3. Requests that
/// are no opening handshakes go to the latter. The host has to offer `wasi:http/types`, too.
///
/// # Errors
/// [`ComposeError`] says what is wrong with one of the two.
pub fn compose_with_http(application: &[u8], site: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let server = register(&mut graph, "server", SERVER_P3_HTTP)?;
    let application = register_application(&mut graph, application)?;
    let site = register(&mut graph, "site", site)?;
    if let Some(why) = not_a_site(exports(&graph, site)) {
        return Err(ComposeError::NotASite(why));
    }
    finish(graph, vec![application, site], server)
}

/// Plugs an application into a middleware: the result is an application.
///
/// # Errors
/// [`ComposeError`] says what is wrong with one of the two.
pub fn stack(middleware: &[u8], application: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let mut graph = CompositionGraph::new();
    let middleware = register(&mut graph, "middleware", middleware)?;
    let application = register_application(&mut graph, application)?;
    if !exports(&graph, middleware).any(|name| name == HANDLER) {
        return Err(ComposeError::NotAMiddleware);
    }
    finish(graph, vec![application], middleware)
}

fn register(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> Result<PackageId, ComposeError> {
    if let Some(why) = not_a_component(bytes) {
        return Err(ComposeError::NotAComponent(why.into()));
    }
    let package = Package::from_bytes(name, None, bytes, graph.types_mut());
    let package = package.map_err(|error| ComposeError::NotAComponent(format!("{error:#}")))?;
    graph.register_package(package).map_err(|error| ComposeError::Composition(error.to_string()))
}

fn register_application(graph: &mut CompositionGraph, bytes: &[u8]) -> Result<PackageId, ComposeError> {
    let application = register(graph, "application", bytes)?;
    if let Some(why) = not_an_application(exports(graph, application)) {
        return Err(ComposeError::NotAnApplication(why));
    }
    if graph.types()[graph[application].ty()].imports.contains_key(HANDLER) {
        return Err(ComposeError::NoApplication);
    }
    Ok(application)
}

fn exports(graph: &CompositionGraph, package: PackageId) -> impl Iterator<Item = &str> {
    graph.types()[graph[package].ty()].exports.keys().map(String::as_str)
}

fn finish(
    mut graph: CompositionGraph,
    plugs: Vec<PackageId>,
    socket: PackageId,
) -> Result<Vec<u8>, ComposeError> {
    plug(&mut graph, plugs, socket).map_err(|error| match error {
        PlugError::NoPlugHappened => ComposeError::NotAMiddleware,
        error => ComposeError::Composition(error.to_string()),
    })?;
    graph.encode(EncodeOptions::default()).map_err(|error| ComposeError::Composition(error.to_string()))
}

/// Why bytes cannot be a component, by how they begin; the rest is for a decoder to judge.
#[must_use]
pub fn not_a_component(bytes: &[u8]) -> Option<&'static str> {
    let Some(after_magic) = bytes.strip_prefix(b"\0asm") else {
        return Some("it is not WebAssembly");
    };
    match after_magic {
        [_, _, 1, 0, ..] => None,
        [1, 0, 0, 0, ..] => Some("it is a core module (built for wasm32-wasip2?)"),
        _ => Some("it is WebAssembly of another kind or version"),
    }
}

#[cfg(test)]
mod tests {
    use test_components::REQUIRE_COOKIE;

    use super::*;
    use crate::{ECHO, LIBRARY};

    #[test]
    fn what_is_no_application_is_refused() {
        assert!(matches!(compose(b"text", Wasi::P2), Err(ComposeError::NotAComponent(_))));
        assert!(matches!(compose(LIBRARY, Wasi::P2), Err(ComposeError::NotAnApplication(_))));
        assert!(matches!(compose(REQUIRE_COOKIE, Wasi::P2), Err(ComposeError::NoApplication)));
        assert!(matches!(stack(REQUIRE_COOKIE, REQUIRE_COOKIE), Err(ComposeError::NoApplication)));
    }

    #[test]
    fn what_is_no_component_is_named() {
        for (bytes, why) in [
            (&b""[..], "not WebAssembly"),
            (b"text", "not WebAssembly"),
            (b"\0asm", "another kind"),
            (b"\0asm\x01\0\0\0", "wasm32-wasip2?"),
            (b"\0asm\x0d\0\x02\0", "another kind"),
        ] {
            assert!(not_a_component(bytes).is_some_and(|said| said.contains(why)), "{bytes:?}");
        }
        assert_eq!(not_a_component(ECHO), None);
    }

    #[test]
    fn what_is_no_middleware_is_refused() {
        assert!(matches!(stack(ECHO, ECHO), Err(ComposeError::NotAMiddleware)));
        assert!(matches!(stack(SERVER, ECHO), Err(ComposeError::NotAMiddleware)));
        assert!(matches!(stack(REQUIRE_COOKIE, LIBRARY), Err(ComposeError::NotAnApplication(_))));
    }

    #[test]
    fn middlewares_are_stacked_as_often_as_wanted() {
        let once = stack(REQUIRE_COOKIE, ECHO).unwrap();
        let twice = stack(REQUIRE_COOKIE, &once).unwrap();
        for wasi in [Wasi::P2, Wasi::P3] {
            compose(&twice, wasi).unwrap();
        }
    }
}
