//! What a target's stack is asked for: interfaces, and what the PnP manager knows of its device.

use super::{Globals, IoTarget};
use crate::abi::WDFIOTARGET;
use crate::device::{query_parameters, query_stack};
use crate::kernel::current_irql;
use crate::object::lookup;
use core::ffi::c_void;
use nt_abi::{GUID, INTERFACE, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, USHORT};

/// `WdfIoTargetQueryForInterface`: asks the stack of a target for an interface.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
///
/// `STATUS_INVALID_DEVICE_REQUEST` for one that is closed; otherwise as `WdfFdoQueryForInterface`.
pub unsafe extern "win64" fn WdfIoTargetQueryForInterface(
    _: Globals,
    IoTarget: WDFIOTARGET,
    InterfaceType: *const GUID,
    Interface: *mut INTERFACE,
    Size: USHORT,
    Version: USHORT,
    InterfaceSpecificData: *mut c_void,
) -> NTSTATUS {
    let target = lookup::<self::IoTarget>(IoTarget);
    let query = query_parameters(
        InterfaceType,
        Interface,
        Size,
        Version,
        InterfaceSpecificData,
    );
    let device = target.lower();
    if current_irql() != 0 || device.is_null() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: The device is there while the target is open, and the pointers are the client's.
    unsafe { query_stack(device, query) }
}
