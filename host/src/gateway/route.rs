//! Which backends a request goes to.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::header::HeaderValue;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::backend::{Backend, BackendStream, ConnectError};
use super::options::{Binary, RouteOptions};

/// A prefix of paths, and its backends.
#[derive(Debug)]
pub(super) struct Route {
    /// Without a slash at its end: empty for `/`.
    prefix: String,
    strip: bool,
    pub(super) binary: Binary,
    pub(super) host: Option<HeaderValue>,
    pub(super) origin: Option<HeaderValue>,
    backends: Vec<Arc<Backend>>,
    /// The one whose turn it is.
    next: AtomicUsize,
}

/// No backend of a route could be connected to; the last one's error.
#[derive(Debug, Error)]
#[error("{backend}: {error}")]
pub(super) struct Unreachable {
    pub(super) backend: Arc<Backend>,
    pub(super) error: ConnectError,
}

impl Route {
    /// # Errors
    /// Which option is not valid, and why.
    pub(super) fn new(options: &RouteOptions, backends: Vec<Arc<Backend>>) -> Result<Self, String> {
        if !options.path.starts_with('/') || options.path.contains(['?', '#']) {
            return Err(format!("route {}: a path begins with a slash and has no query", options.path));
        }
        let value = |name: &str, value: &Option<String>| match value {
            None => Ok(None),
            Some(text) => match text.parse::<HeaderValue>() {
                Ok(value) if !text.is_empty() => Ok(Some(value)),
                _ => Err(format!("{name} {text:?} cannot be the value of a field")),
            },
        };
        Ok(Self {
            prefix: options.path.trim_end_matches('/').into(),
            strip: options.strip,
            binary: options.binary,
            host: value("backend-host", &options.backend_host)?,
            origin: value("backend-origin", &options.backend_origin)?,
            backends,
            next: AtomicUsize::new(0),
        })
    }

    /// The prefix, as the operator wrote it.
    pub(super) fn path(&self) -> &str {
        if self.prefix.is_empty() { "/" } else { &self.prefix }
    }

    pub(super) fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The Host for a client that sends none.
    pub(super) fn default_host(&self) -> HeaderValue {
        let authority = self.backends.first().and_then(|backend| backend.authority());
        let authority = authority.and_then(|authority| HeaderValue::try_from(authority).ok());
        authority.unwrap_or(HeaderValue::from_static("localhost"))
    }

    /// What the backend is asked for; `None` if the route does not take the target, a path with its query.
    pub(super) fn rewrite<'t>(&self, target: &'t str) -> Option<Cow<'t, str>> {
        let rest = target.strip_prefix(&self.prefix)?;
        if !(rest.is_empty() || rest.starts_with(['/', '?'])) || !target.starts_with('/') {
            return None;
        }
        Some(match rest {
            _ if !self.strip => target.into(),
            rest if rest.starts_with('/') => rest.into(),
            rest => format!("/{rest}").into(),
        })
    }

    /// Connects to the backend whose turn it is, or to another one by the deadline; to each at most `within`. Those
    /// that could not be connected to a moment ago are passed over while there are others.
    pub(super) async fn connect(
        &self,
        within: Duration,
        deadline: Option<Instant>,
    ) -> Result<BackendStream, Unreachable> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            (0..self.backends.len()).map(|at| &self.backends[(first.wrapping_add(at)) % self.backends.len()])
        };
        let up: Vec<_> = in_turn().filter(|backend| backend.is_up()).collect();
        let candidates = if up.is_empty() { in_turn().collect() } else { up };
        let mut failed = None::<Unreachable>;
        for backend in candidates {
            let left = deadline
                .map_or(within, |deadline| deadline.saturating_duration_since(Instant::now()).min(within));
            // What another one has left of the time may be too little: that is not its failure.
            let connected = if failed.is_some() && left < within {
                timeout(left, backend.connect(within)).await
            } else {
                Ok(backend.connect(left).await)
            };
            let Ok(connected) = connected else { break };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(Unreachable { backend: Arc::clone(backend), error }),
            }
        }
        // A route has at least one backend, so one has failed.
        Err(failed.unwrap_or_else(|| Unreachable {
            backend: Arc::clone(&self.backends[0]),
            error: ConnectError::Timeout,
        }))
    }
}

/// Why no route takes a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    NotFound,
    /// A backend might take the path for one of another route.
    DotSegment,
}

/// The place of the route with the longest prefix that takes the target, and what its backend is asked for.
pub(super) fn find<'t>(routes: &[Arc<Route>], target: &'t str) -> Result<(usize, Cow<'t, str>), NoRoute> {
    if target == "*" {
        // The server as a whole (RFC 9110 section 9.3.7).
        let at = routes.iter().position(|route| route.prefix.is_empty()).ok_or(NoRoute::NotFound)?;
        return Ok((at, target.into()));
    }
    if has_dot_segment(target) {
        return Err(NoRoute::DotSegment);
    }
    // Sorted by length, longest first.
    let mut routes = routes.iter().enumerate();
    routes.find_map(|(at, route)| Some((at, route.rewrite(target)?))).ok_or(NoRoute::NotFound)
}

/// Whether the path has a segment `.` or `..`, as a lenient server may read it: percent-encoded, between slashes that
/// are encoded or backslashes, or with parameters. Browsers resolve such segments themselves.
fn has_dot_segment(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    if !path.contains("/.") && !path.contains(['%', '\\']) {
        return false;
    }
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    decoded.replace("%3b", ";").split(['/', '\\']).any(is_dots)
}

/// Sorts them for [`find`].
pub(super) fn sort(routes: &mut [Arc<Route>]) {
    routes.sort_by_key(|route| Reverse(route.prefix.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, strip: bool) -> Arc<Route> {
        let options = RouteOptions { strip, ..RouteOptions::new(path, Vec::new()) };
        Arc::new(Route::new(&options, Vec::new()).unwrap())
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let mut routes = vec![route("/", false), route("/a/b/", true), route("/a", true)];
        sort(&mut routes);
        for (target, prefix, asked) in [
            ("/", "/", "/"),
            ("/?q", "/", "/?q"),
            ("/ab", "/", "/ab"),
            ("/a", "/a", "/"),
            ("/a?q=/a", "/a", "/?q=/a"),
            ("/a/", "/a", "/"),
            ("/a/bc?d", "/a", "/bc?d"),
            ("/a/b", "/a/b", "/"),
            ("/a/b//c", "/a/b", "//c"),
        ] {
            let (at, found) = find(&routes, target).unwrap();
            assert_eq!((routes[at].path(), &*found), (prefix, asked), "{target}");
        }
        assert_eq!(find(&routes, "*"), Ok((2, "*".into())));
        assert_eq!(find(&[route("/a", false)], "*"), Err(NoRoute::NotFound));
        assert_eq!(find(&[route("/a", false)], "/b"), Err(NoRoute::NotFound));
    }

    #[test]
    fn dot_segments_are_not_routed() {
        let routes = [route("/", false)];
        for target in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/.",
            "/%2e",
            "/a/%2E./b?c",
            "/a/.%2e%2Fb",
            "/a%2f..",
            "/a\\..\\b",
            "/a%5C..",
            "/..;b=c/d",
            "/..%3Bb/d",
        ] {
            assert_eq!(find(&routes, target), Err(NoRoute::DotSegment), "{target}");
        }
        for target in ["/", "/...", "/.a", "/a./b", "/a..b", "/a?/../b", "/%20.", "/;.."] {
            assert!(find(&routes, target).is_ok(), "{target}");
        }
    }
}
