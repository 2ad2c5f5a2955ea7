//! The names of the I/O manager's objects (`ObQueryNameString`).

use nt_abi::{
    NTSTATUS, OBJECT_NAME_INFORMATION, PDEVICE_OBJECT, PULONG, PVOID, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_SUCCESS, ULONG, UNICODE_STRING, USHORT,
};

use super::object::{DEVICE_TYPE, DRIVER_TYPE, DeviceObject, DriverObject, FILE_TYPE, FileObject};
use crate::{irql::APC, ob, rtl};

fn device_name(device: PDEVICE_OBJECT) -> String {
    // SAFETY: The callers pass a device that is alive.
    let device = unsafe { DeviceObject::new(device) };
    let name = device.and_then(|device| device.kernel().name.clone());
    name.unwrap_or_default()
}

/// The name of an object; empty if it has none.
///
/// # Safety
///
/// It must be an object of this kernel that is alive.
unsafe fn name(object: PVOID) -> String {
    // SAFETY: Alive by the contract of this function.
    if unsafe { ob::is_of(object, &DEVICE_TYPE) } {
        return device_name(object.cast());
    }
    // SAFETY: As above.
    if unsafe { ob::is_of(object, &DRIVER_TYPE) } {
        // SAFETY: It is a driver object.
        let driver = unsafe { DriverObject::new(object.cast()) };
        return driver.map_or_else(String::new, |d| format!(r"\Driver\{}", d.kernel().name));
    }
    // SAFETY: As above.
    if unsafe { ob::is_of(object, &FILE_TYPE) } {
        // SAFETY: It is a file object.
        let file = unsafe { FileObject::new(object.cast()) };
        return file.map_or_else(String::new, |file| {
            format!(
                "{}{}",
                device_name(file.device_pointer()),
                file.kernel().name
            )
        });
    }
    String::new()
}

/// Tells the name of an object. `<= APC_LEVEL`. DDI: `ObQueryNameString` (ntifs).
///
/// `STATUS_INFO_LENGTH_MISMATCH`, with the length that is needed, if there is no room.
///
/// # Safety
///
/// It must be an object that is alive; `ObjectNameInfo` must have room for `Length` bytes, and
/// `ReturnLength` be valid for a write.
pub unsafe extern "win64" fn ObQueryNameString(
    Object: PVOID,
    ObjectNameInfo: *mut OBJECT_NAME_INFORMATION,
    Length: ULONG,
    ReturnLength: PULONG,
) -> NTSTATUS {
    rtl::pageable!(APC, ObQueryNameString);
    // SAFETY: Alive by the contract of this function.
    let name = unsafe { name(Object) };
    let text: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let size = if name.is_empty() {
        0
    } else {
        size_of_val(&*text)
    };
    let needed = (size_of::<OBJECT_NAME_INFORMATION>() + size) as ULONG;
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { ReturnLength.write(needed) };
    if Length < needed || ObjectNameInfo.is_null() {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    let mut counted = UNICODE_STRING::default();
    if size != 0 {
        let place = ObjectNameInfo.wrapping_add(1).cast::<u16>();
        // SAFETY: The room behind the structure is as large as the text, as was checked.
        unsafe { place.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        counted.Buffer = place;
        // Names are far shorter than 64 KiB.
        counted.MaximumLength = size as USHORT;
        counted.Length = counted.MaximumLength - 2;
    }
    // SAFETY: There is room for the structure, as was checked.
    unsafe { ObjectNameInfo.write(OBJECT_NAME_INFORMATION { Name: counted }) };
    STATUS_SUCCESS
}

crate::export::exports! { "ntoskrnl.exe"; ObQueryNameString }
