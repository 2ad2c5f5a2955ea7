//! Two functions that are to be the same.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::{function::instructions, image::Image};

/// A pair of functions, by their instructions.
#[derive(Serialize)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// The raw call.
    pub raw: Vec<String>,
    /// wdk-sync.
    pub safe: Vec<String>,
    /// How they compare.
    pub verdict: Verdict,
}

/// How two functions compare.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The linker found them to be the same, and kept one.
    Folded,
    /// The same instructions.
    Same,
    /// They differ, by no more than the source explains.
    Explained {
        /// How many instructions are in one of them alone.
        by: usize,
        /// How many may be.
        allowed: usize,
        /// Why.
        why: String,
    },
    /// They differ, and the source does not say why.
    Unexplained {
        /// How many instructions are in one of them alone.
        by: usize,
        /// How many may be.
        allowed: usize,
    },
}

impl Verdict {
    /// Whether there is a difference.
    pub const fn differs(&self) -> bool {
        !matches!(self, Self::Folded | Self::Same)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folded => f.write_str("the same: the linker kept one"),
            Self::Same => f.write_str("the same"),
            Self::Explained { by, allowed, .. } => {
                write!(f, "{by} differ, up to {allowed} are explained")
            }
            Self::Unexplained { by, allowed } => {
                write!(f, "{by} DIFFER, and {allowed} are explained")
            }
        }
    }
}

impl Pair {
    /// Compares the pair of this name.
    pub fn of(image: &Image<'_>, name: &str) -> Result<Self> {
        let raw_at = image.export(&format!("raw_{name}"))?;
        let safe_at = image.export(&format!("safe_{name}"))?;
        let raw = instructions(image, raw_at).with_context(|| format!("raw_{name}"))?;
        let safe = instructions(image, safe_at).with_context(|| format!("safe_{name}"))?;
        let about = image.text(image.export(&format!("about_{name}"))?)?;
        let (allowed, why) = about
            .split_once('\t')
            .context("an explanation has another form")?;
        let allowed = allowed.parse().context("an explanation has no number")?;
        let by = difference(&raw, &safe);
        let verdict = if raw_at == safe_at {
            Verdict::Folded
        } else if by == 0 {
            Verdict::Same
        } else if by <= allowed {
            let why = why.to_owned();
            Verdict::Explained { by, allowed, why }
        } else {
            Verdict::Unexplained { by, allowed }
        };
        Ok(Self {
            name: name.to_owned(),
            raw,
            safe,
            verdict,
        })
    }

    /// Whether the source does not explain the difference.
    pub const fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::Unexplained { .. })
    }

    /// The two, line by line.
    pub fn side_by_side(&self) -> String {
        const WIDTH: usize = 46;
        let mut text = format!("{}: {}\n", self.name, self.verdict);
        if let Verdict::Explained { why, .. } = &self.verdict {
            let _ = writeln!(text, "  {why}");
        }
        let _ = writeln!(text, "  {:WIDTH$}   wdk-sync", "raw");
        let (raw, safe) = (lines(&self.raw), lines(&self.safe));
        for change in TextDiff::from_slices(&raw, &safe).iter_all_changes() {
            let line = change.value();
            let _ = match change.tag() {
                ChangeTag::Equal => writeln!(text, "  {line:WIDTH$}   {line}"),
                ChangeTag::Delete => writeln!(text, "  {line:WIDTH$} <"),
                ChangeTag::Insert => writeln!(text, "  {:WIDTH$} > {line}", ""),
            };
        }
        text
    }
}

fn lines(code: &[String]) -> Vec<&str> {
    code.iter().map(String::as_str).collect()
}

/// How many instructions are in one of the two alone.
fn difference(raw: &[String], safe: &[String]) -> usize {
    let (raw, safe) = (lines(raw), lines(safe));
    let changes = TextDiff::from_slices(&raw, &safe);
    let changes = changes.iter_all_changes();
    changes
        .filter(|change| change.tag() != ChangeTag::Equal)
        .count()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn what_is_in_one_alone_is_counted() {
        let code = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let raw = code(&["push", "call", "pop", "ret"]);
        assert_eq!(difference(&raw, &raw), 0);
        assert_eq!(
            difference(&raw, &code(&["push", "call", "test", "pop", "ret"])),
            1
        );
        assert_eq!(difference(&raw, &code(&["push", "jmp", "pop", "ret"])), 2);
    }
}
