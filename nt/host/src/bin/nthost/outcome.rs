//! What came of a run, as text or as one JSON document.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use nthost::{Leaks, Stop, bugcheck::BugCheckReport};
use serde::Serialize;

use crate::requests::{Answer, Answers};

const FAILED: u8 = 1;
const LEFT_BEHIND: u8 = 3;
const BUG_CHECK: u8 = 188;

/// Why a run came to an early end.
pub enum Failure {
    Stop(Stop),
    Told(String),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// An image that was loaded.
#[derive(Serialize)]
pub struct Image {
    name: String,
    missing_imports: Vec<String>,
}

impl Image {
    pub fn new(name: &str, missing_imports: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            missing_imports: missing_imports.to_vec(),
        }
    }
}

/// What came of a run.
#[derive(Default)]
pub struct Outcome {
    images: Vec<Image>,
    pub answers: Answers,
    pub left_behind: Leaks,
    /// How many allocations there were.
    pub allocations: u64,
    /// The function that failed on purpose.
    pub failed_function: Option<&'static str>,
    /// What a kernel debugger would show, by the names of the views.
    pub at_end: BTreeMap<&'static str, String>,
    /// What the driver printed, if it was kept.
    pub debug_output: String,
    error: Option<String>,
    bug_check: Option<Arc<BugCheckReport>>,
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    exit_code: u8,
    images: &'a [Image],
    requests: Vec<Counted<'a>>,
    at_end: &'a BTreeMap<&'static str, String>,
    left_behind: &'a Leaks,
    allocations: u64,
    failed_function: Option<&'static str>,
    error: Option<&'a str>,
    bug_check: Option<&'a BugCheckReport>,
    debug_output: &'a str,
}

#[derive(Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    times: u64,
}

impl Outcome {
    /// Takes note of an image, and says what it will miss, before anything of it runs.
    pub fn add(&mut self, image: Image) {
        for import in &image.missing_imports {
            let name = &image.name;
            eprintln!("{name} imports {import}, which this kernel lacks: using it is a bug check");
        }
        self.images.push(image);
    }

    pub fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::Stop(Stop::BugCheck(report)) => self.bug_check = Some(report),
            Failure::Stop(stop) => self.error = Some(stop.to_string()),
            Failure::Told(text) => self.error = Some(text),
        }
    }

    const fn code(&self, has_failure: bool) -> u8 {
        if self.bug_check.is_some() {
            BUG_CHECK
        } else if self.error.is_some() || has_failure {
            FAILED
        } else if !self.left_behind.is_empty() {
            LEFT_BEHIND
        } else {
            0
        }
    }

    /// Shows the outcome, and returns the exit code that says it.
    pub fn present(&self, json: bool) -> ExitCode {
        let code = self.code(self.answers.has_failure());
        let shown = if json {
            self.print_document(code)
        } else {
            self.print_text()
        };
        // Nobody reads what a pipe was closed to.
        let _ = shown;
        ExitCode::from(code)
    }

    fn print_text(&self) -> io::Result<()> {
        let mut output = io::stdout().lock();
        for ((_, answer), times) in &self.answers.0 {
            match times {
                1 => writeln!(output, "{answer}")?,
                times => writeln!(output, "{answer} ({times} times)")?,
            }
        }
        for view in self.at_end.values() {
            write!(output, "{view}")?;
        }
        output.flush()?;
        let mut errors = io::stderr().lock();
        if let Some(error) = &self.error {
            writeln!(errors, "error: {error}")?;
        }
        if let Some(report) = &self.bug_check {
            writeln!(errors, "{report}")?;
        }
        if !self.left_behind.is_empty() {
            writeln!(errors, "left behind:\n{}", self.left_behind)?;
        }
        Ok(())
    }

    fn print_document(&self, exit_code: u8) -> io::Result<()> {
        let answers = self.answers.0.iter();
        let document = Document {
            exit_code,
            images: &self.images,
            requests: answers
                .map(|((_, answer), &times)| Counted { answer, times })
                .collect(),
            at_end: &self.at_end,
            left_behind: &self.left_behind,
            allocations: self.allocations,
            failed_function: self.failed_function,
            error: self.error.as_deref(),
            bug_check: self.bug_check.as_deref(),
            debug_output: &self.debug_output,
        };
        let mut output = io::stdout().lock();
        serde_json::to_writer_pretty(&mut output, &document)?;
        writeln!(output)
    }
}
