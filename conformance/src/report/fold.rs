//! Folds the cases of a protocol that a server always refuses.

use legacy_websocket_trace::Protocol;

use super::{Case, Report, Verdict};

/// With fewer refused handshakes than this, each is a separate failure.
const FEW: usize = 5;

/// A protocol whose handshakes a server always refuses is not one that it speaks: it is named once,
/// [`refused`](super::Server::refused), and its cases are not applicable. But a server that was declared to speak it,
/// or that accepts no protocol at all, fails one case for all of them.
pub fn fold_refused(report: &mut Report) {
    let accepts_none = !report.cases.iter().any(sees_101);
    for protocol in Protocol::ALL {
        let name = protocol.name();
        let of_it = |case: &Case| case.protocol == protocol && case.verdict != Verdict::NotApplicable;
        let cases = || report.cases.iter().filter(|case| of_it(case));
        if protocol == Protocol::None
            || cases().filter(|case| expects_101(case)).count() < FEW
            || cases().any(sees_101)
        {
            continue;
        }
        let is_failure = accepts_none || report.server.protocols.iter().any(|declared| declared == name);
        if !is_failure {
            report.server.refused.push(name.into());
        }
        let first = report.cases.iter().position(|case| of_it(case) && expects_101(case));
        for (at, case) in report.cases.iter_mut().enumerate() {
            if is_failure && Some(at) == first {
                case.verdict = Verdict::FailsMust;
                case.reason = format!("refuses every handshake of {name}");
                case.cause.clone_from(&case.reason);
            } else if of_it(case) {
                case.verdict = Verdict::NotApplicable;
                case.reason = format!("every handshake of {name} is refused");
                case.cause.clear();
            }
        }
    }
}

fn expects_101(case: &Case) -> bool {
    case.expected.iter().any(|seen| seen.what.starts_with("101"))
}

fn sees_101(case: &Case) -> bool {
    case.seen.iter().any(|seen| seen.what.starts_with("101"))
}

#[cfg(test)]
mod tests {
    use super::super::{Seen, samples};
    use super::*;

    fn report(saw: &str) -> Report {
        let mut report = samples::report();
        report.cases = (0..9).map(|at| samples::of(&format!("a/{at}"), Verdict::FailsMust)).collect();
        (report.server.protocols, report.server.refused) = Default::default();
        let seen = |what: &str| vec![Seen { connection: 1, turn: 1, what: what.into() }];
        for (at, case) in report.cases.iter_mut().enumerate() {
            if at < 6 {
                case.protocol = Protocol::Hybi7;
            }
            case.expected = seen("101");
            case.seen = seen(if at < 6 { saw } else { "101" });
        }
        report
    }

    fn failures(report: &Report) -> usize {
        report.cases.iter().filter(|case| case.is_failure()).count()
    }

    #[test]
    fn a_protocol_that_is_always_refused_is_named_once() {
        let mut report = report("refused");
        fold_refused(&mut report);
        assert_eq!((failures(&report), report.server.refused.as_slice()), (3, &["hybi7".to_owned()][..]));
        assert_eq!(report.cases[0].verdict, Verdict::NotApplicable);
        assert_eq!(report.cases[0].reason, "every handshake of hybi7 is refused");
    }

    #[test]
    fn a_declared_protocol_that_is_always_refused_fails_once() {
        let mut report = report("refused");
        report.server.protocols = vec!["hybi7".into()];
        fold_refused(&mut report);
        assert_eq!((failures(&report), report.server.refused.len()), (4, 0));
        assert_eq!(report.cases[0].reason, "refuses every handshake of hybi7");
        assert_eq!(report.cases[1].verdict, Verdict::NotApplicable);
    }

    #[test]
    fn a_server_that_accepts_nothing_fails() {
        let mut report = report("refused");
        report.cases.iter_mut().for_each(|case| case.seen[0].what = "refused".into());
        fold_refused(&mut report);
        // Of the other protocol there are too few to tell.
        assert_eq!((failures(&report), report.server.refused.len()), (4, 0));
    }

    #[test]
    fn a_protocol_that_is_sometimes_accepted_keeps_its_failures() {
        let mut report = report("refused");
        report.cases[3].seen[0].what = "101, wrong: origin".into();
        let before = report.clone();
        fold_refused(&mut report);
        assert_eq!(report, before);
    }
}
