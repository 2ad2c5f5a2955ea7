//! Opening a device by name from inside of the kernel.

use core::sync::atomic::Ordering;

use nt_abi::{
    _MODE::KernelMode, ACCESS_MASK, IO_STATUS_BLOCK, LARGE_INTEGER, NTSTATUS, PHANDLE,
    PIO_STATUS_BLOCK, POBJECT_ATTRIBUTES, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_PATH_SYNTAX_BAD, STATUS_SUCCESS, ULONG,
};

use super::{
    file::{self, Opening},
    rules::{Rule, passive_level},
};
use crate::{fault, ob, rtl, thread};

/// The options of a create request: 24 bits of them.
const OPTIONS: ULONG = 0x00FF_FFFF;

/// The full name that object attributes give.
///
/// # Safety
///
/// The attributes must be valid or null.
unsafe fn name(attributes: POBJECT_ATTRIBUTES) -> Result<String, NTSTATUS> {
    // SAFETY: Valid by the contract of this function.
    let attributes = unsafe { attributes.as_ref() }.ok_or(STATUS_INVALID_PARAMETER)?;
    // SAFETY: As above.
    let name = unsafe { rtl::to_string(attributes.ObjectName) };
    // There is no file that names could be relative to.
    if attributes.RootDirectory.is_null() && name.starts_with('\\') {
        Ok(name)
    } else {
        Err(STATUS_OBJECT_PATH_SYNTAX_BAD)
    }
}

/// Opens what a name leads to, a device or its interface: there are no file systems. `PASSIVE_LEVEL` (rule
/// `IrqlZwPassive`, bug check 0xC4 (0x2001F)). DDI: `ZwCreateFile`.
///
/// The driver gets `IRP_MJ_CREATE`, `IRP_MJ_CLEANUP` when the last handle is closed, and `IRP_MJ_CLOSE` when the last
/// reference to the file is given up. Reads and writes go by IRPs: there is no `ZwReadFile`. Attributes, the access
/// that others may share, extended attributes and an allocation size are for file systems, and not looked at.
///
/// # Safety
///
/// The pointers must be valid; `AllocationSize` and `EaBuffer` may be null.
pub unsafe extern "win64" fn ZwCreateFile(
    FileHandle: PHANDLE,
    DesiredAccess: ACCESS_MASK,
    ObjectAttributes: POBJECT_ATTRIBUTES,
    IoStatusBlock: PIO_STATUS_BLOCK,
    _AllocationSize: *mut LARGE_INTEGER,
    _FileAttributes: ULONG,
    _ShareAccess: ULONG,
    CreateDisposition: ULONG,
    CreateOptions: ULONG,
    _EaBuffer: PVOID,
    _EaLength: ULONG,
) -> NTSTATUS {
    const NAME: &str = "ZwCreateFile";
    passive_level(Rule::ZW_PASSIVE, NAME);
    // SAFETY: Valid by the contract of this function.
    let name = match unsafe { name(ObjectAttributes) } {
        Ok(name) => name,
        Err(status) => return status,
    };
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let opening = Opening {
        mode: KernelMode as i8,
        access: DesiredAccess,
        options: CreateDisposition << 24 | CreateOptions & OPTIONS,
    };
    let (opened, information) = match file::open_as(thread::current(), &name, &opening) {
        Ok(opened) => opened,
        Err(status) => return status,
    };
    opened.kernel().by_handle.store(true, Ordering::Release);
    // SAFETY: The file was opened just now; its reference is given up below.
    let handle = unsafe { ob::insert(opened.as_ptr().cast()) };
    opened.dereference();
    // SAFETY: Valid by the contract of this function.
    unsafe { FileHandle.write(handle) };
    if !IoStatusBlock.is_null() {
        let block = IO_STATUS_BLOCK {
            Status: STATUS_SUCCESS,
            Information: information,
        };
        // SAFETY: As above.
        unsafe { IoStatusBlock.write(block) };
    }
    STATUS_SUCCESS
}

crate::export::exports! { "ntoskrnl.exe"; ZwCreateFile }
