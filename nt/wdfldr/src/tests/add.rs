//! What most test drivers do when a device is added.

use super::callbacks::wdf;
use super::harness::{INTERFACE, null};
use crate::abi::{PWDFDEVICE_INIT, WDF_PNPPOWER_EVENT_CALLBACKS, WDFDEVICE, WDFOBJECT};
use nt_abi::STATUS_SUCCESS;

/// Names the driver's callbacks for Plug and Play and for power.
pub fn set_events(init: PWDFDEVICE_INIT, mut events: WDF_PNPPOWER_EVENT_CALLBACKS) {
    wdf!(device::WdfDeviceInitSetPnpPowerEventCallbacks(
        init,
        &raw mut events
    ));
}

/// Creates a device without a context.
pub fn create_device(mut init: PWDFDEVICE_INIT) -> WDFDEVICE {
    let mut device = WDFOBJECT::NULL;
    let status = wdf!(device::WdfDeviceCreate(
        &raw mut init,
        null(),
        &raw mut device
    ));
    assert_eq!(status, STATUS_SUCCESS);
    device
}

/// Gives a device the interface by which tests open it.
pub fn give_interface(device: WDFDEVICE) {
    let class = &raw const INTERFACE;
    let status = wdf!(device::WdfDeviceCreateDeviceInterface(
        device,
        class,
        null()
    ));
    assert_eq!(status, STATUS_SUCCESS);
}
