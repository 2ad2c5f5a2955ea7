//! The Windows that this program runs on.
//!
//! Pages: those of the functions, and of `SetupAPI`.

mod certificates;
mod devices;
mod machine;
mod services;

use std::{
    ffi::OsStr, mem::size_of, os::windows::ffi::OsStrExt as _, path::Path, thread, time::Duration,
};

use windows::core::Error as WindowsError;

use super::system::{Device, Machine, System, SystemError, Trust};
use crate::{
    client::Client,
    transport::{HostArguments, device_interfaces},
};

/// This Windows.
pub struct Windows;

impl System for Windows {
    fn machine(&self) -> Result<Machine, SystemError> {
        machine::machine()
    }

    fn trust(&self, certificate: &Path) -> Result<Trust, SystemError> {
        certificates::trust(certificate)
    }

    fn devices(&self, hardware_id: &str) -> Result<Vec<Device>, SystemError> {
        devices::list(hardware_id)
    }

    fn create_device(&self, hardware_id: &str) -> Result<(), SystemError> {
        devices::create(hardware_id)
    }

    fn install(&self, hardware_id: &str, inf: &Path) -> Result<bool, SystemError> {
        devices::install(hardware_id, inf)
    }

    fn remove_device(&self, device: &Device) -> Result<bool, SystemError> {
        devices::remove(&device.instance)
    }

    fn remove_package(&self, name: &str) -> Result<(), SystemError> {
        devices::remove_package(name)
    }

    fn enable(&self, device: &Device, enable: bool) -> Result<(), SystemError> {
        devices::enable(&device.instance, enable)
    }

    fn service(&self, name: &str) -> Result<Option<bool>, SystemError> {
        services::runs(name)
    }

    fn remove_service(&self, name: &str) -> Result<(), SystemError> {
        services::remove(name)
    }

    fn interface_is_there(&self) -> bool {
        !device_interfaces().is_empty()
    }

    fn driver_version(&self) -> Option<[u16; 3]> {
        let transport = HostArguments {}.load().ok()?;
        let client = Client::new(transport.open().ok()?).ok()?;
        Some(client.version().driver_version)
    }

    fn pause(&self) {
        thread::sleep(Duration::from_millis(200));
    }
}

/// The length of a structure that is passed with it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "structures of the system are small"
)]
const fn length<T>() -> u32 {
    size_of::<T>() as u32
}

/// The text in UTF-16 with a zero at its end.
fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// The text up to the first zero.
fn text(wide: &[u16]) -> String {
    let end = wide.iter().position(|&unit| unit == 0);
    String::from_utf16_lossy(&wide[..end.unwrap_or(wide.len())])
}

/// Says what was tried when a function failed.
fn trying(what: impl Into<String>) -> impl FnOnce(WindowsError) -> SystemError {
    let what = what.into();
    move |error| SystemError {
        what,
        why: format!("{} ({:#010x})", error.message(), error.code().0),
    }
}
