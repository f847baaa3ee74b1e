//! What an application exports.

/// The interface that an application exports, and a middleware imports as well.
pub(crate) const HANDLER: &str = "hixie:legacy-websocket/handler@0.2.0";

/// Without the version.
const ANY_HANDLER: &str = "hixie:legacy-websocket/handler@";

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
}
