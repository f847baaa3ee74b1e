//! What has to hold of the corpus itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conformance::corpus::{self, Case};
use conformance::known::Known;
use conformance::{expectation, requirements, settings};
use legacy_websocket_trace::Severity;
use libtest_mimic::{Failed, Trial};

type Run = fn(&[&Case]) -> Result<(), Failed>;

pub(crate) fn trials(cases: &[Arc<Case>], bless: bool) -> Vec<Trial> {
    let all: [(&str, Run); 6] = [
        ("no-orphaned-snapshots", no_orphaned_snapshots),
        ("settings-exist", settings_exist),
        ("files-are-as-printed", files_are_as_printed),
        ("requirements-are-covered", requirements_are_covered),
        ("coverage-table-is-current", if bless { write_coverage } else { coverage_is_current }),
        ("we-have-no-known-failures", we_have_no_known_failures),
    ];
    let cases: Arc<[Arc<Case>]> = cases.into();
    let trial = |(name, run): (&str, Run)| {
        let cases = Arc::clone(&cases);
        Trial::test(format!("suite/{name}"), move || {
            run(&cases.iter().map(AsRef::as_ref).collect::<Vec<_>>())
        })
    };
    all.into_iter().map(trial).collect()
}

/// Removes snapshots of cases that are gone.
pub(crate) fn remove_orphans(cases: &[Arc<Case>]) {
    let cases: Vec<_> = cases.iter().map(AsRef::as_ref).collect();
    for orphan in orphans(&cases) {
        fs::remove_file(&orphan).unwrap_or_else(|error| panic!("{}: {error}", orphan.display()));
    }
}

fn orphans(cases: &[&Case]) -> Vec<PathBuf> {
    let folder = expectation::folder();
    let known: BTreeSet<_> = cases.iter().map(|case| expectation::path(&folder, &case.id)).collect();
    let found = corpus::files(&folder, "snap").unwrap_or_else(|error| panic!("{error}"));
    found.into_iter().filter(|path| !known.contains(path)).collect()
}

fn no_orphaned_snapshots(cases: &[&Case]) -> Result<(), Failed> {
    let orphans = orphans(cases);
    if orphans.is_empty() { Ok(()) } else { Err(format!("no case has these snapshots: {orphans:?}").into()) }
}

fn settings_exist(cases: &[&Case]) -> Result<(), Failed> {
    for case in cases {
        for settings in case.all_settings() {
            settings::options(&settings).map_err(|error| format!("{}: {error}", case.id))?;
        }
    }
    Ok(())
}

/// So that a recording and a case look alike, and nothing is in a file that a reader of the format would lose.
fn files_are_as_printed(cases: &[&Case]) -> Result<(), Failed> {
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

fn requirements_are_covered(cases: &[&Case]) -> Result<(), Failed> {
    requirements::check(&requirements::requirements()?, cases)?;
    let without = |case: &&&Case| {
        matches!(case.trace.severity, Severity::Must | Severity::Should) && case.trace.requirements.is_empty()
    };
    match cases.iter().find(without) {
        Some(case) => Err(format!("{}: a MUST or SHOULD names what it tests", case.id).into()),
        None => Ok(()),
    }
}

fn coverage() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance-coverage.md")
}

fn coverage_is_current(cases: &[&Case]) -> Result<(), Failed> {
    let table = requirements::table(&requirements::requirements()?, cases);
    if fs::read_to_string(coverage()).is_ok_and(|text| text == table) {
        return Ok(());
    }
    Err(format!("{} is old: BLESS=1 cargo test -p conformance", coverage().display()).into())
}

fn write_coverage(cases: &[&Case]) -> Result<(), Failed> {
    let table = requirements::table(&requirements::requirements()?, cases);
    Ok(fs::write(coverage(), table)?)
}

fn we_have_no_known_failures(_: &[&Case]) -> Result<(), Failed> {
    let known = Known::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("known-failures.toml"))?;
    match known.0.get("legacy-websocket") {
        Some(ours) if !ours.is_empty() => Err(format!("{ours:?}").into()),
        _ => Ok(()),
    }
}
