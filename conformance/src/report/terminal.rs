//! A report for the terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::matrix::Counts;
use super::{Case, Report, Seen, Verdict};

/// Writes what does not pass, each case on a line (of those that only differ no more than `max_differs`), and
/// how many cases came to which verdict. It is coloured: give it to an `anstream` stream.
///
/// # Errors
/// Those of `to`.
pub fn summary(report: &Report, max_differs: usize, mut to: impl Write) -> io::Result<()> {
    let of = |verdict| report.cases.iter().filter(move |case| case.verdict == verdict);
    let counts: Counts = report.cases.iter().map(Some).collect();
    let width = report.cases.iter().map(|case| case.id.chars().count()).max().unwrap_or(0).min(48);
    for verdict in [Verdict::FailsMust, Verdict::FailsShould] {
        of(verdict).try_for_each(|case| line(case, width, &mut to))?;
    }
    of(Verdict::Differs).take(max_differs).try_for_each(|case| line(case, width, &mut to))?;
    let more = counts.of(Verdict::Differs).saturating_sub(max_differs);
    if more > 0 {
        writeln!(to, "{DIM}        … and {more} more that differ{DIM:#}")?;
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

const DIM: Style = Style::new().dimmed();

fn line(case: &Case, width: usize, to: &mut impl Write) -> io::Result<()> {
    let (word, style) = match case.verdict {
        _ if case.known.is_some() => ("known", DIM),
        Verdict::Differs => ("differs", style(case.verdict)),
        verdict => (case.severity.name(), style(verdict)),
    };
    let (id, section) = (printable(&case.id), printable(&case.section));
    write!(to, "{style}{word:<7}{style:#} {id:<width$} {DIM}{section}{DIM:#} ")?;
    let at = case.expected.iter().zip(&case.seen).take_while(|(expected, seen)| expected == seen).count();
    let (expected, seen) = (case.expected.get(at), case.seen.get(at));
    let nothing = |seen: Option<&Seen>| seen.map_or("nothing".into(), |seen| printable(&seen.what));
    match expected.or(seen) {
        Some(first) => {
            let place = first.to_string();
            let place = place.strip_suffix(&first.what).unwrap_or_default();
            write!(to, "{place}expected {}, saw {}", nothing(expected), nothing(seen))?;
        }
        None => write!(to, "{}", printable(&case.reason))?,
    }
    match &case.known {
        Some(known) => writeln!(to, " {DIM}[{}]{DIM:#}", printable(known)),
        None => writeln!(to),
    }
}

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

/// Without what could steer the terminal, for the server's own words may be in it, and cut.
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

    fn plain(report: &Report, max_differs: usize) -> String {
        let mut text = anstream::StripStream::new(Vec::new());
        summary(report, max_differs, &mut text).unwrap();
        String::from_utf8(text.into_inner()).unwrap()
    }

    #[test]
    fn what_does_not_pass_has_a_line_with_the_first_difference() {
        insta::assert_snapshot!("terminal", plain(&samples::report(), 10));
    }

    #[test]
    fn what_differs_is_cut() {
        let mut report = samples::report();
        report.cases = vec![samples::of("a/differs", Verdict::Differs); 3];
        let text = plain(&report, 1);
        assert_eq!(text.matches("a/differs").count(), 1);
        assert!(text.contains("… and 2 more that differ\n"), "{text}");
    }

    #[test]
    fn a_missing_and_a_surplus_end_are_said() {
        let mut report = samples::report();
        let mut missing = samples::of("a/missing", Verdict::FailsMust);
        missing.seen.truncate(1);
        let mut surplus = samples::of("a/surplus", Verdict::FailsMust);
        surplus.expected.clear();
        surplus.seen[0].connection = 2;
        report.cases = vec![missing, surplus];
        let text = plain(&report, 0);
        assert!(text.contains(r#"turn 2: expected message "h\u00e9", saw nothing"#), "{text}");
        assert!(text.contains("connection 2, turn 1: expected nothing, saw accepted"), "{text}");
    }

    #[test]
    fn the_servers_words_do_not_steer_the_terminal() {
        let mut report = samples::report();
        report.server.name = "\u{1b}[2J".into();
        report.cases[0].seen[1].what = format!("\u{9b}31m\r{}", "x".repeat(1000));
        let mut text = Vec::new();
        summary(&report, 0, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{9b}') && !text.contains('\r'));
        assert!(text.contains(r"\u{1b}[2J") && text.lines().all(|line| line.len() < 400), "{text}");
    }
}
