//! What applications and sites export.

/// The interface that an application exports, and a middleware imports as well.
pub(crate) const HANDLER: &str = "hixie:legacy-websocket/handler@0.2.0";

/// Without the version.
const ANY_HANDLER: &str = "hixie:legacy-websocket/handler@";

/// The interface that a component exports which serves HTTP, without the version, and the versions that a server takes.
const HTTP_HANDLER: &str = "wasi:http/handler@";
const HTTP_VERSIONS: &str = "0.3.";

/// Why a component with these exports is no application, as a sentence about it.
#[must_use]
pub fn not_an_application<'a>(exports: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let (mut older, mut http) = (None, None);
    for name in exports {
        if name == HANDLER {
            return None;
        }
        if name.starts_with(ANY_HANDLER) {
            older.get_or_insert(name);
        } else if name.starts_with("wasi:http/") {
            http.get_or_insert(name);
        }
    }
    Some(match (older, http) {
        (Some(name), _) => {
            format!("it exports {name}, not {HANDLER}: build it with this version's WIT or crate")
        }
        (None, Some(name)) => format!("it exports {name}: it serves HTTP, but does not export {HANDLER}"),
        (None, None) => {
            format!("it does not export {HANDLER}; docs/applications.md says how an application does")
        }
    })
}

/// Why a component with these exports does not serve HTTP, as a sentence about it.
#[must_use]
pub fn not_a_site<'a>(exports: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut other = None;
    for name in exports {
        if name.strip_prefix(HTTP_HANDLER).is_some_and(|version| version.starts_with(HTTP_VERSIONS)) {
            return None;
        }
        if name.starts_with("wasi:http/") {
            other.get_or_insert(name);
        }
    }
    let wanted = format!("{HTTP_HANDLER}{HTTP_VERSIONS}0");
    Some(match other {
        Some(name) => format!("it exports {name}, not {wanted}: build it for WASI 0.3"),
        None => format!("it does not export {wanted}, so it does not serve HTTP"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_application_is_told_by_its_exports() {
        assert_eq!(not_an_application(["wasi:http/handler@0.3.0", HANDLER]), None);
        for (exports, why) in [
            (&[][..], "does not export hixie:legacy-websocket/handler@0.2.0"),
            (&["hixie:legacy-websocket/handler@0.1.0"], "handler@0.1.0, not hixie"),
            (&["wasi:http/incoming-handler@0.2.0"], "serves HTTP"),
            (
                &["hixie:legacy-websocket/handler@0.1.0", "wasi:http/handler@0.3.0"],
                "handler@0.1.0, not hixie",
            ),
            (
                &["wasi:http/handler@0.3.0", "hixie:legacy-websocket/handler@0.1.0"],
                "handler@0.1.0, not hixie",
            ),
        ] {
            let said = not_an_application(exports.iter().copied()).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_does_not_serve_http_is_told_by_its_exports() {
        assert_eq!(not_a_site(["wasi:cli/run@0.3.0", "wasi:http/handler@0.3.0"]), None);
        for (exports, why) in [
            (&[][..], "does not export wasi:http/handler@0.3.0"),
            (&[HANDLER], "does not export"),
            (&["wasi:http/incoming-handler@0.2.6"], "exports wasi:http/incoming-handler@0.2.6, not"),
        ] {
            let said = not_a_site(exports.iter().copied()).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }
}
