//! The kernel as a library: load drivers, find them devices, open files, send requests.
//!
//! ```no_run
//! # fn main() -> Result<(), nthost::Stop> {
//! use nthost::Kernel;
//!
//! let kernel = Kernel::get();
//! kernel.load_library("WDFLDR.SYS")?;
//! let driver = kernel.load("syncstress.sys")?;
//! let device = driver.add_device()?;
//! let file = kernel.open(r"\\.\SyncStress")?;
//! let mut output = [0; 64];
//! let length = file.ioctl(0x22_2000, b"input", &mut output)?;
//! println!("{:?}", &output[..length]);
//! drop(file);
//! device.remove()?;
//! driver.unload()?;
//! println!("{}", kernel.leaks());
//! # Ok(())
//! # }
//! ```
//!
//! Whatever a driver does wrong comes back as [`Stop::BugCheck`] from the call in which it happened, and
//! from every other call into the kernel after that: a bug check is the end of this process's kernel.

mod device;
mod driver;
mod file;
mod images;
mod kernel;
mod leaks;
mod quiet;
mod registry;
mod service;
mod stop;

pub use device::Device;
pub use driver::{Driver, DriverEntry, Prepared};
pub use file::File;
pub use images::Library;
pub use kernel::{Kernel, Target, Turn};
pub use leaks::{Leak, LeakKind, Leaks};
pub use registry::RegistryData;
pub use stop::Stop;
