//! Reports on a command line.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use super::{ReadError, Report, html, junit, summary};

/// `conformance report`.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Command {
    /// Reports that `check --json` wrote. Those on servers of one name become one column.
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// Where they go.
    #[command(flatten)]
    pub outputs: Outputs,
}

/// What is made of reports beside the summary on standard output.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Outputs {
    /// Write a page with a matrix of cases and servers.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Write JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Of the cases that only differ, list no more than this.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub max_differs: usize,
}

/// Why reports could not be read or written.
#[derive(Debug, Error)]
#[error("{}: {why}", path.display())]
#[non_exhaustive]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub why: ReadError,
}

impl Command {
    /// Reads the reports and writes what is asked for. Returns them.
    ///
    /// # Errors
    /// Those of the files.
    pub fn run(&self) -> Result<Vec<Report>, OutputError> {
        let read = |path: &PathBuf| {
            let report = File::open(path).map_err(ReadError::from).and_then(Report::read);
            report.map_err(|why| OutputError { path: path.clone(), why })
        };
        let reports = self.reports.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        self.outputs.write(&reports)?;
        Ok(reports)
    }
}

impl Outputs {
    /// Writes what is asked for, and the summaries on standard output.
    ///
    /// # Errors
    /// Those of the files.
    pub fn write(&self, reports: &[Report]) -> Result<(), OutputError> {
        if let Some(path) = &self.html {
            to_file(path, |file| html(reports, file))?;
        }
        if let Some(path) = &self.junit {
            to_file(path, |file| junit(reports, file))?;
        }
        let mut stdout = anstream::stdout().lock();
        let written = reports.iter().try_for_each(|report| summary(report, self.max_differs, &mut stdout));
        written.map_err(|why| OutputError { path: "standard output".into(), why: why.into() })
    }
}

fn to_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), OutputError> {
    let written = File::create(path).map(BufWriter::new).and_then(|mut file| {
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|why| OutputError { path: path.into(), why: why.into() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::super::samples;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        command: Command,
    }

    fn run(arguments: &[&Path]) -> Result<Vec<Report>, OutputError> {
        let arguments = arguments.iter().map(|argument| argument.as_os_str());
        Cli::try_parse_from([Path::new("report").as_os_str()].into_iter().chain(arguments))
            .unwrap()
            .command
            .run()
    }

    #[test]
    fn reports_are_read_and_shown_together() {
        let folder = std::env::temp_dir().join(format!("conformance-report-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [one, two, page, xml] =
            ["1.json", "2.json", "page.html", "junit.xml"].map(|name| folder.join(name));
        let mut other = samples::report();
        other.server.name = "other".into();
        samples::report().write(File::create(&one).unwrap()).unwrap();
        other.write(File::create(&two).unwrap()).unwrap();

        let read = run(&[&one, &two, "--html".as_ref(), &page, "--junit".as_ref(), &xml]).unwrap();
        assert_eq!(read, [samples::report(), other]);
        let page = fs::read_to_string(&page).unwrap();
        assert!(page.contains("2 servers"));
        let xml = fs::read_to_string(&xml).unwrap();
        assert!(xml.contains(r#"<testsuite name="sample""#) && xml.contains(r#"<testsuite name="other""#));

        fs::write(&two, "{}").unwrap();
        let error = run(&[&one, &two]).unwrap_err().to_string();
        assert!(error.contains("2.json: not a conformance report: missing field `format`"), "{error}");
        let error = run(&[&one, "--html".as_ref(), &folder]).unwrap_err().to_string();
        assert!(error.starts_with(&folder.display().to_string()), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
