//! Reports as one self-contained page: a matrix of cases by servers.

use std::io::{self, Write};

use legacy_websocket_trace::{Protocol, Severity};
use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::matrix::{Counts, Matrix, Row};
use super::{Report, Verdict, details};

/// Writes the page. Reports on servers with the same name share a column: of two runs of a case, the worse one counts.
/// Without scripts it shows the matrix; with scripts, cells can be opened and cases filtered.
///
/// # Errors
/// The writer's.
pub fn html(reports: &[Report], mut to: impl Write) -> io::Result<()> {
    let matrix = Matrix::new(reports);
    let details = details::json(&matrix)?;
    let page = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing is loaded, whatever a server managed to inject.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                meta name="color-scheme" content="light dark";
                title { "WebSocket conformance" }
                style { (PreEscaped(include_str!("html/style.css"))) }
            }
            body style={ "--servers:" (matrix.columns.len()) } {
                (heading(&matrix))
                main {
                    (servers(&matrix))
                    (filters(matrix.columns.len()))
                    (cases(&matrix))
                }
                (runs(&matrix))
                script type="application/json" { (PreEscaped(details)) }
                script { (PreEscaped(include_str!("html/script.js"))) }
            }
        }
    };
    to.write_all(page.into_string().as_bytes())
}

fn heading(matrix: &Matrix<'_>) -> Markup {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    markup! {
        header {
            h1 { "WebSocket conformance" }
            p {
                "draft-hixie-75 and -76, hybi-07 to -12, RFC 6455 · " (plural(matrix.rows.len(), "case")) " · "
                (plural(matrix.columns.len(), "server"))
            }
        }
    }
}

/// One line per server.
fn servers(matrix: &Matrix<'_>) -> Markup {
    let counts = |at: usize| matrix.rows.iter().map(|row| row.cells[at]).collect::<Counts>();
    let counts: Vec<Counts> = (0..matrix.columns.len()).map(counts).collect();
    let known = counts.iter().any(|counts| counts.known > 0);
    let all_run = counts.iter().all(|counts| counts.not_run == 0);
    let outcomes = &Outcome::ALL[..Outcome::ALL.len() - usize::from(all_run)];
    markup! {
        table.servers {
            thead {
                tr {
                    th scope="col" { "Server" }
                    th scope="col" { span.hide { "Shares" } }
                    @for outcome in outcomes { th.count scope="col" { (outcome.long()) } }
                    @if known { th.count scope="col" { "known †" } }
                }
            }
            tbody {
                @for (column, counts) in matrix.columns.iter().zip(&counts) {
                    tr {
                        th scope="row" { (column.name) }
                        td.bars { div.bar style=(bar(counts)) {} }
                        @for outcome in outcomes {
                            td class={ (outcome.class()) " count" } data-label=(outcome.long()) {
                                (number(outcome.count(counts)))
                            }
                        }
                        @if known { td.count data-label="known †" { (number(counts.known)) } }
                    }
                }
            }
        }
    }
}

fn number(number: usize) -> Markup {
    markup! { @match number { 0 => { "0" } _ => { b { (number) } } } }
}

/// How each server was checked.
fn runs(matrix: &Matrix<'_>) -> Markup {
    markup! {
        footer {
            h2 { "Runs" }
            ul {
                @for run in matrix.columns.iter().flat_map(|column| &column.runs) {
                    li {
                        b { (run.server.name) } " " (run.server.url)
                        @if !run.server.protocols.is_empty() { " · speaks " (run.server.protocols.join(", ")) }
                        @if !run.server.refused.is_empty() { " · refuses " (run.server.refused.join(", ")) }
                        @if run.server.echo { " · echo" }
                        @for setting in &run.server.settings { " · " (setting) }
                        " · " time { (run.started) }
                    }
                }
            }
        }
    }
}

