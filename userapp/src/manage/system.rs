//! What the commands ask of Windows, so that they can be tried against another.

use std::path::Path;

use serde::Serialize;

/// A processor architecture, as INF files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Arch {
    /// The option of `cargo xtask package` that makes a package for it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Amd64 => "x64",
            Self::Arm64 => "arm64",
        }
    }
}

/// A device of the driver's, present or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its instance id, such as `ROOT\SYSTEM\0001`.
    pub instance: String,
    /// The driver was started on it.
    pub started: bool,
    /// What keeps it from being started: the number that the Device Manager shows.
    pub problem: Option<u32>,
    /// The name of its package in the driver store, such as `oem7.inf`.
    pub package: Option<String>,
}

/// The number of the problem of a device that was disabled: `CM_PROB_DISABLED`.
pub const DISABLED: u32 = 22;

/// Where the test certificate is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Among the machine's trusted root authorities.
    pub root: bool,
    /// Among its trusted publishers.
    pub publisher: bool,
}

/// What the system says of itself.
#[allow(
    clippy::struct_excessive_bools,
    reason = "the system answers each question by itself"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The build of Windows.
    pub build: u32,
    /// Its processors.
    pub arch: Arch,
    /// The program may change the system.
    pub elevated: bool,
    /// Drivers with test signatures are let in.
    pub test_signing: bool,
    /// The firmware checks what it starts.
    pub secure_boot: bool,
    /// The hypervisor checks the kernel's code: memory integrity.
    pub memory_integrity: bool,
}

/// What Windows did not do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct SystemError {
    /// What was tried.
    pub what: String,
    /// What the system said.
    pub why: String,
}

/// Windows, as far as the commands need it.
pub trait System {
    /// Asks for facts of the machine.
    fn machine(&self) -> Result<Machine, SystemError>;

    /// Whether the certificate in this file is trusted.
    fn trust(&self, certificate: &Path) -> Result<Trust, SystemError>;

    /// The devices with this hardware id.
    fn devices(&self, hardware_id: &str) -> Result<Vec<Device>, SystemError>;

    /// Creates a root-enumerated device of the class System with this hardware id.
    fn create_device(&self, hardware_id: &str) -> Result<(), SystemError>;

    /// Takes a package into the driver store and installs it on all devices with the hardware id.
    /// Says whether the machine has to be restarted.
    fn install(&self, hardware_id: &str, inf: &Path) -> Result<bool, SystemError>;

    /// Removes a device. Says whether the machine has to be restarted.
    fn remove_device(&self, device: &Device) -> Result<bool, SystemError>;

    /// Removes a package from the driver store.
    fn remove_package(&self, name: &str) -> Result<(), SystemError>;

    /// Enables or disables a device: the driver is started, or stopped and unloaded.
    fn enable(&self, device: &Device, enable: bool) -> Result<(), SystemError>;

    /// Whether the driver's service runs; none if there is no such service.
    fn service(&self, name: &str) -> Result<Option<bool>, SystemError>;

    /// Removes a service.
    fn remove_service(&self, name: &str) -> Result<(), SystemError>;

    /// Whether the driver's device interface can be opened by somebody.
    fn interface_is_there(&self) -> bool;

    /// The version of the driver that answers, if one does.
    fn driver_version(&self) -> Option<[u16; 3]>;

    /// Lets some time pass.
    fn pause(&self);
}
