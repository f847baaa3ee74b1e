//! The gateway: clients of every protocol in front of backends that speak RFC 6455 and HTTP.

mod support;

/// Lists a module's tests.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[(&str, fn())] = &[$((stringify!($test), $test)),*];
    };
}

#[path = "gateway/backend.rs"]
mod backend;
#[path = "gateway/blame.rs"]
mod blame;
#[path = "gateway/client_gone.rs"]
mod client_gone;
#[path = "gateway/closing.rs"]
mod closing;
#[path = "gateway/faults.rs"]
mod faults;
#[path = "gateway/handshake.rs"]
mod handshake;
#[path = "gateway/http.rs"]
mod http;
#[path = "gateway/messages.rs"]
mod messages;
#[path = "gateway/pair.rs"]
mod pair;
#[path = "gateway/recorded.rs"]
mod recorded;
#[path = "gateway/refused.rs"]
mod refused;
#[path = "gateway/service.rs"]
mod service;
#[path = "gateway/soak.rs"]
mod soak;
#[path = "gateway/stopping.rs"]
mod stopping;
#[path = "gateway/targets.rs"]
mod targets;
#[path = "gateway/third_party.rs"]
mod third_party;
#[path = "gateway/transfer.rs"]
mod transfer;
#[path = "gateway/tunnel.rs"]
mod tunnel;
#[path = "gateway/wire.rs"]
mod wire;

use std::process::ExitCode;

use libtest_mimic::Trial;

type Test = (&'static str, fn());

const MODULES: [(&str, &[Test]); 13] = [
    ("blame", blame::TESTS),
    ("client_gone", client_gone::TESTS),
    ("closing", closing::TESTS),
    ("faults", faults::TESTS),
    ("handshake", handshake::TESTS),
    ("http", http::TESTS),
    ("messages", messages::TESTS),
    ("refused", refused::TESTS),
    ("soak", soak::TESTS),
    ("stopping", stopping::TESTS),
    ("targets", targets::TESTS),
    ("transfer", transfer::TESTS),
    ("tunnel", tunnel::TESTS),
];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    for (module, tests) in MODULES {
        trials.extend(tests.iter().map(|&(name, run)| {
            Trial::test(format!("{module}::{name}"), move || {
                run();
                Ok(())
            })
        }));
    }
    trials.extend(third_party::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
