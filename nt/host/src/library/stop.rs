//! Why a call into the kernel did not succeed.

use std::sync::Arc;

use nt_abi::{NTSTATUS, status_name};
use thiserror::Error;

use crate::{BootError, bugcheck::BugCheckReport, loader::ImageError};

/// Why a call into the kernel did not succeed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Stop {
    /// The kernel or a driver answered with a status that is no success.
    #[error("status 0x{0:08X}{name}", name = name(*.0))]
    Status(NTSTATUS),
    /// A bug check has stopped the kernel, now or before.
    #[error("{0}")]
    BugCheck(Arc<BugCheckReport>),
    /// An image cannot be loaded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The kernel runs with another configuration.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The host refused a thread.
    #[error("the host refuses a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Something is still in use.
    #[error("{what} {by}")]
    InUse {
        /// What was to be removed.
        what: String,
        /// What keeps it.
        by: String,
    },
}

impl Stop {
    /// The status, if it is one.
    #[must_use]
    pub const fn status(&self) -> Option<NTSTATUS> {
        match self {
            Self::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// The report of the bug check, if it is one.
    #[must_use]
    pub const fn bug_check(&self) -> Option<&Arc<BugCheckReport>> {
        match self {
            Self::BugCheck(report) => Some(report),
            _ => None,
        }
    }
}

impl From<Arc<BugCheckReport>> for Stop {
    fn from(report: Arc<BugCheckReport>) -> Self {
        Self::BugCheck(report)
    }
}

fn name(status: NTSTATUS) -> String {
    status_name(status).map_or_else(String::new, |name| format!(" ({name})"))
}
