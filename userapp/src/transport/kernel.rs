//! nthost's kernel of this process, which both hosts off Windows run on.

use nthost::{Config, Kernel, Stop};

use super::{BugCheck, Leak, TransportError};
use crate::status::NtStatus;

/// Boots the kernel with this many processors, or as many as it takes by itself.
///
/// # Errors
/// [`TransportError::Unreachable`] if it runs already with another number.
pub fn boot(processors: Option<u32>) -> Result<Kernel, TransportError> {
    let default = Config::default();
    let processors = processors.unwrap_or(default.processors);
    let booted = Kernel::boot(Config {
        processors,
        ..default
    });
    booted.map_err(|error| cannot("the kernel does not boot", &error.into()))
}

/// What is allocated, open or running now.
pub fn leaks(kernel: Kernel) -> Vec<Leak> {
    let leaks = kernel.leaks().entries;
    leaks.iter().map(|leak| Leak(leak.to_string())).collect()
}

/// The error for something that keeps the driver out of reach.
pub fn cannot(what: &str, stop: &Stop) -> TransportError {
    match stop {
        Stop::BugCheck(_) => TransportError::from(stop),
        Stop::Status(status) => unreachable(format!("{what}: {}", NtStatus(*status))),
        _ => unreachable(format!("{what}: {stop}")),
    }
}

const fn unreachable(what: String) -> TransportError {
    TransportError::Unreachable { what, hint: None }
}

impl From<&Stop> for TransportError {
    fn from(stop: &Stop) -> Self {
        match stop {
            Stop::Status(status) => Self::Refused(NtStatus(*status)),
            Stop::BugCheck(report) => Self::BugCheck(Box::new(BugCheck {
                text: report.to_string(),
                // The report is numbers, text and lists, all of which JSON has.
                report: serde_json::to_value(&**report).unwrap_or_default(),
            })),
            _ => unreachable(stop.to_string()),
        }
    }
}

impl From<Stop> for TransportError {
    fn from(stop: Stop) -> Self {
        Self::from(&stop)
    }
}
