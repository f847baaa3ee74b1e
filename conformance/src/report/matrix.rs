//! Several reports side by side.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Case, Report, Verdict};

/// A matrix of cases by servers.
#[derive(Debug)]
pub(super) struct Matrix<'a> {
    pub(super) columns: Vec<Column<'a>>,
    /// Grouped by area, areas with the gravest failures first, each in ascending order of ids.
    pub(super) rows: Vec<Row<'a>>,
}

/// All runs against the server with one name, because a case may need settings that another case cannot run with.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) runs: Vec<&'a Report>,
}

/// One case.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The description from the first report that contains the case.
    pub(super) case: &'a Case,
    /// The outcome in each column; `None` if it was not run.
    pub(super) cells: Vec<Option<&'a Case>>,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(reports: &'a [Report]) -> Self {
        let mut columns: Vec<Column<'a>> = Vec::new();
        for report in reports {
            match columns.iter_mut().find(|column| column.name == report.server.name) {
                Some(column) => column.runs.push(report),
                None => columns.push(Column { name: &report.server.name, runs: vec![report] }),
            }
        }
        let mut rows: BTreeMap<&str, Row<'a>> = BTreeMap::new();
        for (at, column) in columns.iter().enumerate() {
            for case in column.runs.iter().flat_map(|run| &run.cases) {
                let empty = || Row { case, cells: vec![None; columns.len()] };
                let cell = &mut rows.entry(&case.id).or_insert_with(empty).cells[at];
                // Of two runs, the worse one counts. Not run at all ranks lowest.
                if cell.is_none_or(|other| other.verdict < case.verdict) {
                    *cell = Some(case);
                }
            }
        }
        let mut rows: Vec<_> = rows.into_values().collect();
        let mut failing: BTreeMap<&str, Reverse<Verdict>> = BTreeMap::new();
        for row in &rows {
            let worst = failing.entry(row.case.area()).or_insert(Reverse(Verdict::Pass));
            let failures = row.cells.iter().flatten().filter(|case| case.is_failure());
            *worst = failures.map(|case| Reverse(case.verdict)).min().unwrap_or(*worst).min(*worst);
        }
        rows.sort_by_key(|row| (failing.get(row.case.area()).copied(), row.case.area()));
        Self { columns, rows }
    }
}

/// How often each outcome occurs among some cells of a column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    verdicts: [usize; Verdict::ALL.len()],
    /// Known failures among those that fail.
    pub(super) known: usize,
    pub(super) not_run: usize,
}

impl<'a> FromIterator<Option<&'a Case>> for Counts {
    fn from_iter<T: IntoIterator<Item = Option<&'a Case>>>(cells: T) -> Self {
        let mut counts = Self::default();
        for cell in cells {
            match cell {
                Some(case) => {
                    counts.verdicts[case.verdict as usize] += 1;
                    counts.known += usize::from(case.known.is_some());
                }
                None => counts.not_run += 1,
            }
        }
        counts
    }
}

impl Counts {
    pub(super) fn of(&self, verdict: Verdict) -> usize {
        self.verdicts[verdict as usize]
    }

    /// The number of applicable cases.
    pub(super) fn run(&self) -> usize {
        self.verdicts.iter().sum::<usize>() - self.of(Verdict::NotApplicable)
    }

    /// The worst verdict; `None` if nothing was run.
    pub(super) fn worst(&self) -> Option<Verdict> {
        Verdict::ALL.into_iter().filter(|verdict| self.of(*verdict) > 0).max()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn named(name: &str, cases: &[(&str, Verdict)]) -> Report {
        let server = samples::server(name);
        let cases = cases.iter().map(|(id, verdict)| samples::of(id, *verdict)).collect();
        Report { server, cases, ..samples::report() }
    }

    fn verdicts<'a>(matrix: &Matrix<'a>) -> Vec<(&'a str, Vec<Option<Verdict>>)> {
        let verdicts = |row: &Row<'_>| row.cells.iter().map(|cell| cell.map(|case| case.verdict)).collect();
        matrix.rows.iter().map(|row| (row.case.id.as_str(), verdicts(row))).collect()
    }

    #[test]
    fn a_case_missing_from_a_report_counts_as_not_run() {
        let reports = [
            named("one", &[("b", Verdict::Pass), ("c", Verdict::Differs)]),
            named("two", &[("a", Verdict::FailsMust), ("b", Verdict::NotApplicable)]),
        ];
        let expected = [
            ("a", vec![None, Some(Verdict::FailsMust)]),
            ("b", vec![Some(Verdict::Pass), Some(Verdict::NotApplicable)]),
            ("c", vec![Some(Verdict::Differs), None]),
        ];
        assert_eq!(verdicts(&Matrix::new(&reports)), expected);
    }

    #[test]
    fn runs_of_one_server_share_a_column_with_the_most_informative_outcome() {
        use Verdict::*;
        let reports = [
            named("one", &[("a", NotApplicable), ("b", Pass), ("c", FailsMust), ("d", NotApplicable)]),
            named(
                "one",
                &[("a", Pass), ("b", NotApplicable), ("c", Pass), ("d", NotApplicable), ("e", Pass)],
            ),
        ];
        let matrix = Matrix::new(&reports);
        assert_eq!(matrix.columns.len(), 1);
        assert_eq!(matrix.columns[0].runs.len(), 2);
        let expected = [("a", Pass), ("b", Pass), ("c", FailsMust), ("d", NotApplicable), ("e", Pass)];
        assert_eq!(verdicts(&matrix), expected.map(|(id, verdict)| (id, vec![Some(verdict)])));
    }

    #[test]
    fn a_nested_area_does_not_split_its_parent() {
        let cases = ["a/b", "a/b/c", "a/c"].map(|id| (id, Verdict::Pass));
        let reports = [named("one", &cases)];
        let matrix = Matrix::new(&reports);
        assert_eq!(
            matrix.rows.iter().map(|row| row.case.id.as_str()).collect::<Vec<_>>(),
            ["a/b", "a/c", "a/b/c"]
        );
    }

    #[test]
    fn failing_areas_come_first() {
        let mut report = named(
            "one",
            &[
                ("a/x", Verdict::Pass),
                ("b/x", Verdict::FailsMust),
                ("c/x", Verdict::FailsShould),
                ("d/x", Verdict::Pass),
                ("d/y", Verdict::FailsMust),
                ("e/x", Verdict::Differs),
            ],
        );
        report.cases[1].known = Some("known".into());
        let reports = [report];
        let ids: Vec<_> = Matrix::new(&reports).rows.iter().map(|row| row.case.id.as_str()).collect();
        assert_eq!(ids, ["d/x", "d/y", "c/x", "a/x", "b/x", "e/x"]);
    }

    #[test]
    fn counts_give_the_cases_run_and_the_worst_verdict() {
        let report = samples::report();
        let counts: Counts = report.cases.iter().map(Some).chain([None]).collect();
        assert_eq!((counts.run(), counts.known, counts.not_run), (5, 1, 1));
        assert_eq!(counts.of(Verdict::FailsShould), 2);
        assert_eq!(counts.worst(), Some(Verdict::FailsMust));
        assert_eq!(Counts::default().worst(), None);
    }
}
