//! What does not count: servers have a choice.

use legacy_websocket_trace::{Action, Step};

use super::Sight;
use crate::client;
use crate::corpus::Case;

/// Leaves only what counts in a case. A fault of the 101 counts in cases about the opening handshake; in others the
/// client continues in spite of it, so that one fault does not hide all others. Likewise the subprotocol, code and
/// reason that a server chooses.
pub(super) fn lenient(case: &Case, mut sight: Sight) -> Sight {
    let is_about = |area: &str| case.id.starts_with(area);
    let trace = &case.trace;
    let names_subprotocol = trace.settings.iter().any(|setting| setting.name == "subprotocol")
        || has_action(case, |action| matches!(action, Action::Accept(_, Some(_))));
    let gives_code = has_action(case, |action| matches!(action, Action::Close(_, Some(_))));
    for (_, _, what) in &mut sight {
        if !is_about("handshake") && !is_about("refuse") {
            client::forgive(what);
        }
        if !names_subprotocol {
            client::forget_subprotocol(what);
        }
        if !gives_code {
            client::forget_reason(what, is_about("codes"));
        }
    }
    let is_about_closing = ["closing", "codes", "application"].into_iter().any(is_about) || gives_code;
    if trace.protocol.has_frames() && !is_about_closing { ended_by_closing(sight) } else { sight }
}

/// A server that fails a connection may send a close frame or just end TCP, and may wait for an answer: in cases that
/// are not about this, the first of both is the end.
fn ended_by_closing(sight: Sight) -> Sight {
    let mut out = Sight::new();
    for (connection, turn, mut what) in sight {
        if what == client::CLOSING {
            what = client::END.into();
        }
        let has_ended =
            |out: &Sight| out.iter().any(|(it, _, what)| *it == connection && what == client::END);
        if what != client::END || !has_ended(&out) {
            out.push((connection, turn, what));
        }
    }
    out
}

fn has_action(case: &Case, is: impl Fn(&Action) -> bool) -> bool {
    case.trace.steps.iter().any(|step| matches!(step, Step::Application(action) if is(action)))
}

/// Drops closing frames that are followed by the end of TCP in the same turn.
pub(super) fn without_closing(sight: &Sight) -> Sight {
    let is_followed = |at: usize| {
        let (connection, turn, what) = &sight[at];
        what == client::CLOSING
            && sight.get(at + 1).is_some_and(|next| *next == (*connection, *turn, client::END.into()))
    };
    (0..sight.len()).filter(|at| !is_followed(*at)).map(|at| sight[at].clone()).collect()
}

/// Drops plain HTTP responses if TCP ends after them.
pub(super) fn without_responses(sight: &Sight) -> Sight {
    let ends = sight.iter().any(|(_, _, what)| what == client::END);
    sight.iter().filter(|(_, _, what)| !ends || what != client::RESPONSE).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn counts(id: &str, more: &str, seen: &[&str]) -> Vec<String> {
        let text = format!(
            "legacy-websocket-trace 2\ntitle: t\nprotocol: rfc6455\nsection: s\nseverity: MUST\n{more}\n"
        );
        let case = Case { id: id.into(), path: PathBuf::new(), trace: text.parse().unwrap() };
        let sight = seen.iter().map(|what| (1, 1, (*what).to_owned())).collect();
        lenient(&case, sight).into_iter().map(|(_, _, what)| what).collect()
    }

    #[test]
    fn each_area_has_what_counts_in_it() {
        let seen = ["101, wrong: Upgrade", "closing 1002 \"why\"", "end"];
        for (id, left) in [
            ("frames6455/a", &["101", "end"][..]),
            ("handshake6455/a", &["101, wrong: Upgrade", "end"]),
            ("closing6455/a", &["101", "closing", "end"]),
            ("codes6455/a", &["101", "closing 1002", "end"]),
        ] {
            assert_eq!(counts(id, "C fin", &seen), left, "{id}");
        }
        let named = ["101, subprotocol \"chat\"", "refused, versions named"];
        assert_eq!(counts("frames6455/a", "C fin", &named), ["101", "refused"]);
        assert_eq!(counts("refuse6455/a", "C fin", &named), ["101", "refused, versions named"]);
    }

    #[test]
    fn what_the_application_chose_counts() {
        let closing = ["closing 4000 \"why\"", "end"];
        assert_eq!(counts("frames6455/a", "A close 4000 \"why\"", &closing), closing);
        assert_eq!(counts("frames6455/a", "A close", &closing), ["end"]);
        let named = ["101, subprotocol \"chat\""];
        assert_eq!(counts("frames6455/a", "A accept \"chat\"", &named), named);
        assert_eq!(counts("frames6455/a", "A accept", &named), ["101"]);
        assert_eq!(counts("frames6455/a", "setting: subprotocol chat\nC fin", &named), named);
    }

    #[test]
    fn a_server_may_fail_a_connection_without_a_close_frame_but_not_go_on() {
        let end = counts("frames6455/a", "C fin", &["101", "end"]);
        assert_eq!(counts("frames6455/a", "C fin", &["101", "closing 1002"]), end);
        let more = ["101", "closing", "bytes behind the closing frame", "end"];
        assert_eq!(counts("frames6455/a", "C fin", &more), ["101", "end", "bytes behind the closing frame"]);
        assert_ne!(counts("frames6455/a", "C fin", &["101", "message \"x\""]), end);
    }
}
