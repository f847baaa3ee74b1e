//! The suite finds what it is for: each engine that is wrong on purpose fails a case, and the snapshot says which.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;

use conformance::corpus::{self, Case};
use conformance::replay::Replayer;
use conformance::{Chunking, expectation, settings};
use legacy_websocket_trace::{Setting, Severity, Variables};
use support::wrong::{Liar, Wrong};

/// Cases of each wrong engine that the snapshot names; of how many more it fails only the number is there.
const NAMED: usize = 6;

#[test]
fn each_wrong_engine_fails_a_case() {
    let cases = corpus::load(&corpus::folder()).expect("a corpus");
    // The go-between alone spoils some: it passes heads on when they are whole.
    let spoiled: Vec<_> = failures(None, &cases).into_iter().map(|case| case.id.as_str()).collect();
    let mut told = format!("not counted: {}\n", spoiled.join(", "));
    for wrong in Wrong::ALL {
        let mut failures = failures(Some(wrong), &cases);
        failures.retain(|case| !spoiled.contains(&case.id.as_str()));
        assert!(!failures.is_empty(), "{wrong:?} fails nothing");
        let grave = failures.iter().filter(|case| case.trace.severity == Severity::Must).count();
        let _ = writeln!(told, "{wrong:?}: {} cases, {grave} of them a MUST", failures.len());
        for case in failures.iter().take(NAMED) {
            let _ = writeln!(told, "  {}", case.id);
        }
    }
    insta::assert_snapshot!(told);
}

/// The cases in which a client sees something else than it is to see.
fn failures(wrong: Option<Wrong>, cases: &[Case]) -> Vec<&Case> {
    let mut liars: BTreeMap<Vec<Setting>, Replayer<Liar>> = BTreeMap::new();
    let is_wrong = |case: &&Case| {
        let path = expectation::path(&expectation::folder(), &case.id);
        let expected = expectation::read(&std::fs::read_to_string(path).expect("a snapshot"));
        case.all_settings().into_iter().zip(expected).any(|(settings, expected)| {
            let options = settings::options(&settings).expect("known settings");
            let liar = liars.entry(settings).or_insert_with(|| Replayer::new(Liar::new(wrong, options)));
            [Chunking::Written, Chunking::Bytes]
                .into_iter()
                .any(|chunking| liar.replay(&case.trace, &Variables::default(), chunking).seen != expected)
        })
    };
    // A megabyte a byte at a time has nothing to tell here.
    cases
        .iter()
        .filter(|case| !case.id.contains("mib") && !case.id.contains("100k"))
        .filter(is_wrong)
        .collect()
}
