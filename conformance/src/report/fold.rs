//! Folds the failures of a server that refuses every handshake into one.

use legacy_websocket_trace::Draft;

use super::{Case, Report, Verdict};

/// With fewer refused handshakes than this, each is a separate failure.
const FEW: usize = 5;

/// If a server refuses every handshake of a draft, one case fails for all of them, and the others are not applicable.
pub fn fold_refused(report: &mut Report) {
    for (draft, other) in [(Draft::Draft75, "76"), (Draft::Draft76, "75")] {
        let of_draft = |case: &Case| case.draft == draft && case.verdict != Verdict::NotApplicable;
        let cases = || report.cases.iter().filter(|case| of_draft(case));
        if cases().filter(|case| expects_101(case)).count() < FEW || cases().any(sees_101) {
            continue;
        }
        let name = draft.name();
        let first = report.cases.iter().position(|case| of_draft(case) && expects_101(case));
        for (at, case) in report.cases.iter_mut().enumerate() {
            if Some(at) == first {
                case.verdict = Verdict::FailsMust;
                case.reason =
                    format!("refuses every handshake of draft {name}. Only draft {other}? --draft {other}");
                case.cause.clone_from(&case.reason);
            } else if of_draft(case) {
                case.verdict = Verdict::NotApplicable;
                case.reason = format!("every handshake of draft {name} is refused");
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
        let seen = |what: &str| vec![Seen { connection: 1, turn: 1, what: what.into() }];
        for (at, case) in report.cases.iter_mut().enumerate() {
            if at < 6 {
                case.draft = Draft::Draft75;
            }
            case.expected = seen("101");
            case.seen = seen(if at < 6 { saw } else { "101" });
        }
        report
    }

    #[test]
    fn a_draft_that_is_always_refused_fails_once() {
        let mut report = report("refused");
        fold_refused(&mut report);
        let failures: Vec<_> = report.cases.iter().filter(|case| case.is_failure()).collect();
        assert_eq!(failures.len(), 4);
        assert!(failures[0].reason.contains("--draft 76"), "{}", failures[0].reason);
        assert_eq!(report.cases[1].verdict, Verdict::NotApplicable);
    }

    #[test]
    fn a_draft_that_is_sometimes_accepted_keeps_its_failures() {
        let mut report = report("refused");
        report.cases[3].seen[0].what = "101, wrong: origin".into();
        let before = report.clone();
        fold_refused(&mut report);
        assert_eq!(report, before);
    }
}
