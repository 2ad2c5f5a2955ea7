//! Windows: the device of the installed driver is the only way.

use clap::Args;

use super::{Transport, windows::Installed};
use crate::error::Error;

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
