//! The progress bar of behaviour tests: on a terminal only, on standard error, gone when the results
//! are there.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one command, and lines above it.
pub struct Bars {
    all: MultiProgress,
}

impl Bars {
    /// Bars that draw on a terminal, or, with `silent`, nowhere.
    pub fn new(silent: bool) -> Self {
        let target = if silent {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            all: MultiProgress::with_draw_target(target),
        }
    }

    /// A bar that counts behaviour tests.
    pub fn tests(&self, total: usize) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(total as u64));
        bar.set_style(style(
            "  behaviour tests {bar:30.green/dim} {pos}/{len}  {msg:.dim}",
        ));
        bar
    }

    /// Prints lines above the bars.
    pub fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse is a slip in this file: the default bar shows it.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
