//! The corpus against both builds of the engine, with every chunking: `cargo test -p conformance`.
//!
//! Trials are named `{component|native}/{chunking}/{area}/{case}`; all trials of a case share one snapshot.

mod suite;
mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use conformance::corpus::{self, Case};
use conformance::replay::{Outcome, Replayer};
use conformance::subject::{Native, Subject};
use conformance::{Chunking, Chunkings, bless, expectation, settings};
use legacy_websocket_trace::{Setting, Variables};
use libtest_mimic::{Arguments, Failed, Trial};
use support::component::Component;

const BUILDS: [&str; 2] = ["component", "native"];
const CHUNKINGS: [(&str, Chunkings); 6] = [
    ("written", Chunkings::Written),
    ("whole", Chunkings::Whole),
    ("bytes", Chunkings::Bytes),
    ("parts", Chunkings::Parts),
    ("splits", Chunkings::Splits),
    ("random", Chunkings::Random),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Nobody reads thousands of lines.
    arguments.quiet |= arguments.filter.is_none() && arguments.format.is_none();
    let cases: Arc<[Case]> = match corpus::load(&corpus::folder()) {
        Ok(cases) => cases.into(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        for build in BUILDS {
            for (name, chunkings) in CHUNKINGS {
                let cases = Arc::clone(&cases);
                let name = format!("{build}/{name}/{}", case.id);
                trials.push(Trial::test(name, move || run(&cases[at], build, chunkings)));
            }
        }
    }
    trials.extend(suite::trials(&cases));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(case: &Case, build: &str, chunkings: Chunkings) -> Result<(), Failed> {
    // A different seed each day would find more, but failures could not be reproduced.
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(76);
    for chunking in chunkings.of(case, seed) {
        let outcomes: Vec<_> =
            case.all_settings().iter().map(|settings| replay(case, build, settings, chunking)).collect();
        for (_, _, what) in outcomes.iter().flat_map(|outcome| &outcome.seen) {
            if ["wrong", "behind", "frame of", "part of", "not UTF-8"].iter().any(|bad| what.contains(bad)) {
                return Err(format!("{chunking:?}: a client would not take this: {what}").into());
            }
        }
        compare(case, &expectation::render(case, &outcomes), chunking)?;
    }
    Ok(())
}

/// Prints a readable difference from the snapshot.
fn compare(case: &Case, text: &str, chunking: Chunking) -> Result<(), Failed> {
    let path = expectation::path(&expectation::folder(), &case.id);
    let file = fs::read_to_string(&path).map_err(|error| {
        format!("{}: {error} (is the case blessed? cargo run -p conformance -- bless)", path.display())
    })?;
    let expected = expectation::body(&file);
    if expected == text {
        return Ok(());
    }
    let diff = bless::diff(expected, text);
    Err(format!("{}, {chunking}: not what its snapshot says:\n{diff}", case.id).into())
}

type Kept = HashMap<(String, Vec<Setting>), Replayer<Box<dyn Subject>>>;

thread_local! {
    /// Instances are reused: connections are independent.
    static REPLAYERS: RefCell<Kept> = RefCell::default();
}

fn replay(case: &Case, build: &str, settings: &[Setting], chunking: Chunking) -> Outcome {
    let key = (build.to_owned(), settings.to_vec());
    let kept = REPLAYERS.with_borrow_mut(|kept| kept.remove(&key));
    let mut replayer = kept.unwrap_or_else(|| Replayer::new(subject(build, settings)));
    let outcome = replayer.replay(&case.trace, &Variables::default(), chunking);
    REPLAYERS.with_borrow_mut(|kept| kept.insert(key, replayer));
    outcome
}

fn subject(build: &str, settings: &[Setting]) -> Box<dyn Subject> {
    let options = settings::options(settings).unwrap_or_else(|error| panic!("{error}"));
    match build {
        "component" => Box::new(Component::new(&options)),
        _ => Box::new(Native::new(options).expect("the engine takes the options")),
    }
}
