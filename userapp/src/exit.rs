//! How the program ends.

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The exit codes. They are part of the program's interface: a number keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for ran, and every check held.
    Passed = 0,
    /// A check failed, a run could not be carried out, the driver left something behind, or lockdep
    /// has a report.
    Failed = 1,
    /// The command line asks for something that there is not.
    Usage = 2,
    /// The driver cannot be reached or loaded.
    Unreachable = 3,
    /// The kernel stopped with a bug check.
    BugCheck = 4,
    /// Interrupted (Ctrl-C, SIGTERM); what ran until then passed.
    Interrupted = 5,
    /// The driver answered against the protocol, or a run did not end.
    Protocol = 6,
}

impl Exit {
    /// Every exit code, in the order of the numbers.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::BugCheck,
        Self::Interrupted,
        Self::Protocol,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the number means, for `--help`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Passed => "passed: everything that was asked for ran, and every check held",
            Self::Failed => {
                "failed: a check failed, a run was refused, lockdep has a report, or something was left behind"
            }
            Self::Usage => "usage: the command line asks for something that there is not",
            Self::Unreachable => "unreachable: the driver cannot be reached or loaded",
            Self::BugCheck => {
                "bug check: the kernel stopped; what was collected until then is shown"
            }
            Self::Interrupted => "interrupted: Ctrl-C or SIGTERM; what ran until then passed",
            Self::Protocol => {
                "protocol: the driver answered against the protocol, or a run did not end"
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
