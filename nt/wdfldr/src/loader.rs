//! The exports of `WDFLDR.SYS`: how a client's entry library finds the framework.
//!
//! The real loader picks a framework image by version; here the framework is the same image, so that
//! binding is a check of the version and the handing over of the function table.

use crate::abi::{Function, WDF_BIND_INFO, WDF_BIND_INFO2, WDF_DRIVER_GLOBALS};
use crate::client::{Client, characters};
use crate::kernel::{Outcome, Ptr, status_of};
use crate::table::FUNCTIONS;
use nt_abi::{
    BOOLEAN, DRIVER_OBJECT, NTSTATUS, PUNICODE_STRING, PVOID, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED, STATUS_SUCCESS, ULONG,
};

/// The framework's version: 1.33.
pub const MAJOR: ULONG = 1;
/// See [`MAJOR`].
pub const MINOR: ULONG = 33;

/// The table sizes of the framework versions from 1.0 to 1.31 and later.
const KNOWN_COUNTS: [ULONG; 13] = [
    383, 386, 387, 396, 432, 438, 444, 446, 448, 451, 453, 454, 458,
];
/// Up to this size (version 1.13) the client has a table of its own that is filled; from then on it
/// has a pointer that is set.
const LAST_COPIED_COUNT: ULONG = 438;

/// Binds a driver to the framework: called by its entry library before `DriverEntry`.
/// IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER` for null pointers, a newer framework than 1.33 or a function count that
/// no version has; `STATUS_INFO_LENGTH_MISMATCH` for a structure of unknown size.
///
/// # Safety
/// The pointers are null or those of a driver's entry library: its driver object, its registry path,
/// its bind information and a place for the globals.
#[unsafe(no_mangle)]
pub unsafe extern "win64" fn WdfVersionBind(
    DriverObject: *mut DRIVER_OBJECT,
    RegistryPath: PUNICODE_STRING,
    BindInfo: *mut WDF_BIND_INFO,
    ComponentGlobals: *mut *mut WDF_DRIVER_GLOBALS,
) -> NTSTATUS {
    let missing = DriverObject.is_null() || RegistryPath.is_null();
    if missing || BindInfo.is_null() || ComponentGlobals.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: By contract it is the client's bind information.
    let info = unsafe { BindInfo.read() };
    let outcome = check_bind_info(&info).and_then(|()| {
        // SAFETY: By contract it is a string, and it is used inside this call alone.
        let path = unsafe { characters(RegistryPath) };
        let client = Client::bind(Ptr(DriverObject), path)?;
        // SAFETY: The size and version of the information were checked.
        unsafe { hand_over(&info, BindInfo) };
        // SAFETY: By contract there is a place for it.
        unsafe { ComponentGlobals.write(client.globals()) };
        Ok(())
    });
    status_of(outcome)
}

/// Whether the framework can serve a client of this version.
fn check_bind_info(info: &WDF_BIND_INFO) -> Outcome {
    let size = info.Size as usize;
    if size != size_of::<WDF_BIND_INFO>() && size != size_of::<WDF_BIND_INFO2>() {
        return Err(nt_abi::STATUS_INFO_LENGTH_MISMATCH);
    }
    let version = info.Version;
    let known = KNOWN_COUNTS.contains(&info.FuncCount);
    if info.FuncTable.is_null() || version.Major != MAJOR || version.Minor > MINOR || !known {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(())
}

/// Gives the client the function table, and fills in what the second form of the information asks.
///
/// # Safety
/// `place` is a client's bind information, of the size that `info`, a copy of it, says.
unsafe fn hand_over(info: &WDF_BIND_INFO, place: *mut WDF_BIND_INFO) {
    let table = FUNCTIONS.as_ptr();
    if info.FuncCount <= LAST_COPIED_COUNT {
        let target = info.FuncTable.cast::<Function>();
        // SAFETY: The client's table has the `FuncCount` entries that it says; ours has more.
        unsafe { target.copy_from_nonoverlapping(table, info.FuncCount as usize) };
    } else {
        // SAFETY: It is the address of the client's `WdfFunctions` pointer.
        unsafe { info.FuncTable.write(table) };
    }
    if info.Size as usize == size_of::<WDF_BIND_INFO2>() {
        // SAFETY: The size says that it is the second form.
        let second = unsafe { place.cast::<WDF_BIND_INFO2>().read() };
        // SAFETY: The pointers are null or addresses of the client's variables.
        if let Some(higher) = unsafe { second.ClientVersionHigherThanFramework.as_mut() } {
            *higher = BOOLEAN::from(false);
        }
        // SAFETY: As above.
        if let Some(count) = unsafe { second.FuncCountPtr.as_mut() } {
            *count = info.FuncCount;
        }
    }
}

/// Takes a driver's binding back: called by its entry library after its unload routine, or when
/// `DriverEntry` failed. IRQL `PASSIVE_LEVEL`.
///
/// # Safety
/// `ComponentGlobals` came from [`WdfVersionBind`] and was not unbound yet; no code of the driver
/// calls the framework any more.
#[unsafe(no_mangle)]
pub unsafe extern "win64" fn WdfVersionUnbind(
    _RegistryPath: PUNICODE_STRING,
    _BindInfo: *mut WDF_BIND_INFO,
    ComponentGlobals: *mut WDF_DRIVER_GLOBALS,
) -> NTSTATUS {
    if ComponentGlobals.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    Client::from_globals(ComponentGlobals).unbind();
    STATUS_SUCCESS
}

/// Binds a client to a class extension. There are none here.
///
/// # Errors
/// `STATUS_NOT_SUPPORTED`, always.
#[unsafe(no_mangle)]
pub const extern "win64" fn WdfVersionBindClass(
    _BindInfo: *mut WDF_BIND_INFO,
    _Globals: *mut WDF_DRIVER_GLOBALS,
    _ClassBindInfo: PVOID,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

/// Takes a class binding back; there are none.
#[unsafe(no_mangle)]
pub const extern "win64" fn WdfVersionUnbindClass(
    _BindInfo: *mut WDF_BIND_INFO,
    _Globals: *mut WDF_DRIVER_GLOBALS,
    _ClassBindInfo: PVOID,
) {
}

/// Registers a class extension.
///
/// # Errors
/// `STATUS_NOT_SUPPORTED`, always.
#[unsafe(no_mangle)]
pub const extern "win64" fn WdfRegisterClassLibrary(
    _ClassLibraryInfo: PVOID,
    _SourceName: PUNICODE_STRING,
    _ClassLibraryDeviceName: PUNICODE_STRING,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

/// Registers another framework library.
///
/// # Errors
/// `STATUS_NOT_SUPPORTED`, always: the framework is this image.
#[unsafe(no_mangle)]
pub const extern "win64" fn WdfRegisterLibrary(
    _LibraryInfo: PVOID,
    _ServicePath: PUNICODE_STRING,
    _LibraryDeviceName: PUNICODE_STRING,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

/// Asks for the loader's private interfaces, of which there are none.
///
/// # Errors
/// `STATUS_NOT_SUPPORTED`, always.
#[unsafe(no_mangle)]
pub const extern "win64" fn WdfLdrQueryInterface(_LoaderInterface: PVOID) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

/// The image's own entry point, which has nothing to prepare: all state is static, because a driver
/// that was loaded as another one's import is not entered on every host.
#[unsafe(no_mangle)]
pub const extern "win64" fn DriverEntry(
    _DriverObject: *mut DRIVER_OBJECT,
    _RegistryPath: PUNICODE_STRING,
) -> NTSTATUS {
    STATUS_SUCCESS
}
