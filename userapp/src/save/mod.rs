//! Results as files: JSON, HTML, `JUnit` XML, CSV and SVG, by the extension of the path.

mod csv;
mod html;
mod junit;
mod plot;
mod svg;
mod throughput;

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{error::Error, show::Report};

/// A file to write, in the format that its extension names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// The document that `--json` prints.
    Json,
    /// A page to look at.
    Html,
    /// A test report for build servers.
    Junit,
    /// A line for each run.
    Csv,
    /// What a sweep plots, as a picture.
    Svg,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let path = PathBuf::from(typed);
        let format = match path.extension().and_then(|it| it.to_str()) {
            Some("json") => Format::Json,
            Some("html") => Format::Html,
            Some("xml") => Format::Junit,
            Some("csv") => Format::Csv,
            Some("svg") => Format::Svg,
            _ => {
                return Err("it has to end in .json, .html, .xml (JUnit), .csv or .svg".to_owned());
            }
        };
        Ok(Self { path, format })
    }
}

impl Target {
    /// Refuses a folder that is not there, before anything runs for hours to be written into it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn check(&self) -> Result<(), Error> {
        let folder = self.path.parent();
        let folder = folder.filter(|it| !it.as_os_str().is_empty());
        match folder {
            Some(folder) if !folder.is_dir() => {
                let why = format!("there is no folder {}", folder.display());
                Err(file_error(&self.path, why))
            }
            _ => Ok(()),
        }
    }

    /// Writes the report.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, report: &Report) -> Result<(), Error> {
        let text = match self.format {
            Format::Json => Ok(report.to_json()),
            Format::Html => html::page(report),
            Format::Junit => junit::document(report),
            Format::Csv => csv::table(report),
            Format::Svg => svg::picture(report),
        };
        text.and_then(|text| fs::write(&self.path, text).map_err(|error| error.to_string()))
            .map_err(|why| file_error(&self.path, why))
    }
}

/// Reads a report that was saved as JSON.
///
/// # Errors
/// [`Error::File`].
pub fn read(path: &Path) -> Result<Report, Error> {
    let text = fs::read_to_string(path).map_err(|error| file_error(path, error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| file_error(path, format!("it is no result saved as JSON: {error}")))
}

fn file_error(path: &Path, why: String) -> Error {
    Error::File {
        path: path.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::{
        catalog::samples,
        latency::Latency,
        parameters::Values,
        record::{Outcome, RunRecord, Totals},
        show::{Overhead, Round},
        status::NtStatus,
    };

    fn run(name: &str, threads: u64, outcome: Outcome) -> RunRecord {
        let item = samples::item(1, ItemKind::Scenario, name, false);
        let mut values = Values::default();
        values.all.insert("threads".to_owned(), threads);
        let totals = Totals {
            worker_count: usize::try_from(threads).unwrap(),
            ..Totals::default()
        };
        RunRecord {
            outcome,
            totals,
            acquisitions_per_second: 1_000.0 * f64::from(u32::try_from(threads).unwrap()),
            wait: Some(Latency {
                count: 100,
                p50_ns: 0,
                p99_ns: 1_999,
                maximum_ns: 5_000,
                buckets: vec![[0, 0, 90], [1_000, 1_999, 9], [4_000, 5_000, 1]],
                ..Latency::default()
            }),
            log: "a <line> & more".to_owned(),
            ..RunRecord::refused(&item, &values, NtStatus::UNSUCCESSFUL)
        }
    }

    fn report() -> Report {
        let mut report = Report {
            runs: vec![
                run("spin", 1, Outcome::Passed),
                run("spin", 2, Outcome::Passed),
                run("mutex", 1, Outcome::Failed),
            ],
            overheads: vec![Overhead {
                scenario: "spin".to_owned(),
                bare_ns: 80.0,
                measured_ns: 92.0,
                difference_ns: 12.0,
                bound_ns: 15.0,
            }],
            rounds: vec![Round {
                number: 1,
                ended_seconds: 3.0,
                acquisitions: 10,
                against: Vec::new(),
                usage: None,
            }],
            ..Report::default()
        };
        report.judge(None);
        report
    }

    #[test]
    fn the_extension_is_the_format() {
        assert!("a.txt".parse::<Target>().is_err());
        assert!("json".parse::<Target>().is_err());
        for (path, format) in [
            ("x/a.json", Format::Json),
            ("a.html", Format::Html),
            ("a.xml", Format::Junit),
            ("a.csv", Format::Csv),
            ("a.svg", Format::Svg),
        ] {
            assert_eq!(path.parse::<Target>().unwrap().format, format);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_refused_beforehand() {
        let check = |path: &str| path.parse::<Target>().unwrap().check();
        assert!(check("a.json").is_ok());
        assert!(check("./a.json").is_ok());
        let refused = check("no/such/folder/a.json").unwrap_err();
        assert!(refused.to_string().contains("no/such/folder"), "{refused}");
    }

    #[test]
    fn what_is_written_as_json_is_read_again() {
        let report = report();
        let text = report.to_json();
        let again: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(again.runs.len(), 3);
        assert_eq!(again.runs[0].wait, report.runs[0].wait);
        assert_eq!(again.runs[2].outcome, Outcome::Failed);
        assert!(again.runs[0].is_scenario);
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing_else() {
        let page = html::page(&report()).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert!(page.matches("<svg").count() >= 2, "plots");
        for outside in ["http://", "https://", "src=", "url(", "@import", "<script"] {
            let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_namespace.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(
            page.contains("a &lt;line&gt; &amp; more"),
            "text is escaped"
        );
        assert!(page.contains("FAILED"));
        for axis in ["acquisitions per second", "threads", "wait"] {
            assert!(page.contains(axis), "{axis}");
        }
    }

    #[test]
    fn a_picture_has_the_lines_of_a_sweep_and_the_host() {
        let mut report = report();
        let picture = svg::picture(&report).unwrap();
        let texts = ["Throughput against threads", "threads (number)", ">spin<"];
        for text in texts {
            assert!(picture.contains(text), "{text}: {picture}");
        }
        assert!(!picture.contains(">mutex<"), "one point is no line");
        report.runs.truncate(1);
        assert!(svg::picture(&report).is_err());
    }

    #[test]
    fn what_varies_is_what_is_plotted() {
        let with = |readers: u64, hold: u64| {
            let mut run = run("resource", 4, Outcome::Passed);
            run.parameters.insert("readers".to_owned(), readers);
            run.parameters.insert("hold".to_owned(), hold);
            run
        };
        let runs = [with(0, 0), with(2, 0), with(2, 10)];
        let charts = throughput::charts(&runs.iter().collect::<Vec<_>>());
        let lines: Vec<_> = charts
            .iter()
            .map(|chart| (chart.title, chart.series[0].name.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                ("Throughput against readers", "resource, 4 threads"),
                (
                    "Throughput against the time held",
                    "resource, 4 threads, 50% readers"
                ),
            ]
        );
    }

    #[test]
    fn junit_counts_what_failed() {
        let document = junit::document(&report()).unwrap();
        assert!(document.contains("tests=\"3\""), "{document}");
        assert!(document.contains("failures=\"1\""), "{document}");
        assert!(document.contains("a &lt;line&gt; &amp; more"), "{document}");
    }

    #[test]
    fn a_table_has_a_line_for_each_run() {
        let table = csv::table(&report()).unwrap();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        let columns = lines[0].split(',').count();
        assert!(lines.iter().all(|line| line.split(',').count() == columns));
        assert!(lines[2].starts_with("spin,stress scenario,spin lock,passed,threads=2,"));
    }
}
