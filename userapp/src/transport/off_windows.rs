//! Off Windows: the driver's image in nthost.

use std::path::PathBuf;

use clap::Args;

use super::{Transport, kit::Images, nthost::Nthost};
use crate::error::Error;

/// On what the driver runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArguments {
    /// The driver's image [default: syncstress.sys in target/kit]
    #[arg(long, global = true, value_name = "PATH")]
    driver: Option<PathBuf>,
    /// The KMDF runtime's image [default: WDFLDR.SYS beside the driver]
    #[arg(long, global = true, value_name = "PATH")]
    wdfldr: Option<PathBuf>,
    /// How many processors the kernel has [default: those of this machine, at least 4]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    processors: Option<u32>,
}

impl HostArguments {
    /// Starts the kernel and loads the driver.
    ///
    /// # Errors
    /// Whatever keeps the driver from being loaded.
    pub fn load(&self) -> Result<Box<dyn Transport>, Error> {
        let images = Images::find(self.driver.as_deref(), self.wdfldr.as_deref())?;
        Ok(Box::new(Nthost::load(self.processors, &images)?))
    }
}
