//! A report for the terminal.

use std::cmp::Reverse;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::matrix::Counts;
use super::{Case, Report, Verdict};

/// Writes the cases that do not pass, grouped by the difference between what was expected and what was seen (at most
/// `max_cases` cases per group, one per line; at most `max_differs` groups of those that only differ), and the number
/// of cases per verdict. The output is coloured: pass an `anstream` stream.
///
/// # Errors
/// The writer's.
pub fn summary(report: &Report, max_cases: usize, max_differs: usize, mut to: impl Write) -> io::Result<()> {
    let of =
        |verdict| report.cases.iter().filter(move |case| case.verdict == verdict && case.known.is_none());
    let counts: Counts = report.cases.iter().map(Some).collect();
    let known = report.cases.iter().filter(|case| case.known.is_some());
    for (reason, cases) in groups(known, |case| case.known.as_deref().unwrap_or_default()) {
        writeln!(to, "{DIM}known: {}: {}{DIM:#}", printable(reason), number(cases.len()))?;
    }
    for verdict in [Verdict::FailsMust, Verdict::FailsShould] {
        for (cause, cases) in groups(of(verdict), cause) {
            group(verdict, cause, &cases, max_cases, &mut to)?;
        }
    }
    let differs = groups(of(Verdict::Differs), cause);
    for (cause, cases) in differs.iter().take(max_differs) {
        group(Verdict::Differs, cause, cases, max_cases, &mut to)?;
    }
    let more: usize = differs.iter().skip(max_differs).map(|(_, cases)| cases.len()).sum();
    if more > 0 {
        writeln!(to, "{DIM}… and {more} more that differ{DIM:#}")?;
    }
    for protocol in &report.server.refused {
        let reason = format!("every handshake of {protocol} is refused");
        let cases = report.cases.iter().filter(|case| case.reason == reason).count();
        writeln!(to, "{DIM}{}: {} not applicable{DIM:#}", printable(&reason), number(cases))?;
    }
    let bold = Style::new().bold();
    write!(to, "{bold}{}{bold:#}:", printable(&report.server.name))?;
    for (at, verdict) in Verdict::ALL.into_iter().enumerate() {
        let count = counts.of(verdict);
        let style = if count == 0 { DIM } else { style(verdict) };
        write!(to, "{} {style}{count} {}{style:#}", if at == 0 { "" } else { "," }, label(verdict, count))?;
    }
    match counts.known {
        0 => writeln!(to),
        1 => writeln!(to, " (1 known failure)"),
        known => writeln!(to, " ({known} known failures)"),
    }
}

/// Groups cases by what they have in common, largest group first.
fn groups<'a>(
    cases: impl Iterator<Item = &'a Case>,
    key: impl Fn(&'a Case) -> &'a str,
) -> Vec<(&'a str, Vec<&'a Case>)> {
    let mut groups: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in cases {
        match groups.iter_mut().find(|(of, _)| *of == key(case)) {
            Some((_, group)) => group.push(case),
            None => groups.push((key(case), vec![case])),
        }
    }
    groups.sort_by_key(|(_, cases)| Reverse(cases.len()));
    groups
}

/// Reports from before causes were introduced have only reasons.
fn cause(case: &Case) -> &str {
    if case.cause.is_empty() { &case.reason } else { &case.cause }
}

fn group(
    verdict: Verdict,
    cause: &str,
    cases: &[&Case],
    max_cases: usize,
    to: &mut impl Write,
) -> io::Result<()> {
    let style = style(verdict);
    writeln!(to, "{style}{}{style:#}: {}: {}", label(verdict, 1), printable(cause), number(cases.len()))?;
    let shown = &cases[..cases.len().min(max_cases)];
    let width = |of: fn(&Case) -> &str, most| {
        shown.iter().map(|case| of(case).chars().count()).max().unwrap_or(0).min(most)
    };
    let (names, sections) = (width(|case| &case.id, 48), width(|case| &case.section, 24));
    for case in shown {
        let (id, section) = (printable(&case.id), printable(&case.section));
        let reason = printable(&case.reason);
        writeln!(to, "  {id:<names$}  {DIM}{section:<sections$}{DIM:#}  {reason}")?;
    }
    match cases.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(to, "  {DIM}… and {more} more{DIM:#}"),
    }
}

