//! The JSON form of a report.

use std::io::{self, Read, Write};

use legacy_websocket_trace::{Protocol, Severity};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{FORMAT, Report};

impl Report {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(mut from: impl Read) -> Result<Self, ReadError> {
        let mut json = Vec::new();
        from.read_to_end(&mut json)?;
        // Check the version first: any other error caused by a different version would be puzzling.
        match serde_json::from_slice(&json)? {
            Version { format: FORMAT } => Ok(serde_json::from_slice(&json)?),
            Version { format } => Err(ReadError::Version(format)),
        }
    }

    /// Writes the JSON form.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, self)?;
        to.write_all(b"\n")
    }
}

/// Why a report could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not valid JSON, or not a report.
    #[error("not a conformance report: {0}")]
    Json(#[from] serde_json::Error),
    /// It has another version.
    #[error("a conformance report of format {0}; this program reads format {FORMAT}")]
    Version(u32),
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Protocol", rename_all = "lowercase")]
pub(super) enum ProtocolName {
    Draft75,
    Draft76,
    Hybi7,
    Hybi8,
    Rfc6455,
    None,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Severity")]
pub(super) enum SeverityName {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "MAY")]
    May,
    #[serde(rename = "field")]
    Field,
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_report_round_trips_through_json() {
        let report = samples::report();
        let mut json = Vec::new();
        report.write(&mut json).unwrap();
        assert_eq!(Report::read(json.as_slice()).unwrap(), report);
    }

    #[test]
    fn the_documented_report_is_valid() {
        let page = include_str!("../../../docs/conformance-reports.md");
        let json = page.split_once("```json").unwrap().1.split_once("```").unwrap().0;
        let report = Report::read(json.as_bytes()).unwrap();
        assert_eq!(report.cases[0].transcript.len(), 3);
    }

    #[test]
    fn names_match_the_trace_format() {
        let json = serde_json::to_value(samples::report()).unwrap();
        for (case, json) in samples::report().cases.iter().zip(json["cases"].as_array().unwrap()) {
            assert_eq!(
                (&json["severity"], &json["protocol"]),
                (&case.severity.name().into(), &case.protocol.name().into())
            );
        }
    }

    #[test]
    fn another_version_is_refused_regardless_of_its_content() {
        let error = Report::read(br#"{"format": 1, "cases": {}}"#.as_slice()).unwrap_err();
        assert_eq!(error.to_string(), "a conformance report of format 1; this program reads format 2");
    }

    #[test]
    fn an_invalid_report_is_refused_with_its_position() {
        let cut = r#"{"format": 2, "server"#;
        let bad = serde_json::to_string(&samples::report()).unwrap().replacen(r#""MUST""#, r#""MIGHT""#, 1);
        for (json, says) in [("", "EOF"), ("[]", "line 1"), (cut, "line 1 column 21"), (&bad, "`MIGHT`")] {
            let error = Report::read(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("not a conformance report: ") && error.contains(says), "{error}");
        }
    }
}
