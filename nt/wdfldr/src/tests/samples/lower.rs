//! A WDM driver for a filter to sit on: it answers, fails, or keeps control requests until they are
//! cancelled.

use crate::kernel::Ptr;
use crate::tests::harness::{INTERFACE, note};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use nt_abi::{
    CTL_CODE, DEVICE_OBJECT, DO_BUFFERED_IO, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DRIVER_OBJECT,
    FILE_DEVICE_UNKNOWN, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_PNP, IRP_MJ_READ, IRP_MJ_WRITE, IRP_MN_REMOVE_DEVICE,
    IRP_MN_START_DEVICE, MDL, METHOD_NEITHER, METHOD_OUT_DIRECT, NTSTATUS, PDEVICE_OBJECT,
    PUNICODE_STRING, PVOID, STATUS_CANCELLED, STATUS_PENDING, STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
    UNICODE_STRING,
};
use nthost::ntddk::{
    IoAttachDeviceToDeviceStack, IoCreateDevice, IoDeleteDevice, IoDetachDevice,
    IoRegisterDeviceInterface, IoReleaseCancelSpinLock, IoSetDeviceInterfaceState,
    MmMapLockedPagesSpecifyCache, RtlFreeUnicodeString,
};

/// Answers with as many bytes as the output buffer has.
pub const ANSWER: u32 = CTL_CODE(0x22, 0x800, 0, 0);
/// Fails.
pub const FAIL: u32 = CTL_CODE(0x22, 0x801, 0, 0);
/// Waits to be cancelled.
pub const KEEP: u32 = CTL_CODE(0x22, 0x802, 0, 0);

/// Answers in the pages of the output buffer, counting on from the first byte of the input.
pub const COUNT: u32 = CTL_CODE(0x22, 0x803, METHOD_OUT_DIRECT, 0);

/// An internal code with three arguments, each null or a byte: they are noted, and the first is counted up.
pub const TELL: u32 = CTL_CODE(0x22, 0x804, METHOD_NEITHER, 0);

/// `DO_BUFFERED_IO` or `DO_DIRECT_IO`: how its next device transfers data.
pub static TRANSFERS: AtomicU32 = AtomicU32::new(DO_BUFFERED_IO);
/// Whether it notes when the remove IRP reaches it.
pub static NOTES_REMOVAL: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Extension {
    lower: *mut DEVICE_OBJECT,
    interface: UNICODE_STRING,
}

pub unsafe extern "win64" fn entry(driver: *mut DRIVER_OBJECT, _: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: It is the I/O manager's driver object.
    let driver = unsafe { &mut *driver };
    for major in [
        IRP_MJ_CREATE,
        IRP_MJ_CLEANUP,
        IRP_MJ_CLOSE,
        IRP_MJ_DEVICE_CONTROL,
        IRP_MJ_INTERNAL_DEVICE_CONTROL,
        IRP_MJ_READ,
        IRP_MJ_WRITE,
        IRP_MJ_PNP,
    ] {
        driver.MajorFunction[major as usize] = Some(dispatch);
    }
    driver.DriverUnload = Some(unload);
    // SAFETY: Every driver object has an extension.
    unsafe { (*driver.DriverExtension).AddDevice = Some(add) };
    STATUS_SUCCESS
}

const unsafe extern "win64" fn unload(_: *mut DRIVER_OBJECT) {}

