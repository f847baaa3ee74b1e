//! `check --application` over real sockets: cases that need the server's application or clock are driven over a
//! control connection.

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use conformance::check::Target;
use conformance::corpus::Case;
use conformance::report::{self, Verdict};
use conformance::settings;
use legacy_websocket_trace::{Setting, Step};
use support::control::Manner;
use support::sockets::{by_settings, check_all, target};
use support::wrong::{Liar, Wrong};
use support::{driven_engine, driven_host};

/// Only failures take this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The timeout for runs in which many cases fail on purpose.
const SHORT: Duration = Duration::from_secs(1);

/// The cases of the corpus in which the application acts, those in which only time passes, and those of the former in
/// which time passes too.
const ACTS: usize = 63;
const PASSES: usize = 12;
const BOTH: usize = 2;

#[test]
fn our_host_passes_every_case_its_application_can_drive() {
    let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for (settings, cases) in driven() {
        let (address, application) = driven_host::serve(&settings, Manner::Able);
        for report in checked(cases, address, application, settings, PATIENCE) {
            *verdicts.entry(report.verdict).or_default() += 1;
            if report.verdict == Verdict::NotApplicable {
                assert_eq!(report.reason, "needs an application that can advance the server's clock");
            } else {
                assert_eq!(report.verdict, Verdict::Pass, "{}: {}", report.id, report.reason);
            }
        }
    }
    let advances = PASSES + BOTH;
    assert_eq!(verdicts[&Verdict::Pass], ACTS + PASSES - advances);
    assert_eq!(verdicts[&Verdict::NotApplicable], advances);
}

#[test]
fn the_engine_passes_every_driven_case_when_its_clock_is_advanced() {
    let reports = judged(None, Manner::Able, PATIENCE, |_| true);
    assert_eq!(reports.len(), ACTS + PASSES);
    for report in reports {
        assert_eq!(report.verdict, Verdict::Pass, "{}: {}", report.id, report.reason);
    }
}

#[test]
fn wrong_engines_fail_the_cases_that_need_an_application() {
    for (wrong, found) in [
        (Wrong::ClosesDraft75, &["closing75/server-closes", "closing75/shutdown"][..]),
        (
            Wrong::SendsBehindClosing,
            &["closing76/server-closes-then-sends", "closing6455/server-closes-then-sends"],
        ),
        (Wrong::EndsBehindClosing, &["closing6455/server-closes", "closing-hybi/hybi8-server-closes"]),
        (Wrong::NeverAnswersClosing, &["closing76/broadcast"]),
        (Wrong::AnswersLate, &["closing76/close-during-handshake", "closing76/shutdown-during-handshake"]),
    ] {
        let reports = judged(Some(wrong), Manner::Able, SHORT, |id| found.contains(&id));
        assert_eq!(reports.len(), found.len());
        for report in reports {
            let fails = !matches!(report.verdict, Verdict::Pass | Verdict::NotApplicable);
            assert!(fails, "{wrong:?} passes {}: {}", report.id, report.reason);
        }
    }
}

#[test]
fn an_application_that_does_nothing_passes_only_cases_without_effects() {
    let nothing_comes = [
        "application/75-leaves-undecided",
        "application/76-leaves-undecided",
        "closing6455/server-closes-1005",
        "closing6455/server-closes-1006",
        "closing6455/server-closes-1015",
        "closing76/closings-cross",
        "limits/idle-timeout-restarts",
        "limits/timeout-not-when-connected",
    ];
    for report in judged(None, Manner::Lying, SHORT, |_| true) {
        let may_pass = nothing_comes.contains(&report.id.as_str());
        assert!(may_pass || report.verdict > Verdict::Pass, "{} passes", report.id);
    }
}

#[test]
fn unsupported_actions_are_not_applicable_and_silence_is_reported() {
    for report in judged(None, Manner::Unable, SHORT, |_| true) {
        let is_told = report.reason.starts_with("needs an application that can ");
        assert!(is_told && report.verdict == Verdict::NotApplicable, "{}: {}", report.id, report.reason);
    }
    for report in judged(None, Manner::Mute, SHORT, |id| id == "closing76/server-closes") {
        assert_eq!(report.verdict, Verdict::FailsShould);
        let said = "; its application was to close, and did not answer";
        assert!(report.reason.ends_with(said), "{}", report.reason);
    }
}

#[test]
fn the_program_drives_an_application_and_reports_a_missing_one() {
    let (address, application) = driven_host::serve(&[], Manner::Able);
    // Nobody listens any more.
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let check = |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"));
        program.args(["check", &format!("ws://{address}/echo"), "--echo", "--case", "closing75/server-"]);
        let output = program.args(arguments).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, said, _) = check(&["--patience", "20000", "--application", &application.to_string()]);
    assert!(status == Some(0) && said.contains("3 pass, 0 fail a MUST"), "{said}");
    assert!(said.contains("0 not applicable"), "{said}");
    let (status, said, _) = check(&[]);
    assert!(status == Some(0) && said.contains("3 not applicable"), "{said}");
    let (status, _, said) = check(&["--application", &nowhere.to_string()]);
    let expected = format!("conformance: the application at {nowhere}: Connection refused");
    assert!(status == Some(2) && said.starts_with(&expected) && said.lines().count() == 1, "{said}");
}

/// Checks the engine, or a wrong one, against some of the driven cases.
fn judged(
    wrong: Option<Wrong>,
    manner: Manner,
    patience: Duration,
    is_meant: impl Fn(&str) -> bool,
) -> Vec<report::Case> {
    let mut reports = Vec::new();
    for (settings, mut cases) in driven() {
        cases.retain(|(case, _)| is_meant(&case.id));
        let options = settings::options(&settings).expect("known settings");
        let (address, application) = driven_engine::serve(manner, move || Liar::new(wrong, options.clone()));
        reports.extend(checked(cases, address, application, settings, patience));
    }
    reports
}

/// The cases that need an application or a clock, grouped by settings.
fn driven() -> BTreeMap<Vec<Setting>, Vec<(Case, String)>> {
    let mut groups = by_settings();
    let is_driven = |step: &Step| matches!(step, Step::Application(_) | Step::After(_));
    groups.values_mut().for_each(|cases| cases.retain(|(case, _)| case.trace.steps.iter().any(is_driven)));
    groups.retain(|_, cases| !cases.is_empty());
    groups
}

fn checked(
    cases: Vec<(Case, String)>,
    address: SocketAddr,
    application: SocketAddr,
    settings: Vec<Setting>,
    patience: Duration,
) -> Vec<report::Case> {
    check_all(cases, Target { settings, application: Some(application), ..target(address, patience) })
}