fn number(cases: usize) -> String {
    format!("{cases} case{}", if cases == 1 { "" } else { "s" })
}

const DIM: Style = Style::new().dimmed();

fn label(verdict: Verdict, count: usize) -> &'static str {
    match (verdict, count) {
        (Verdict::Pass, 1) => "passes",
        (Verdict::Pass, _) => "pass",
        (Verdict::FailsMust, 1) => "fails a MUST",
        (Verdict::FailsMust, _) => "fail a MUST",
        (Verdict::FailsShould, 1) => "fails a SHOULD",
        (Verdict::FailsShould, _) => "fail a SHOULD",
        (Verdict::Differs, 1) => "differs",
        (Verdict::Differs, _) => "differ",
        (Verdict::NotApplicable, _) => "not applicable",
    }
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => AnsiColor::Green.on_default(),
        Verdict::FailsMust => AnsiColor::Red.on_default().bold(),
        Verdict::FailsShould => AnsiColor::Yellow.on_default().bold(),
        Verdict::Differs => AnsiColor::Magenta.on_default(),
        Verdict::NotApplicable => DIM,
    }
}

/// Truncates the text, and removes anything that could control the terminal, because it may contain the server's own
/// words.
fn printable(text: &str) -> String {
    const MAX: usize = 120;
    let mut printable = String::new();
    for (at, char) in text.chars().enumerate() {
        if at == MAX {
            printable.push('…');
            break;
        }
        if char.is_control() { printable.extend(char.escape_default()) } else { printable.push(char) }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn plain(report: &Report, max_cases: usize, max_differs: usize) -> String {
        let mut text = anstream::StripStream::new(Vec::new());
        summary(report, max_cases, max_differs, &mut text).unwrap();
        String::from_utf8(text.into_inner()).unwrap()
    }

    #[test]
    fn failures_are_grouped_by_cause() {
        let text = plain(&samples::report(), 5, 5);
        assert_eq!(
            text,
            "\
known: its author knows: 1 case
fails a MUST: expected a message, saw end: 1 case
  closing/answered  76 s5.2 step 5  the connection ended
fails a SHOULD: expected a message, saw end: 1 case
  handshake/76/late  76 s5.2 step 5  the connection ended
differs: expected a message, saw end: 1 case
  handshake/76/odd  76 s5.2 step 5  the connection ended
every handshake of hybi7 is refused: 0 cases not applicable
sample: 1 passes, 1 fails a MUST, 2 fail a SHOULD, 1 differs, 1 not applicable (1 known failure)
"
        );
    }

    #[test]
    fn one_bug_is_one_group_and_long_groups_are_truncated() {
        let mut report = samples::report();
        report.cases = (0..300).map(|at| samples::of(&format!("a/{at}"), Verdict::FailsMust)).collect();
        report.cases.extend((0..3).map(|at| samples::of(&format!("b/{at}"), Verdict::Differs)));
        let text = plain(&report, 4, 0);
        assert!(text.starts_with("fails a MUST: expected a message, saw end: 300 cases\n  a/0  "), "{text}");
        assert!(text.contains("  … and 296 more\n… and 3 more that differ\n"), "{text}");
        assert_eq!(text.lines().count(), 9);
    }

    #[test]
    fn server_output_cannot_control_the_terminal() {
        let mut report = samples::report();
        report.server.name = "\u{1b}[2J".into();
        report.cases[0].reason = format!("\u{9b}31m\r{}", "x".repeat(1000));
        report.cases[0].cause = "\u{1b}[2J".into();
        let mut text = Vec::new();
        summary(&report, 5, 5, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{9b}') && !text.contains('\r'));
        assert!(text.contains(r"\u{1b}[2J") && text.lines().all(|line| line.len() < 400), "{text}");
    }
}