unsafe extern "win64" fn add(driver: *mut DRIVER_OBJECT, pdo: PDEVICE_OBJECT) -> NTSTATUS {
    let mut device = core::ptr::null_mut();
    let size = crate::kernel::ulong(size_of::<Extension>());
    let none = core::ptr::null_mut();
    // SAFETY: The driver object is this driver's; the output is a local variable.
    let status = unsafe {
        IoCreateDevice(
            driver,
            size,
            none,
            FILE_DEVICE_UNKNOWN,
            0,
            0,
            &raw mut device,
        )
    };
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: The device was created just now.
    let wdm = unsafe { &mut *device };
    // SAFETY: Its extension is of that size.
    let extension = unsafe { &mut *wdm.DeviceExtension.cast::<Extension>() };
    // SAFETY: Both devices are alive.
    extension.lower = unsafe { IoAttachDeviceToDeviceStack(device, pdo) };
    let link = &raw mut extension.interface;
    // SAFETY: The PDO is the PnP manager's, the output a part of the extension.
    let status = unsafe {
        IoRegisterDeviceInterface(pdo, &raw const INTERFACE, core::ptr::null_mut(), link)
    };
    assert_eq!(status, STATUS_SUCCESS);
    wdm.Flags = (wdm.Flags | TRANSFERS.load(Ordering::Acquire)) & !DO_DEVICE_INITIALIZING;
    STATUS_SUCCESS
}

unsafe extern "win64" fn dispatch(device: PDEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let irp = Ptr(irp);
    // SAFETY: The I/O manager gave this driver the IRP.
    let location = unsafe { irp.location() };
    match u32::from(location.MajorFunction) {
        IRP_MJ_PNP => pnp(device, irp, location.MinorFunction),
        IRP_MJ_DEVICE_CONTROL => {
            // SAFETY: Control requests have these parameters.
            let control = unsafe { location.Parameters.DeviceIoControl };
            match control.IoControlCode {
                KEEP => keep(irp),
                FAIL => finish(irp, STATUS_UNSUCCESSFUL, 0),
                COUNT => {
                    // SAFETY: The driver owns the IRP.
                    let input = unsafe { (*irp.0).SystemBuffer };
                    // SAFETY: The input is there, and has a byte.
                    let first = unsafe { input.cast::<u8>().read() };
                    let length = control.OutputBufferLength;
                    count(data(irp, length), first);
                    finish(irp, STATUS_SUCCESS, length.into())
                }
                _ => finish(irp, STATUS_SUCCESS, control.OutputBufferLength.into()),
            }
        }
        IRP_MJ_INTERNAL_DEVICE_CONTROL => {
            // SAFETY: Every member of the union is words.
            let [first, second, code, fourth] = unsafe { location.Parameters.Others };
            assert_eq!(code.addr(), TELL as usize);
            // SAFETY: Each is null or a byte.
            let told = [first, second, fourth].map(|each| unsafe { each.cast::<u8>().as_ref() });
            note(std::format!("{told:?}"));
            // SAFETY: As above; the sender does not look at it before the request is back.
            if let Some(byte) = unsafe { first.cast::<u8>().as_mut() } {
                *byte += 1;
            }
            finish(irp, STATUS_SUCCESS, 7)
        }
        IRP_MJ_READ | IRP_MJ_WRITE => {
            // SAFETY: These requests have these parameters.
            let transfer = unsafe { location.Parameters.Read };
            // SAFETY: The union has one member.
            let offset = unsafe { transfer.ByteOffset.QuadPart };
            let data = data(irp, transfer.Length);
            if u32::from(location.MajorFunction) == IRP_MJ_READ {
                count(data, u8::try_from(offset).expect("a small offset"));
            } else {
                note(std::format!("{data:?} at {offset}"));
            }
            finish(irp, STATUS_SUCCESS, transfer.Length.into())
        }
        _ => finish(irp, STATUS_SUCCESS, 0),
    }
}

/// `MmGetSystemAddressForMdlSafe`: pages that have an address are not mapped again.
fn system_address(mdl: *mut MDL) -> PVOID {
    /// `MDL_MAPPED_TO_SYSTEM_VA` and `MDL_SOURCE_IS_NONPAGED_POOL`.
    const HAS_ADDRESS: i16 = 0x1 | 0x4;
    // SAFETY: The list is that of an IRP which the driver owns.
    let list = unsafe { &*mdl };
    if list.MdlFlags & HAS_ADDRESS != 0 {
        return list.MappedSystemVa;
    }
    // SAFETY: Its pages are locked.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, 0, 1, core::ptr::null_mut(), 0, 16) }
}

