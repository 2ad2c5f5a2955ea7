//! Windows: the device of the installed driver is the only way.

use std::path::Path;

use clap::Args;

use super::{Transport, windows::Installed};
use crate::{error::Error, interrupt::Interrupt};

/// On what the driver runs: on Windows there is nothing to choose.
#[derive(Clone, Copy, Debug, Args)]
pub struct HostArguments {}

impl HostArguments {
    /// Gets hold of the installed driver.
    ///
    /// # Errors
    /// None here; opening the device tells whether it is there.
    #[allow(
        clippy::unused_self,
        reason = "elsewhere the arguments choose the host"
    )]
    pub fn load(self) -> Result<Box<dyn Transport>, Error> {
        Ok(Box::new(Installed::new()))
    }
}

/// Refuses: the device of the system is there for every process.
///
/// # Errors
/// Always.
pub fn serve(
    _transport: &dyn Transport,
    _socket: &Path,
    _interrupt: &Interrupt,
    _ready: impl FnOnce(),
) -> Result<(), Error> {
    Err(Error::usage(
        "the device of the installed driver is open to every process already",
        None,
    ))
}
