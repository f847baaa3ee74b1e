//! The specifications' requirements of a server, and the cases that test them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use crate::corpus::Case;

/// The text of `requirements.toml`.
const TEXT: &str = include_str!("../requirements.toml");

/// One requirement of a specification.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Requirement {
    /// Its id, as used in cases.
    pub id: String,
    /// One of [`SPECIFICATIONS`].
    pub specification: String,
    /// Its section.
    pub section: String,
    /// `MUST`, `SHOULD`, `MAY` or `field`.
    pub severity: String,
    /// The requirement, in our words.
    pub text: String,
    /// Why no case tests it, if none does.
    pub reason: Option<String>,
}

/// The names of specifications in `requirements.toml`, and their titles.
const SPECIFICATIONS: [(&str, &str); 5] = [
    ("6455", "RFC 6455"),
    ("hybi", "hybi-07 to -12"),
    ("76", "Draft 76"),
    ("75", "Draft 75"),
    ("75 and 76", "Drafts 75 and 76"),
];

impl Requirement {
    /// The specification, for readers.
    #[must_use]
    pub fn title(&self) -> &str {
        let found = SPECIFICATIONS.iter().find(|(name, _)| *name == self.specification);
        found.map_or(self.specification.as_str(), |(_, title)| title)
    }
}

#[derive(Deserialize)]
struct File {
    requirement: Vec<Requirement>,
}

/// All requirements.
///
/// # Errors
/// The problem with the file.
pub fn requirements() -> Result<Vec<Requirement>, String> {
    toml::from_str::<File>(TEXT).map(|file| file.requirement).map_err(|error| error.to_string())
}

/// Checks that every requirement has either a case or a reason, and that cases name no unknown ones.
///
/// # Errors
/// All problems, one per line.
pub fn check(requirements: &[Requirement], cases: &[&Case]) -> Result<(), String> {
    let mut wrong = String::new();
    let by_id = by_id(cases);
    for requirement in requirements {
        let id = &requirement.id;
        match (by_id.contains_key(id.as_str()), &requirement.reason) {
            (false, None) => drop(writeln!(wrong, "{id} has no case and no reason why not")),
            (true, Some(_)) => drop(writeln!(wrong, "{id} has a case, and a reason why it has none")),
            _ => {}
        }
        if SPECIFICATIONS.iter().all(|(name, _)| *name != requirement.specification) {
            let _ = writeln!(wrong, "{id} is of {}, which is none", requirement.specification);
        }
    }
    for (id, cases) in by_id {
        if !requirements.iter().any(|requirement| requirement.id == id) {
            let _ = writeln!(wrong, "{} names {id}, which is no requirement", cases[0].id);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The coverage table, as in `docs/conformance-coverage.md`.
#[must_use]
pub fn table(requirements: &[Requirement], cases: &[&Case]) -> String {
    let by_id = by_id(cases);
    let mut out = String::from(
        "# What the specifications ask of a server, and which cases test it\n\n\
         Made by `cargo run -p conformance -- bless` from `conformance/requirements.toml` and the corpus: do not edit.\n",
    );
    for (specification, title) in SPECIFICATIONS {
        let _ =
            writeln!(out, "\n## {title}\n\n| requirement | section | severity | cases |\n|---|---|---|---|");
        for requirement in
            requirements.iter().filter(|requirement| requirement.specification == specification)
        {
            let cases = match (by_id.get(requirement.id.as_str()), &requirement.reason) {
                (Some(cases), _) => named(cases),
                (None, reason) => format!("none: {}", reason.as_deref().unwrap_or_default()),
            };
            let Requirement { id, section, severity, text, .. } = requirement;
            let _ = writeln!(out, "| {text} (`{id}`) | {section} | {severity} | {cases} |");
        }
    }
    out
}

/// Maximum cases listed in a row of the table; the rest is a number.
const NAMED: usize = 3;

fn named(cases: &[&Case]) -> String {
    let names: Vec<_> = cases.iter().take(NAMED).map(|case| format!("`{}`", case.id)).collect();
    let more = cases.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}: {}{more}", cases.len(), names.join(", "))
}

fn by_id<'c>(cases: &[&'c Case]) -> BTreeMap<&'c str, Vec<&'c Case>> {
    let mut by_id: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases {
        for id in &case.trace.requirements {
            by_id.entry(id.as_str()).or_default().push(*case);
        }
    }
    by_id
}