/// The bytes that an IRP transfers, by its pages or by a copy.
fn data<'a>(irp: Ptr<IRP>, length: u32) -> &'a mut [u8] {
    // SAFETY: The driver owns the IRP.
    let irp = unsafe { &*irp.0 };
    let start = if irp.MdlAddress.is_null() {
        irp.SystemBuffer
    } else {
        assert_eq!(
            TRANSFERS.load(Ordering::Acquire) == DO_DIRECT_IO,
            irp.SystemBuffer.is_null(),
            "control requests have both"
        );
        system_address(irp.MdlAddress)
    };
    // SAFETY: The buffer is that long, and the driver's until it completes the IRP.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), length as usize) }
}

/// Fills a buffer with consecutive numbers.
fn count(data: &mut [u8], first: u8) {
    for (byte, number) in data.iter_mut().zip(first..) {
        *byte = number;
    }
}

fn finish(irp: Ptr<IRP>, status: NTSTATUS, information: u64) -> NTSTATUS {
    // SAFETY: The driver owns the IRP.
    unsafe { irp.set_status(status) };
    // SAFETY: As above.
    unsafe { irp.set_information(information) };
    // SAFETY: As above; it is given up here.
    unsafe { nthost::ntddk::IofCompleteRequest(irp.0, 0) };
    status
}

fn keep(irp: Ptr<IRP>) -> NTSTATUS {
    // SAFETY: The driver owns the IRP.
    unsafe { irp.mark_pending() };
    // SAFETY: As above.
    unsafe { irp.set_cancel_routine(Some(cancel)) };
    // SAFETY: The IRP is not completed before the routine was called, which the test waits for.
    if unsafe { irp.is_cancelled() } {
        // SAFETY: As above.
        if unsafe { irp.set_cancel_routine(None) } {
            finish(irp, STATUS_CANCELLED, 0);
        }
    }
    STATUS_PENDING
}

unsafe extern "win64" fn cancel(_: PDEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: The cancel routine is called with the IRP alive and the lock held.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: `IoCancelIrp` acquired the lock at this IRQL.
    unsafe { IoReleaseCancelSpinLock(irql) };
    finish(Ptr(irp), STATUS_CANCELLED, 0);
}

fn pnp(device: PDEVICE_OBJECT, irp: Ptr<IRP>, minor: u8) -> NTSTATUS {
    // SAFETY: The device is this driver's, with this extension.
    let extension = unsafe { (*device).DeviceExtension };
    // SAFETY: As above.
    let extension = unsafe { &mut *extension.cast::<Extension>() };
    let link = &raw mut extension.interface;
    let lower = extension.lower;
    let minor = u32::from(minor);
    if minor == IRP_MN_START_DEVICE {
        // SAFETY: The interface was registered.
        unsafe { IoSetDeviceInterfaceState(link, 1) };
    }
    // SAFETY: The driver owns the IRP.
    unsafe { irp.set_status(STATUS_SUCCESS) };
    if minor != IRP_MN_REMOVE_DEVICE {
        // SAFETY: The device is attached to the lower one.
        return unsafe { irp.forward(Ptr(lower)) };
    }
    if NOTES_REMOVAL.load(Ordering::Acquire) {
        note("removed below");
    }
    // SAFETY: The interface was registered.
    unsafe { IoSetDeviceInterfaceState(link, 0) };
    // SAFETY: The name came with the registration.
    unsafe { RtlFreeUnicodeString(link) };
    // SAFETY: The device is attached to the lower one.
    let status = unsafe { irp.forward(Ptr(lower)) };
    // SAFETY: As above.
    unsafe { IoDetachDevice(lower) };
    // SAFETY: The device is this driver's, and goes.
    unsafe { IoDeleteDevice(device) };
    status
}
