//! The suite finds the bugs it is made for: each deliberately wrong engine fails the cases made for it, in this
//! process and over sockets.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use std::{env, fs};

use conformance::corpus::{self, Case};
use conformance::replay::Replayer;
use conformance::report::Verdict;
use conformance::{Chunking, expectation, settings};
use legacy_websocket::Options;
use legacy_websocket_trace::{Setting, Variables};
use support::sockets::{check_all, serve, target};
use support::wrong::{Liar, Wrong};

/// Cases that find each wrong engine. Others may find it too.
#[rustfmt::skip]
const FOUND: [(Wrong, &[&str]); 42] = [
    (Wrong::AnswersLate, &["closing76/close-during-handshake", "closing76/shutdown-during-handshake", "handshake76/101-before-key3"]),
    (Wrong::WantsKey3AtOnce, &["application/76-accepts", "application/76-accepts-subprotocol", "application/76-leaves-undecided"]),
    (Wrong::TrimsKey3, &["handshake76/key3-01", "handshake76/key3-02", "handshake76/key3-05"]),
    (Wrong::TrimsKeys, &["handshake76/key-leading-space", "handshake76/key-trailing-space", "vectors/handshake/x4-leading-space-in-value"]),
    (Wrong::WrapsParts, &["refuse76/key1-far-over-32-bits", "refuse76/key1-over-32-bits", "refuse76/key1-over-64-bits-wraps"]),
    (Wrong::DividesByOne, &["refuse76/bad-key-is-refused-before-key3", "refuse76/both-keys-no-spaces", "refuse76/key1-nbsp-only"]),
    (Wrong::IgnoresRemainders, &["refuse76/key1-not-multiple", "refuse76/key1-not-multiple-2", "refuse76/key2-not-multiple"]),
    (Wrong::TakesKeysByOrder, &["application/76-accepts", "application/76-accepts-subprotocol", "application/76-messages-ahead"]),
    (Wrong::WantsConnectionAlone, &["handshake75/connection-list", "handshake76/connection-list", "handshake76/connection-list-behind"]),
    (Wrong::IgnoresLaterProtocols, &["other/hybi-version-7", "other/hybi-version-8", "other/key-without-version"]),
    (Wrong::WritesUpgradeInLowerCase, &["application/75-accepts", "application/75-accepts-subprotocol", "application/75-messages-ahead"]),
    (Wrong::LosesQueries, &["handshake75/path-raw-utf8", "handshake75/query", "handshake76/path-escaped"]),
    (Wrong::KeepsDefaultPorts, &["application/75-accepts", "application/75-accepts-subprotocol", "application/75-messages-ahead"]),
    (Wrong::NamesUnaskedSubprotocols, &["application/76-accepts", "application/76-messages-ahead", "application/76-unasked-subprotocol"]),
    (Wrong::SplitsSubprotocols, &["handshake75/subprotocol-list", "handshake76/subprotocol-list", "recorded/chromium-cef1-hixie76/subproto-array"]),
    (Wrong::MixesStatusLines, &["application/75-accepts", "application/75-accepts-subprotocol", "application/75-messages-ahead"]),
    (Wrong::NeverAnswersClosing, &["closing76/broadcast", "closing76/client-closes", "closing76/client-closes-behind-message", "closing6455/client-closes", "closing-hybi/hybi7-client-closes"]),
    (Wrong::ClosesDraft75, &["application/75-accepts", "application/75-accepts-subprotocol", "application/75-messages-ahead"]),
    (Wrong::ReadsOnBehindClosing, &["closing76/data-behind-closing-later"]),
    (Wrong::SendsBehindClosing, &["closing76/server-closes-messages-follow", "closing76/server-closes-then-sends", "closing6455/server-closes-then-sends"]),
    (Wrong::DeliversReservedTypes, &["frames75/type-01", "frames75/type-01-long", "frames75/type-01-with-nul"]),
    (Wrong::DropsNuls, &["frames75/nul-alone", "frames75/nul-inside", "frames75/type-80-empty"]),
    (Wrong::DecodesReads, &["closing76/long-zero-length", "closing76/long-zero-length-data", "frames75/byte-80"]),
    (Wrong::EndsMessagesWithReads, &["application/75-accepts", "application/75-messages-ahead", "application/76-accepts"]),
    (Wrong::LosesWhatAReadCuts, &["closing76/closing-cut"]),
    (Wrong::JoinsMessagesOfARead, &["vectors/framing-76/f03-two-messages-in-one-read"]),
    (Wrong::ForgetsGuid, &["handshake6455/example", "handshake6455/key-of-section-4-1", "handshake-hybi/hybi7-plain", "handshake-hybi/hybi8-plain"]),
    (Wrong::IgnoresVersions, &["refuse6455/version-0", "refuse6455/version-12", "refuse6455/version-14"]),
    (Wrong::IgnoresSecOrigin, &["handshake-hybi/hybi7-origin-accepted", "handshake-hybi/hybi8-origin-accepted"]),
    (Wrong::NamesUnaskedExtensions, &["handshake6455/extension-none", "handshake6455/extension-unknown", "handshake-hybi/hybi8-extension"]),
    (Wrong::TakesUnmaskedFrames, &["frames6455/unmasked-text", "frames6455/unmasked-ping", "frames6455/unmasked-fragment", "frames-hybi/hybi8-unmasked"]),
    (Wrong::TakesReservedBits, &["frames6455/rsv1", "frames6455/rsv2", "frames6455/rsv3", "frames6455/rsv-continuation"]),
    (Wrong::TakesReservedOpcodes, &["frames6455/opcode-3", "frames6455/opcode-b", "frames6455/nothing-behind-a-failure"]),
    (Wrong::TakesFragmentedControl, &["frames6455/ping-fragment", "frames6455/pong-fragment"]),
    (Wrong::RepairsText, &["utf8-6455/invalid-byte", "utf8-6455/surrogate", "codes6455/fails-not-utf8", "frames-hybi/hybi7-not-utf8"]),
    (Wrong::DeliversFragments, &["frames6455/fragments-two", "frames6455/text-inside-message", "frames-hybi/hybi7-fragments"]),
    (Wrong::IgnoresPings, &["frames6455/ping", "frames6455/ping-between-fragments", "frames-hybi/hybi8-fragments"]),
    (Wrong::EmptiesPongs, &["frames6455/ping", "frames6455/ping-125"]),
    (Wrong::MasksFrames, &["frames6455/text", "frames6455/ping", "closing6455/client-closes"]),
    (Wrong::WritesLongLengths, &["frames6455/text", "frames6455/length-125", "frames6455/ping"]),
    (Wrong::HidesFailures, &["codes6455/fails-rsv", "codes6455/fails-not-utf8", "codes6455/fails-too-big"]),
    (Wrong::EndsBehindClosing, &["closing6455/server-closes", "closing-hybi/hybi7-server-closes"]),
];

