//! A report as JUnit XML.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{Case, Report, Seen, Verdict};

/// Writes a test suite. A case that fails a MUST or a SHOULD is a failure, unless it is a known one: then it is
/// skipped, like cases that are not applicable. A case that differs passes, with the difference as its output.
///
/// # Errors
/// The writer's.
pub fn junit(report: &Report, to: impl Write) -> io::Result<()> {
    let mut xml = quick_junit::Report::new("legacy-websocket conformance");
    xml.add_test_suite(suite(report));
    xml.serialize(to).map_err(io::Error::other)
}

fn suite(report: &Report) -> TestSuite {
    let server = &report.server;
    let mut suite = TestSuite::new(server.name.as_str());
    suite.add_property(("url", server.url.as_str()));
    suite.add_property(("protocols", server.protocols.join(", ").as_str()));
    suite.add_property(("refused", server.refused.join(", ").as_str()));
    suite.add_property(("echo", if server.echo { "true" } else { "false" }));
    suite.add_property(("settings", server.settings.join(", ").as_str()));
    suite.add_property(("started", report.started.as_str()));
    suite.add_test_cases(report.cases.iter().map(test_case));
    suite
}

fn test_case(case: &Case) -> TestCase {
    let mut status = match case.verdict {
        Verdict::Pass | Verdict::Differs => TestCaseStatus::success(),
        Verdict::NotApplicable => TestCaseStatus::skipped(),
        Verdict::FailsMust | Verdict::FailsShould if case.is_failure() => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Verdict::FailsMust | Verdict::FailsShould => TestCaseStatus::skipped(),
    };
    if case.is_failure() {
        status.set_type(case.severity.name()).set_description(description(case));
    }
    match &case.known {
        Some(known) => status.set_message(format!("known failure: {known}")),
        None => status.set_message(case.reason.as_str()),
    };
    let mut test = TestCase::new(case.id.as_str(), status);
    test.set_classname(case.area().replace('/', "."));
    // When the last event happened.
    let milliseconds = case.transcript.last().map_or(0.0, |entry| entry.at);
    test.set_time(Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or_default());
    if case.verdict == Verdict::Differs {
        test.set_system_out(description(case));
    }
    test
}

fn description(case: &Case) -> String {
    let mut text = format!("{} ({})\n{}\n", case.title, case.section, case.reason);
    for (name, list) in [("expected", &case.expected), ("seen", &case.seen)] {
        text.push_str(name);
        text.push_str(":\n");
        list.iter().for_each(|seen: &Seen| _ = writeln!(text, "  {seen}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn each_verdict_has_its_junit_form() {
        let mut xml = Vec::new();
        junit(&samples::report(), &mut xml).unwrap();
        insta::assert_snapshot!("junit", String::from_utf8(xml).unwrap());
    }

    #[test]
    fn characters_invalid_in_xml_are_removed() {
        let mut report = samples::report();
        report.server.name = "<\u{0}&\">\u{1b}[31m".into();
        report.cases[0].reason = "]]>\u{8}\u{fffe}".into();
        report.cases[0].transcript[4].at = -1.0;
        let mut xml = Vec::new();
        junit(&report, &mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        assert!(xml.contains(r#"<testsuite name="&lt;&amp;&quot;&gt;""#), "{xml}");
        quick_junit::Report::deserialize_from_str(&xml).unwrap();
    }
}