/// Useless without scripts, and hidden then.
fn filters(servers: usize) -> Markup {
    let severities = [Severity::Must, Severity::Should, Severity::May, Severity::Field];
    markup! {
        form.filters role="search" {
            p {
                input type="search" name="text" placeholder="Name, title, section, reason" aria-label="Text";
                output {}
                button type="reset" { "Clear" }
                button type="button" name="fold" { "Expand all" }
            }
            fieldset {
                legend { @if servers > 1 { "Some server" } @else { "Verdict" } }
                @for outcome in Outcome::ALL {
                    label {
                        input type="checkbox" name="outcome" value=(outcome.class());
                        span class={ (outcome.class()) " chip" } { (outcome.short()) }
                        " " (outcome.long())
                    }
                }
                @if servers > 1 {
                    label { input type="checkbox" name="disagree"; " disagrees with another" }
                }
            }
            fieldset {
                legend { "Severity" }
                @for severity in severities {
                    label { input type="checkbox" name="severity" value=(severity.name()); " " (severity.name()) }
                }
            }
            fieldset {
                legend { "Protocol" }
                @for protocol in Protocol::ALL.map(Protocol::name) {
                    label { input type="checkbox" name="protocol" value=(protocol); " " (protocol) }
                }
            }
        }
    }
}

fn cases(matrix: &Matrix<'_>) -> Markup {
    markup! {
        table.cases.dense[matrix.columns.len() > 8] {
            caption.hide { "Cases by servers" }
            colgroup {
                col;
                col.section;
                @for _ in &matrix.columns { col.server; }
            }
            thead {
                tr {
                    th scope="col" { "Case" }
                    th.section scope="col" { "Section" }
                    @for column in &matrix.columns { th.server scope="col" title=(column.name) { span { (column.name) } } }
                }
            }
            @for rows in matrix.rows.chunk_by(|one, other| one.case.area() == other.case.area()) {
                (area(rows))
            }
        }
    }
}

fn area(rows: &[Row<'_>]) -> Markup {
    let Some(first) = rows.first() else { return Markup::default() };
    markup! {
        tbody {
            tr.area {
                th scope="rowgroup" colspan="2" {
                    button type="button" aria-expanded="true" {
                        @for (at, part) in first.case.area().split('/').enumerate() {
                            @if at > 0 { "/" wbr; }
                            (part)
                        }
                    }
                    " " span { (rows.len()) }
                }
                @for at in 0..first.cells.len() {
                    @let counts: Counts = rows.iter().map(|row| row.cells[at]).collect();
                    @let worst = counts.worst().map_or(Outcome::NotRun, Outcome::Run);
                    td class=(worst.class()) {
                        @match counts.run() {
                            0 => { (worst.short()) }
                            run => { (counts.of(Verdict::Pass)) i { "/" (run) } div.bar style=(bar(&counts)) {} }
                        }
                    }
                }
            }
            @for row in rows { (case(row)) }
        }
    }
}

fn case(row: &Row<'_>) -> Markup {
    let Row { case, cells } = row;
    let name = case.id.rsplit('/').next().unwrap_or(&case.id);
    markup! {
        tr.case id=(case.id) data-severity=(case.severity.name()) data-protocol=(case.protocol.name()) {
            th scope="row" { b { (name) } " " span { (case.title) } }
            td.section {
                span class=(case.severity.name()) { (case.severity.name()) }
                @if case.section != case.severity.name() { " " (case.section) }
            }
            @for cell in cells {
                @let outcome = cell.map_or(Outcome::NotRun, |case| Outcome::Run(case.verdict));
                @match cell.and_then(|case| case.known.as_ref()) {
                    Some(_) => { td class={ (outcome.class()) " known" } { (outcome.short()) "†" } }
                    None => { td class=(outcome.class()) { (outcome.short()) } }
                }
            }
        }
    }
}

/// The proportions of the outcomes, as a style.
fn bar(counts: &Counts) -> String {
    let total: usize = Outcome::ALL.iter().map(|outcome| outcome.count(counts)).sum();
    let mut end = 0.0;
    let stops = Outcome::ALL.iter().filter(|outcome| outcome.count(counts) > 0).map(|outcome| {
        let start = end;
        end += 100.0 * outcome.count(counts) as f64 / total as f64;
        format!("var(--{}) {start:.1}% {end:.1}%", outcome.class())
    });
    format!("background:linear-gradient(90deg,{})", stops.collect::<Vec<_>>().join(","))
}

/// The content of a cell.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Run(Verdict),
    NotRun,
}

