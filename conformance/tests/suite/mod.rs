//! Properties of the corpus itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use conformance::corpus::{self, Case};
use conformance::known::Known;
use conformance::{bless, expectation};
use libtest_mimic::{Failed, Trial};

type Run = fn(&[Case]) -> Result<(), Failed>;

pub(crate) fn trials(cases: &Arc<[Case]>) -> Vec<Trial> {
    let all: [(&str, Run); 5] = [
        ("no-orphaned-snapshots", no_orphaned_snapshots),
        ("cases-are-valid", cases_are_valid),
        ("files-are-as-printed", files_are_as_printed),
        ("coverage-table-is-current", coverage_table_is_current),
        ("we-have-no-known-failures", we_have_no_known_failures),
    ];
    let trial = |(name, run): (&str, Run)| {
        let cases = Arc::clone(cases);
        Trial::test(format!("suite/{name}"), move || run(&cases))
    };
    all.into_iter().map(trial).collect()
}

fn no_orphaned_snapshots(cases: &[Case]) -> Result<(), Failed> {
    let orphans = bless::orphans(cases, &expectation::folder())?;
    if orphans.is_empty() { Ok(()) } else { Err(format!("no case has these snapshots: {orphans:?}").into()) }
}

fn cases_are_valid(cases: &[Case]) -> Result<(), Failed> {
    Ok(cases.iter().try_for_each(bless::validate)?)
}

/// Recordings and cases must look alike, and a file must contain nothing that a reader of the format would lose.
fn files_are_as_printed(cases: &[Case]) -> Result<(), Failed> {
    for case in cases {
        let text = fs::read_to_string(&case.path).map_err(|error| error.to_string())?;
        let printed = case.trace.to_string();
        let again = printed.parse::<legacy_websocket_trace::Trace>();
        if again.as_ref().is_ok_and(|again| *again == case.trace)
            && text.lines().count() == printed.lines().count()
        {
            continue;
        }
        return Err(format!("{} is not what printing it gives", case.path.display()).into());
    }
    Ok(())
}

/// Each requirement has a case, or a reason for having none.
fn coverage_table_is_current(cases: &[Case]) -> Result<(), Failed> {
    let path = bless::coverage_path(&corpus::folder());
    if fs::read_to_string(&path).is_ok_and(|text| bless::coverage(cases).is_ok_and(|table| table == text)) {
        return Ok(());
    }
    bless::coverage(cases)?;
    Err(format!("{} is old: cargo run -p conformance -- bless", path.display()).into())
}

fn we_have_no_known_failures(_: &[Case]) -> Result<(), Failed> {
    let known = Known::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("known-failures.toml"))?;
    match known.0.get("legacy-websocket") {
        Some(ours) if !ours.is_empty() => Err(format!("{ours:?}").into()),
        _ => Ok(()),
    }
}
