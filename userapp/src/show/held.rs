//! Locks and timers that are held.

use super::screen::{BOLD, DIM, Screen};
use crate::held::Held;

impl Screen {
    /// What is held, and what a debugger must show of it.
    pub fn held(self, held: &[Held], seconds: Option<u64>) {
        if self.is_silent() {
            Self::document(&serde_json::json!({ "held": held }));
            return;
        }
        for held in held {
            self.line(format_args!(
                "\n{BOLD}{}{BOLD:#}  {} {}",
                held.pattern, held.kind, held.address
            ));
            for thread in &held.threads {
                let times = match thread.count {
                    0 | 1 => String::new(),
                    count => format!(", {count} times"),
                };
                self.line(format_args!(
                    "  thread {}  {}{times}",
                    thread.address, thread.role
                ));
            }
            for shows in &held.shows {
                self.line(format_args!("  {DIM}{}{DIM:#}", shows.command));
                for line in &shows.lines {
                    self.line(format_args!("    {line}"));
                }
            }
        }
        match seconds {
            Some(seconds) => self.line(format_args!("\nheld for {seconds} s, or until Ctrl-C")),
            None => self.line("\nheld until Ctrl-C"),
        }
    }
}
