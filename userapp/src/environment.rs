//! Where and when results were obtained.

use std::{fs, thread, time::SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine that the program ran on, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The operating system that the program was built for.
    pub operating_system: String,
    /// The processor architecture that the program was built for.
    pub architecture: String,
    /// The processor, where the system tells.
    pub processor: Option<String>,
    /// How many processors the program may use.
    pub processors: Option<usize>,
    /// When the command began, in UTC.
    pub began: String,
    /// The command line.
    pub command_line: Vec<String>,
}

impl Environment {
    /// This machine, now.
    pub fn now() -> Self {
        Self {
            operating_system: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            processor: processor(),
            processors: thread::available_parallelism().ok().map(Into::into),
            began: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command_line: std::env::args().collect(),
        }
    }
}

/// The processor's name, as Linux has it; elsewhere nobody is asked.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.trim().to_owned())
}
