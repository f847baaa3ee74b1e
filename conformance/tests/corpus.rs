//! The corpus against both builds of the engine, at every chunking: `cargo test -p conformance`.
//!
//! Trials are called `{component|native}/{chunking}/{area}/{case}`; all of a case's share one snapshot.

mod suite;
mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use conformance::corpus::{self, Case};
use conformance::replay::{Outcome, Replayer};
use conformance::subject::{Native, Subject};
use conformance::{Chunking, expectation, settings};
use legacy_websocket_trace::{Setting, Step, Variables};
use libtest_mimic::{Arguments, Failed, Trial};
use support::component::Component;

const BUILDS: [&str; 2] = ["component", "native"];
const CHUNKINGS: [&str; 5] = ["written", "whole", "bytes", "splits", "random"];

/// Behind the handshake so many bytes of frames are cut at each position, too.
const SPLIT_FRAMES: usize = 48;

/// More bytes than this are not cut at each position of their handshake.
const LONG: usize = 50_000;

/// Random chunkings of each case.
const SEEDS: u64 = 4;

fn main() -> ExitCode {
    let bless = env::var_os("BLESS").is_some();
    if bless && env::var_os("INSTA_UPDATE").is_none() {
        // insta reads its switch from the environment, once.
        let error = Command::new(env::current_exe().expect("our own path"))
            .args(env::args_os().skip(1))
            .envs([("INSTA_UPDATE", "always"), ("INSTA_FORCE_PASS", "1"), ("INSTA_OUTPUT", "none")])
            .exec();
        panic!("{error}");
    }
    let mut arguments = Arguments::from_args();
    // Thousands of lines tell nobody anything.
    arguments.quiet |= arguments.filter.is_none() && arguments.format.is_none();
    let cases = match corpus::load(&corpus::folder()) {
        Ok(cases) => cases.into_iter().map(Arc::new).collect::<Vec<_>>(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for case in &cases {
        for build in BUILDS {
            for chunking in CHUNKINGS {
                // One of them writes the snapshot.
                if bless && (build, chunking) != ("native", "whole") {
                    continue;
                }
                let theirs = Arc::clone(case);
                let name = format!("{build}/{chunking}/{}", case.id);
                trials.push(Trial::test(name, move || run(&theirs, build, chunking)));
            }
        }
    }
    if bless {
        // What is left of cases that are gone.
        suite::remove_orphans(&cases);
    }
    trials.extend(suite::trials(&cases, bless));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(case: &Case, build: &str, chunking: &str) -> Result<(), Failed> {
    for chunking in chunkings(case, chunking) {
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

/// Prints a difference to read where the snapshot says otherwise.
fn compare(case: &Case, text: &str, chunking: Chunking) -> Result<(), Failed> {
    let mut settings = insta::Settings::new();
    let (area, name) = case.id.rsplit_once('/').unwrap_or(("", &case.id));
    settings.set_snapshot_path(expectation::folder().join(area));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(&case.trace.title);
    let assert = || settings.bind(|| insta::assert_snapshot!(name, text));
    let compared = catch_unwind(AssertUnwindSafe(assert));
    // insta does not know how the bytes were cut, which is half of what there is to know.
    compared.map_err(|_| format!("{} is another one with {chunking:?}", case.id).into())
}

/// What a name stands for.
fn chunkings(case: &Case, name: &str) -> Vec<Chunking> {
    match name {
        "written" => vec![Chunking::Written],
        "whole" => vec![Chunking::Whole],
        "bytes" => vec![Chunking::Bytes],
        "splits" => {
            let sent = first_connection(case);
            let head = sent.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |end| end + 4);
            // Long messages take long, and the handshake before them is like any other.
            let first = if sent.len() > LONG { head } else { 1 };
            (first..sent.len().min(head + SPLIT_FRAMES)).map(Chunking::Split).collect()
        }
        _ => {
            // Another one each day would find more, and be no use to whoever wants to see it again.
            let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(76_u64);
            (0..SEEDS).map(|more| Chunking::Random(seed.wrapping_add(more))).collect()
        }
    }
}

fn first_connection(case: &Case) -> Vec<u8> {
    let variables = Variables::default();
    let step = |step: &Step| match step {
        Step::Client { connection: 1, bytes } => bytes.bytes(&variables),
        _ => Vec::new(),
    };
    case.trace.steps.iter().flat_map(step).collect()
}

type Kept = HashMap<(String, Vec<Setting>), Replayer<Box<dyn Subject>>>;

thread_local! {
    /// Instances are used again: connections do not know of each other.
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
