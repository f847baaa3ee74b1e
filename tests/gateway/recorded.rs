//! The recorded clients of the conformance suite.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::check::{Target, check};
use conformance::corpus::{self, Case};
use conformance::report::{self, Verdict};
use conformance::{Chunkings, expectation};
use legacy_websocket_trace::{Protocol, Variables};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Checks what every recorded client of an old protocol sees of an echo at this address: what it sees of ours, except
/// in recordings with these names.
#[track_caller]
pub(crate) fn expect_ours(name: &str, address: SocketAddr, except: &[&str]) {
    let reports =
        check_all(&[Protocol::Draft75, Protocol::Draft76, Protocol::Hybi7, Protocol::Hybi8], address);
    let differ: Vec<_> = reports
        .iter()
        .filter(|report| report.verdict != Verdict::Pass)
        .filter(|report| !except.iter().any(|name| report.id.ends_with(name)))
        .map(|report| format!("{}: {:?} {}", report.id, report.verdict, report.reason))
        .collect();
    assert!(
        differ.is_empty(),
        "{name}: {} of {} differ:\n{}",
        differ.len(),
        reports.len(),
        differ.join("\n")
    );
}

/// Checks that every recorded client of RFC 6455 sees the same at both addresses, compressed as it may be.
#[track_caller]
pub(crate) fn expect_equal(gateway: SocketAddr, backend: SocketAddr) {
    let [through, direct] = [gateway, backend].map(|address| {
        let reports = check_all(&[Protocol::Rfc6455], address);
        let seen = |report: report::Case| format!("{} {:#?}", report.id, report.seen);
        reports.into_iter().map(seen).collect::<Vec<_>>()
    });
    assert_eq!(through, direct);
}

/// Checks the recorded clients of these protocols.
fn check_all(protocols: &[Protocol], address: SocketAddr) -> Vec<report::Case> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check_each(cases(protocols), target(address, protocols)))
}

/// Each with its snapshot.
fn cases(protocols: &[Protocol]) -> Vec<(Case, String)> {
    let folder = corpus::folder();
    let snapshots = expectation::beside(&folder);
    let all = corpus::load(&folder).unwrap();
    all.into_iter()
        .filter(|case| case.id.starts_with("recorded/") && protocols.contains(&case.trace.protocol))
        .map(|case| {
            let snapshot = fs::read_to_string(expectation::path(&snapshots, &case.id)).unwrap();
            (case, snapshot)
        })
        .collect()
}

fn target(address: SocketAddr, protocols: &[Protocol]) -> Target {
    Target {
        address,
        tls: None,
        variables: Variables::default(),
        protocols: protocols.to_vec(),
        echo: true,
        settings: Vec::new(),
        patience: Duration::from_secs(5),
        longest_pause: Duration::ZERO,
        quiet: Duration::from_millis(150),
        chunkings: Chunkings::Written,
        seed: 0,
        pause: Duration::from_millis(20),
        application: None,
    }
}

async fn check_each(cases: Vec<(Case, String)>, target: Target) -> Vec<report::Case> {
    let (target, permits) = (Arc::new(target), Arc::new(Semaphore::new(32)));
    let mut running = JoinSet::new();
    for (case, snapshot) in cases {
        let (target, permits) = (Arc::clone(&target), Arc::clone(&permits));
        running.spawn(async move {
            let _permit = permits.acquire().await;
            check(&case, &snapshot, &target).await.expect("the gateway accepts connections")
        });
    }
    let mut reports = running.join_all().await;
    reports.sort_by(|one, other| one.id.cmp(&other.id));
    reports
}
