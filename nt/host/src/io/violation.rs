//! Bug check 0xC9, `DRIVER_VERIFIER_IOMANAGER_VIOLATION`: what I/O Verification finds.
//!
//! The errors from 0x200 on are described by the bug check's page as messages of their own ("WDM
//! DRIVER ERROR"), which a crash dump shows as 0xC9 with the error code, an address in the driver, the
//! IRP and the device object.

use nt_abi::bugcheck::DRIVER_VERIFIER_IOMANAGER_VIOLATION;

use super::{
    irp::{Irp, Stack},
    object::DeviceObject,
};
use crate::bugcheck;

/// Stops the kernel for an error of 0x200 and above.
#[cold]
pub fn raise(
    error: u64,
    irp: Option<Irp>,
    device: Option<DeviceObject>,
    function: &'static str,
    sentence: impl Into<String>,
) -> ! {
    // The routine that the device's driver would handle the IRP with stands for its code.
    let major = irp.and_then(Irp::stack).map_or(0, Stack::major);
    let routine = device
        .filter(|device| device.is_valid())
        .and_then(DeviceObject::driver)
        .and_then(|driver| driver.dispatch_routine(major))
        .map_or(0, |routine| routine as usize as u64);
    let irp = irp.map_or(0, Irp::address);
    let device = device.map_or(0, DeviceObject::address);
    io(error, [routine, irp, device], function, sentence)
}

/// Stops the kernel for an error with parameters of its own.
#[cold]
pub fn io(
    error: u64,
    parameters: [u64; 3],
    function: &'static str,
    sentence: impl Into<String>,
) -> ! {
    let [second, third, fourth] = parameters;
    bugcheck::raise(
        DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        [error, second, third, fourth],
        function,
        sentence,
    )
}
