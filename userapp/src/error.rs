//! Errors of the user's world: what the program says instead of doing what it was asked for.

use std::path::PathBuf;

use crate::{
    client::ClientError,
    exit::Exit,
    manage::SystemError,
    transport::{BugCheck, TransportError},
};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that there is not.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The driver cannot be reached, or did not do what it was asked for.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Windows did not do what it was asked for.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A run goes on although it was told to stop.
    #[error("{item} does not end: asked to stop {seconds} s ago, {workers} workers are alive")]
    Stuck {
        /// The item's name.
        item: String,
        /// How long ago it was told.
        seconds: u64,
        /// Its workers alive.
        workers: u32,
    },
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Client(error.into())
    }
}

impl Error {
    /// A usage error with a hint.
    pub fn usage(what: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self::Usage {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. }
            | Self::Client(ClientError::Transport(TransportError::Unreachable { hint, .. })) => {
                hint.as_deref()
            }
            _ => None,
        }
    }

    /// Whether the command line asks for something that there is not.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }

    /// The bug check that this is, if it is one.
    pub fn bug_check(&self) -> Option<&BugCheck> {
        match self {
            Self::Client(ClientError::Transport(TransportError::BugCheck(bug_check))) => {
                Some(bug_check)
            }
            _ => None,
        }
    }

    /// Whether unloading the driver is out of the question: its kernel is dead, or it would wait for
    /// a run that does not end.
    pub const fn leaves_nothing_to_unload(&self) -> bool {
        matches!(
            self,
            Self::Stuck { .. } | Self::Client(ClientError::Transport(TransportError::BugCheck(_)))
        )
    }

    /// How the program ends on it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::File { .. } => Exit::Usage,
            Self::System(_) => Exit::Failed,
            Self::Stuck { .. } => Exit::Protocol,
            Self::Client(error) => match error {
                ClientError::Transport(TransportError::BugCheck(_)) => Exit::BugCheck,
                ClientError::Transport(TransportError::Unreachable { .. })
                | ClientError::Version { .. } => Exit::Unreachable,
                ClientError::Transport(TransportError::Refused(_))
                | ClientError::Protocol { .. } => Exit::Protocol,
            },
        }
    }
}