#[test]
fn each_wrong_engine_fails_the_cases_made_for_it() {
    let cases = corpus::load(&corpus::folder()).expect("a corpus");
    // The wrapper alone spoils some cases, because it passes heads on only when complete.
    let spoiled = failures(None, &cases);
    assert!(spoiled.len() < 30, "{spoiled:?}");
    for (wrong, found) in FOUND {
        let failures = failures(Some(wrong), &cases);
        for case in found {
            assert!(failures.contains(case), "{wrong:?} passes {case}, and fails {failures:?}");
            assert!(!spoiled.contains(case), "{case} fails without a lie");
        }
    }
}

/// The cases in which a client sees something unexpected.
fn failures(wrong: Option<Wrong>, cases: &[Case]) -> BTreeSet<&str> {
    let mut liars: BTreeMap<Vec<Setting>, Replayer<Liar>> = BTreeMap::new();
    let is_wrong = |case: &&Case| {
        let expected = expectation::read(&snapshot(case));
        case.all_settings().into_iter().zip(expected).any(|(settings, expected)| {
            let options = settings::options(&settings).expect("known settings");
            let liar = liars.entry(settings).or_insert_with(|| Replayer::new(Liar::new(wrong, options)));
            [Chunking::Written, Chunking::Bytes]
                .into_iter()
                .any(|chunking| liar.replay(&case.trace, &Variables::default(), chunking).seen != expected)
        })
    };
    // A megabyte sent a byte at a time proves nothing here.
    cases
        .iter()
        .filter(|case| !case.id.contains("mib") && !case.id.contains("100k"))
        .filter(is_wrong)
        .map(|case| case.id.as_str())
        .collect()
}

#[test]
fn check_finds_chunking_bugs_over_sockets_in_every_run() {
    let runs = env::var("RUNS").map_or(2, |runs| runs.parse().expect("a number"));
    for _ in 1..runs {
        assert_eq!(checked(None), BTreeSet::new());
    }
    for (wrong, found) in [
        (
            Wrong::LosesWhatAReadCuts,
            &["closing76/client-closes", "frames76/message", "frames76/two-byte"][..],
        ),
        (Wrong::JoinsMessagesOfARead, &["frames76/two-empty-messages"]),
        (Wrong::AnswersLate, &["handshake76/101-before-key3"]),
    ] {
        let failures = checked(Some(wrong));
        for case in found {
            assert!(failures.contains(*case), "{wrong:?} passes {case}, and fails {failures:?}");
        }
        for run in 2..=runs {
            assert_eq!(checked(Some(wrong)), failures, "{wrong:?}, {run}");
        }
        println!("{wrong:?}: the same {} cases fail in {runs} runs", failures.len());
    }
}

/// The draft 76 cases that a wrong engine behind real sockets does not pass.
fn checked(wrong: Option<Wrong>) -> BTreeSet<String> {
    let address = serve(move || Liar::new(wrong, Options::default()));
    let mut cases = corpus::load(&corpus::folder()).expect("a corpus");
    cases.retain(|case| {
        ["handshake76/", "frames76/", "closing76/", "utf8-76/"].iter().any(|area| case.id.starts_with(area))
    });
    let cases = cases.into_iter().map(|case| (case.clone(), snapshot(&case))).collect();
    let reports = check_all(cases, target(address, Duration::from_secs(5)));
    reports
        .into_iter()
        .filter(|report| !matches!(report.verdict, Verdict::Pass | Verdict::NotApplicable))
        .map(|report| report.id)
        .collect()
}

fn snapshot(case: &Case) -> String {
    let path = expectation::path(&expectation::folder(), &case.id);
    fs::read_to_string(path).expect("a snapshot")
}
