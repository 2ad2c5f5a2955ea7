//! The machine that the figures are from.

use std::{fs, thread};

/// The machine in a few words.
pub fn machine() -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("a processor of unknown name", |(_, name)| name.trim());
    format!(
        "{} on {model}, {processors} processors",
        std::env::consts::OS
    )
}
