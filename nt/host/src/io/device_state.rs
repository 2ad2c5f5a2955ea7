//! The Plug and Play state of a device: what its drivers say is the matter with it.
//!
//! Sources: the pages of `IRP_MN_QUERY_PNP_DEVICE_STATE`, of `IoInvalidateDeviceState`, and "Handling an
//! `IRP_MN_SURPRISE_REMOVAL` Request", which describes `PNP_DEVICE_STATE`.

use nt_abi::{
    IRP_MN_QUERY_PNP_DEVICE_STATE, NT_SUCCESS, PDEVICE_OBJECT, PNP_DEVICE_FAILED,
    PNP_DEVICE_REMOVED, PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED, PNP_DEVICE_STATE,
    bugcheck::PNP_DETECTED_FATAL_ERROR,
};

use super::{
    object::DeviceObject,
    pnp::{self, Node},
    rules::dispatch_level,
    turn,
};
use crate::{
    bugcheck,
    ex::worker,
    thread::{self, Thread},
};

/// Asks the drivers of a started device for its state, keeps it, and takes the device away if they say that
/// it has failed or is gone. The thread has the turn.
///
/// One whose resources are to be assigned anew stays: devices of this bus have none.
pub fn query(thread: &Thread, node: &Node) {
    let outcome = pnp::send(thread, node.pdo, IRP_MN_QUERY_PNP_DEVICE_STATE);
    if !NT_SUCCESS(outcome.status) {
        return;
    }
    let state = outcome.information as PNP_DEVICE_STATE;
    pnp::set_state(node, state);
    let lost = state & (PNP_DEVICE_FAILED | PNP_DEVICE_REMOVED) != 0;
    if lost && state & PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED == 0 {
        // The device was there for the question.
        let _ = pnp::surprise_remove(thread, node);
    }
}

/// Says that the Plug and Play state of a device has changed: a system worker thread asks its drivers for it
/// with `IRP_MN_QUERY_PNP_DEVICE_STATE`. `<= DISPATCH_LEVEL`. DDI: `IoInvalidateDeviceState`.
///
/// A device of which they then say that it has failed, or is not there any more, is removed as one that is
/// gone by surprise. One that is not started is asked about when it is. Bug check 0xCA if the device is no PDO.
///
/// # Safety
///
/// It must be a device object that is alive.
pub unsafe extern "win64" fn IoInvalidateDeviceState(PhysicalDeviceObject: PDEVICE_OBJECT) {
    const NAME: &str = "IoInvalidateDeviceState";
    dispatch_level(NAME);
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { DeviceObject::new(PhysicalDeviceObject) };
    let Some(node) = device.and_then(pnp::node) else {
        no_pdo(device, NAME);
    };
    worker::queue(IoInvalidateDeviceState as *const () as usize, move || {
        let thread = thread::current();
        let _turn = turn::take(thread);
        if pnp::is_started(&node) {
            query(thread, &node);
        }
    });
}

#[cold]
fn no_pdo(device: Option<DeviceObject>, function: &'static str) -> ! {
    /// "Invalid PDO".
    const INVALID_PDO: u64 = 2;
    let address = device.map_or(0, DeviceObject::address);
    let driver = device.and_then(DeviceObject::driver);
    let driver = driver.map_or(0, |driver| driver.as_ptr() as u64);
    bugcheck::raise(
        PNP_DETECTED_FATAL_ERROR,
        [INVALID_PDO, address, driver, 0],
        function,
        "The device is not a physical device object of a bus.",
    )
}

crate::export::exports! { "ntoskrnl.exe"; IoInvalidateDeviceState }
