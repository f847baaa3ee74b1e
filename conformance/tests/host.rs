//! Over real sockets, our host must show exactly what the replay in this process shows, with every setting.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use conformance::check::Target;
use conformance::corpus;
use conformance::report::{self, Verdict};
use conformance::{expectation, settings};
use legacy_websocket_host::{Listener, Server, ShellOptions, TestPage, Tls, bind};
use legacy_websocket_trace::Setting;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use support::component::factory;
use support::sockets::{by_settings, check_all, target};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Only failures take this long.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_host_passes_with_every_setting() {
    let (mut passed, mut failures) = (0, Vec::new());
    for (settings, cases) in by_settings() {
        // There is nowhere to pass connections on to.
        if settings.iter().any(|setting| setting.name == "pass-through") {
            continue;
        }
        let (address, stop) = serve(&settings, None);
        for report in check_all(cases, Target { settings, ..target(address, PATIENCE) }) {
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

#[test]
fn the_host_passes_over_tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["example.com".into()]).expect("a certificate");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let files = ["conformance.crt", "conformance.key"].map(|name| folder.join(name));
    fs::write(&files[0], cert.pem()).expect("a file");
    fs::write(&files[1], signing_key.serialize_pem()).expect("a file");
    let server = Tls::load(&files[0], &files[1]).expect("what was just written");
    let (address, _stop) = serve(&[], Some(server));
    let mut cases = corpus::load(&corpus::folder()).expect("a corpus");
    cases.retain(|case| ["handshake7", "closing7"].iter().any(|area| case.id.starts_with(area)));
    // Port 80 is not the default port here.
    cases.retain(|case| case.id != "handshake76/host-port-leading-zero");
    let cases = cases.into_iter().map(|case| {
        let path = expectation::path(&expectation::folder(), &case.id);
        let snapshot = fs::read_to_string(path).expect("a snapshot");
        (case, snapshot)
    });
    let tls = conformance::check::Tls::new("example.com").expect("a name");
    let reports = check_all(cases.collect(), Target { tls: Some(tls), ..target(address, PATIENCE) });
    let failed = |report: &&report::Case| !matches!(report.verdict, Verdict::Pass | Verdict::NotApplicable);
    let failures: Vec<_> = reports.iter().filter(failed).map(|it| (&it.id, &it.reason)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let passed = reports.iter().filter(|report| report.verdict == Verdict::Pass).count();
    assert!(passed > 150, "only {passed} cases applied");
}

/// Runs the host in a thread until the returned value is dropped.
fn serve(settings: &[Setting], tls: Option<Tls>) -> (SocketAddr, oneshot::Sender<()>) {
    let mut options = settings::options(settings).expect("known settings");
    options.echo = true;
    // There is no application to decide on handshakes; those cases do not apply.
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
            let listener = match tls {
                Some(tls) => Listener::with_tls(listener, tls),
                None => listener.into(),
            };
            server.run(vec![listener], ended(stopped), std::future::ready(())).await;
        });
    });
    (address.recv().expect("the host starts"), stop)
}

async fn ended(stopped: oneshot::Receiver<()>) {
    // The other end was dropped.
    let _ = stopped.await;
}
