//! Off Windows: our own kernel, with the driver's image loaded or its code linked in.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Transport, in_process::InProcess, kit::Images, nthost::Nthost, socket::Served};
use crate::error::Error;

/// What the driver runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Host {
    /// The driver's image, loaded into nthost
    Nthost,
    /// The driver's tests and scenarios, linked into this program
    InProcess,
}

/// On what the driver runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArguments {
    /// What the driver runs on; neither is Windows
    #[arg(long, global = true, value_name = "HOST", default_value = "nthost")]
    host: Host,
    /// Short for --host in-process
    #[arg(long, global = true)]
    in_process: bool,
    /// The driver's image [default: syncstress.sys in target/kit]
    #[arg(long, global = true, value_name = "PATH")]
    driver: Option<PathBuf>,
    /// The KMDF runtime's image [default: WDFLDR.SYS beside the driver]
    #[arg(long, global = true, value_name = "PATH")]
    wdfldr: Option<PathBuf>,
    /// Speak to the driver of another process, which `syncstress serve SOCKET` offers
    #[arg(long, global = true, value_name = "SOCKET",
        conflicts_with_all = ["host", "in_process", "driver", "wdfldr", "processors"])]
    at: Option<PathBuf>,
    /// How many processors the kernel has [default: those of this machine, at least 4]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    processors: Option<u32>,
}

impl HostArguments {
    /// Starts the kernel and loads the driver.
    ///
    /// # Errors
    /// A usage error for arguments that do not go together, and whatever keeps the driver from being
    /// loaded.
    pub fn load(&self) -> Result<Box<dyn Transport>, Error> {
        if let Some(socket) = &self.at {
            return Ok(Box::new(Served::find(socket)?));
        }
        if self.in_process || self.host == Host::InProcess {
            if self.driver.is_some() || self.wdfldr.is_some() {
                return Err(Error::usage(
                    "in process there is no image to load",
                    "leave out --driver and --wdfldr, or --in-process".to_owned(),
                ));
            }
            return Ok(Box::new(InProcess::load(self.processors)?));
        }
        let images = Images::find(self.driver.as_deref(), self.wdfldr.as_deref())?;
        Ok(Box::new(Nthost::load(self.processors, &images)?))
    }
}
