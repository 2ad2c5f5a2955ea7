//! What a run says, in lines, within a size.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use wdk_sync::Status;

use crate::limits::LOG_BYTES;

/// Lines of text up to [`LOG_BYTES`], and how many checks have failed.
pub struct Log {
    text: Vec<u8>,
    lost: u32,
    failures: u64,
}

impl Log {
    /// An empty log, all of whose memory is there already.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new() -> Result<Self, Status> {
        let mut text = Vec::new();
        text.try_reserve_exact(LOG_BYTES as usize)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self {
            text,
            lost: 0,
            failures: 0,
        })
    }

    /// Adds a line.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        // What does not fit is counted in `lost`; nothing else can go wrong.
        let _ = self.write_fmt(line);
        let _ = self.write_char('\n');
    }

    /// Adds a line that says what is wrong, and counts it.
    pub fn fail(&mut self, line: fmt::Arguments<'_>) {
        self.failures = self.failures.saturating_add(1);
        self.note(format_args!("FAILED {line}"));
    }

    /// Adds a line that says what is wrong, if anything is, and counts it.
    pub fn fail_on<E: fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(wrong) = result {
            self.fail(format_args!("{wrong}"));
        }
    }

    /// Compares, adds a line that says what was seen, and tells whether it was what was expected.
    /// By way of [`check!`].
    pub fn check<A, E>(&mut self, place: Place, what: &str, actual: &A, expected: &E) -> bool
    where
        A: PartialEq<E> + fmt::Debug,
        E: fmt::Debug,
    {
        let holds = actual == expected;
        if holds {
            self.note(format_args!("ok     {place}: {what} is {actual:?}"));
        } else {
            self.fail(format_args!(
                "{place}: {what} is {actual:?}, expected {expected:?}"
            ));
        }
        holds
    }

    /// The text: UTF-8, whole characters.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many bytes did not fit.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// How many checks have failed.
    pub const fn failures(&self) -> u64 {
        self.failures
    }
}

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.capacity().saturating_sub(self.text.len());
        // Once something is lost all that follows is, so that the log has no holes.
        let room = if self.lost == 0 { room } else { 0 };
        let fitting = text.get(..text.floor_char_boundary(room)).unwrap_or("");
        self.text.extend_from_slice(fitting.as_bytes());
        let lost = u32::try_from(text.len() - fitting.len()).unwrap_or(u32::MAX);
        self.lost = self.lost.saturating_add(lost);
        Ok(())
    }
}

/// Where a check stands in the source.
#[derive(Clone, Copy)]
pub struct Place {
    /// As `file!` has it.
    pub file: &'static str,
    /// As `line!` has it.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.rsplit(['/', '\\']).next().unwrap_or(self.file);
        write!(f, "{name}:{}", self.line)
    }
}

/// `check!(log, actual, expected)`: writes down what `actual` is and counts a failure if that is not
/// `expected`. Gives whether it is, for tests that cannot go on without it.
macro_rules! check {
    ($log:expr, $actual:expr, $expected:expr $(,)?) => {
        // A match, so that what is compared may borrow from what the expressions make on the way.
        match (&$actual, &$expected) {
            (actual, expected) => {
                let place = $crate::log::Place {
                    file: file!(),
                    line: line!(),
                };
                $log.check(place, stringify!($actual), actual, expected)
            }
        }
    };
}
pub(crate) use check;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_written_down_and_counted() {
        let mut log = Log::new().unwrap();
        assert!(check!(log, 1 + 1, 2));
        assert_eq!(log.failures(), 0);
        assert!(!check!(log, 1 + 1, 3));
        assert_eq!(log.failures(), 1);
        let text = core::str::from_utf8(log.text()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("ok     log.rs:"));
        assert!(lines[0].ends_with(": 1 + 1 is 2"));
        assert!(lines[1].starts_with("FAILED log.rs:"));
        assert!(lines[1].ends_with(": 1 + 1 is 2, expected 3"));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_no_character_is_cut() {
        let mut log = Log::new().unwrap();
        let line = "äöü";
        for _ in 0..4_000 {
            log.note(format_args!("{line}"));
        }
        let written = log.text().len();
        assert!(written <= LOG_BYTES as usize);
        assert!(written > LOG_BYTES as usize - 4);
        assert!(core::str::from_utf8(log.text()).is_ok());
        assert_eq!(written + log.lost() as usize, 4_000 * 7);
        log.note(format_args!(""));
        assert_eq!(log.text().len(), written, "nothing comes after a loss");
    }
}