impl Outcome {
    const ALL: [Self; 6] = {
        let [a, b, c, d, e] = Verdict::ALL;
        [Self::Run(a), Self::Run(b), Self::Run(c), Self::Run(d), Self::Run(e), Self::NotRun]
    };

    fn count(self, counts: &Counts) -> usize {
        match self {
            Self::Run(verdict) => counts.of(verdict),
            Self::NotRun => counts.not_run,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Run(Verdict::Pass) => "pass",
            Self::Run(Verdict::FailsMust) => "must",
            Self::Run(Verdict::FailsShould) => "should",
            Self::Run(Verdict::Differs) => "differs",
            Self::Run(Verdict::NotApplicable) => "na",
            Self::NotRun => "none",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::Run(Verdict::Pass) => "✓",
            Self::Run(Verdict::FailsMust) => "MUST",
            Self::Run(Verdict::FailsShould) => "SHOULD",
            Self::Run(Verdict::Differs) => "≠",
            Self::Run(Verdict::NotApplicable) => "n/a",
            Self::NotRun => "–",
        }
    }

    fn long(self) -> &'static str {
        match self {
            Self::Run(Verdict::Pass) => "passes",
            Self::Run(Verdict::FailsMust) => "fails a MUST",
            Self::Run(Verdict::FailsShould) => "fails a SHOULD",
            Self::Run(Verdict::Differs) => "differs",
            Self::Run(Verdict::NotApplicable) => "not applicable",
            Self::NotRun => "not run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn page(reports: &[Report]) -> String {
        let mut page = Vec::new();
        html(reports, &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn the_matrix_has_a_row_per_case_and_a_cell_per_server() {
        let one = samples::report();
        let mut two = samples::report();
        two.server.name = "other".into();
        two.cases.remove(0);
        let page = page(&[one.clone(), two]);
        for case in &one.cases {
            let row = page.split_once(&format!(r#"<tr class="case" id="{}""#, case.id)).unwrap().1;
            let row = row.split_once("</tr>").unwrap().0;
            let outcome = Outcome::Run(case.verdict);
            let (class, mark) = if case.known.is_some() { (" known", "†") } else { ("", "") };
            let cell = format!(r#"<td class="{}{class}">{}{mark}</td>"#, outcome.class(), outcome.short());
            let none = r#"<td class="none">–</td>"#;
            let other = if case.id == one.cases[0].id { none } else { cell.as_str() };
            assert!(row.ends_with(&format!("{cell}{other}")), "{row}");
            assert!(row.contains(&case.title) && row.contains(&case.section));
        }
    }

    #[test]
    fn hostile_text_is_escaped_and_nothing_is_loaded() {
        const EVIL: &str = r#""'></script></style></title><script>alert(1)</script><img src="x"><!--&"#;
        let mut report = samples::report();
        let server = &mut report.server;
        (server.name, server.url) = (EVIL.into(), EVIL.into());
        (server.protocols, server.refused) = (vec![EVIL.into()], vec![EVIL.into()]);
        server.settings = vec![EVIL.into()];
        report.started = EVIL.into();
        for (at, case) in report.cases.iter_mut().enumerate() {
            (case.id, case.title, case.section) = (format!("{EVIL}/{at}"), EVIL.into(), EVIL.into());
            (case.reason, case.known) = (EVIL.into(), Some(EVIL.into()));
            case.expected.iter_mut().chain(&mut case.seen).for_each(|seen| seen.what = EVIL.into());
            case.transcript
                .iter_mut()
                .for_each(|entry| (entry.bytes, entry.frame) = (EVIL.into(), EVIL.into()));
        }
        let page = page(&[report]);
        let harmless = self::page(&[samples::report()]);
        for tag in ["<script", "</script", "<style", "</style", "<title", "</title", "<img", "<!--"] {
            assert_eq!(page.matches(tag).count(), harmless.matches(tag).count(), "{tag}");
        }
        assert!(page.contains("&lt;/script&gt;") && page.contains("\\u003c/script>"));
        for loads in ["http://", "https://", "@import", "url(", " src=", "<link"] {
            assert!(!harmless.contains(loads), "{loads}");
        }
    }
}
