//! Ways to a driver.
//!
//! A [`Transport`] has a loaded driver behind it and opens [`Handle`]s to its device; everything
//! above speaks to these two traits. Which transports there are depends on the operating system,
//! and this module, with `Cargo.toml`, is the one place that asks for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{status::NtStatus, wire::Word};

#[cfg(test)]
pub mod fake;
#[cfg(not(windows))]
mod in_process;
#[cfg(not(windows))]
mod kernel;
#[cfg(not(windows))]
mod kit;
#[cfg(not(windows))]
mod nthost;
#[cfg(not(windows))]
mod off_windows;
#[cfg(windows)]
mod on_windows;
#[cfg(not(windows))]
mod socket;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub use self::{
    in_process::InProcess, kit::Images, nthost::Nthost, off_windows::HostArguments, socket::serve,
};
#[cfg(windows)]
pub use self::{
    on_windows::{HostArguments, serve},
    windows::device_interfaces,
};

/// A loaded driver.
pub trait Transport {
    /// On what the driver runs.
    fn host(&self) -> &HostDescription;

    /// Opens a handle to the driver's device.
    ///
    /// # Errors
    /// Whatever keeps the device from being opened.
    fn open(&self) -> Result<Box<dyn Handle>, TransportError>;

    /// Unloads the driver and lists what it left behind; does nothing where the driver is not this
    /// program's to unload. All handles are closed before.
    ///
    /// # Errors
    /// Whatever keeps the driver from being unloaded.
    fn unload(self: Box<Self>) -> Result<Option<Vec<Leak>>, TransportError>;
}

/// An open handle to the driver's device. Several threads may send requests at once.
pub trait Handle: Send + Sync {
    /// Sends a control code and returns how many bytes of `output` the driver wrote.
    ///
    /// # Errors
    /// [`TransportError::Refused`] with the driver's status if it is not a success code, and
    /// whatever keeps the request from the driver.
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError>;

    /// Closes the handle; a run that it started has ended when this returns.
    ///
    /// # Errors
    /// Whatever goes wrong on the way, such as a bug check in the driver's clean-up.
    fn close(self: Box<Self>) -> Result<(), TransportError>;
}

/// On what a driver runs, said with every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostDescription {
    /// The host's name, as `--host` takes it.
    pub name: Word,
    /// The host in a phrase that can follow "on".
    pub phrase: Word,
    /// Whether that is the kernel of Windows. Nothing else proves anything about Windows.
    pub is_windows: bool,
    /// The driver image that was loaded, where this program loaded one.
    pub driver: Option<String>,
    /// Functions that the images import and that this host lacks; using one is a bug check.
    pub missing_imports: Vec<String>,
}

impl std::fmt::Display for HostDescription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.phrase)?;
        if !self.is_windows {
            f.write_str(", not Windows")?;
        }
        Ok(())
    }
}

/// Something that the driver did not free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Leak(pub String);

/// A bug check: the kernel that ran the driver is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BugCheck {
    /// The report for people, as the host wrote it.
    pub text: String,
    /// The report for machines.
    pub report: serde_json::Value,
}

/// What keeps a request from its answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// There is no driver to speak to.
    #[error("{what}")]
    Unreachable {
        /// What was tried and how it failed.
        what: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The driver, or the I/O manager before it, answered with an error status.
    #[error("{0}")]
    Refused(NtStatus),
    /// The kernel stopped.
    #[error("the kernel stopped with a bug check\n{}", .0.text)]
    BugCheck(Box<BugCheck>),
}
