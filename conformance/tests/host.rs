//! Our host over real sockets shows just what the replay in this process shows, with every setting.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use conformance::check::{Target, check};
use conformance::corpus::{self, Case};
use conformance::report::Verdict;
use conformance::{expectation, settings};
use legacy_websocket_host::{Server, ShellOptions, TestPage, bind};
use legacy_websocket_trace::{Setting, Variables};
use support::component::{factory, host_options};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

/// Cases under way at once.
const JOBS: usize = 64;

#[test]
fn the_host_passes_with_every_setting() {
    let mut groups: BTreeMap<Vec<Setting>, Vec<(Case, String)>> = BTreeMap::new();
    for case in corpus::load(&corpus::folder()).expect("a corpus") {
        let path = expectation::path(&expectation::folder(), &case.id);
        let snapshot = fs::read_to_string(path).expect("a snapshot");
        for (settings, part) in case.all_settings().into_iter().zip(expectation::parts(&snapshot)) {
            let mut case = case.clone();
            // Each variant for itself: nothing but its own outcome passes.
            case.trace.settings.clone_from(&settings);
            case.trace.variants.clear();
            groups.entry(settings).or_default().push((case, format!("\n{part}")));
        }
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (mut passed, mut failures) = (0, Vec::new());
    for (settings, cases) in groups {
        let (address, stop) = serve(&settings);
        for report in runtime.block_on(check_all(cases, address, settings)) {
            match report.verdict {
                Verdict::Pass => passed += 1,
                Verdict::NotApplicable => {}
                _ => failures.push(format!("{}: {}", report.id, report.reason)),
            }
        }
        drop(stop);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 1_300, "only {passed} cases applied");
}

async fn check_all(
    cases: Vec<(Case, String)>,
    address: SocketAddr,
    settings: Vec<Setting>,
) -> Vec<conformance::report::Case> {
    // Requests that are all about names say them themselves; the others take those of the examples.
    let target = Arc::new(Target {
        address,
        variables: Variables::default(),
        draft: None,
        echo: true,
        settings,
        // Only what fails takes so long.
        patience: Duration::from_secs(20),
        quiet: Duration::from_millis(100),
        longest_pause: Duration::ZERO,
    });
    let permits = Arc::new(Semaphore::new(JOBS));
    let mut running = JoinSet::new();
    for (case, snapshot) in cases {
        let (target, permits) = (Arc::clone(&target), Arc::clone(&permits));
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            check(&case, &snapshot, &target).await.expect("the host listens")
        });
    }
    running.join_all().await
}

/// Runs the host in a thread until what it gives is dropped.
fn serve(settings: &[Setting]) -> (SocketAddr, oneshot::Sender<()>) {
    let mut options = host_options(&settings::options(settings).expect("known settings"));
    options.echo = true;
    // No application is there to decide; those cases do not apply.
    options.authorise = false;
    let (stop, stopped) = oneshot::channel();
    let (told, address) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(Default::default());
        runtime.expect("a runtime").block_on(async {
            let page = || Box::new(TestPage) as _;
            let server = Server::new(factory(), options, ShellOptions::default(), page).expect("a server");
            let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            told.send(listener.local_addr().expect("an address")).expect("somebody waits");
            server.run(vec![listener], ended(stopped), std::future::ready(())).await;
        });
    });
    (address.recv().expect("the host starts"), stop)
}

async fn ended(stopped: oneshot::Receiver<()>) {
    // The other end is dropped.
    let _ = stopped.await;
}
