//! Where lines go, and how they look there.

use std::{fmt::Display, io::Write as _};

use anstyle::{AnsiColor, Style};

use super::report::Report;
use crate::{cli::Display as DisplayArguments, error::Error};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GREEN: Style = AnsiColor::Green.on_default();
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
pub const RED: Style = AnsiColor::Red.on_default().bold();

/// Standard output as people read it; with `--json` it says nothing, and errors still go to
/// standard error.
#[derive(Clone, Copy)]
pub struct Screen {
    silent: bool,
    pub(super) verbose: bool,
}

impl Screen {
    /// A screen as the command line wants it.
    pub const fn new(display: &DisplayArguments) -> Self {
        Self {
            silent: display.json,
            verbose: display.verbose,
        }
    }

    /// Whether nothing is shown.
    pub const fn is_silent(self) -> bool {
        self.silent
    }

    /// Prints one line. Nobody is told if standard output is closed: there is nobody to tell.
    pub fn line(self, text: impl Display) {
        if !self.silent {
            let _ = writeln!(anstream::stdout(), "{text}");
        }
    }

    /// The JSON document, for a screen that shows nothing else.
    pub fn json(report: &Report) {
        let _ = writeln!(std::io::stdout(), "{}", report.to_json());
    }

    /// A JSON document that comes before that one.
    pub(super) fn document(document: &serde_json::Value) {
        let _ = writeln!(std::io::stdout(), "{document:#}");
    }
}

/// Says on standard error what went wrong, and what helps.
pub fn error(error: &Error) {
    let mut stderr = anstream::stderr();
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(stderr, "{RED}error:{RED:#} {error}");
    if let Some(hint) = error.hint() {
        let _ = writeln!(stderr, "{BOLD}hint:{BOLD:#} {hint}");
    }
}
