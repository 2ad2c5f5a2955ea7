//! Drivers that are part of a test: the inline functions of the WDK's headers, and a driver with one
//! named device, whose control requests a function of the test handles.

use core::{ptr, slice};
use std::{collections::BTreeMap, sync::Mutex};

use nthost::{Driver, DriverEntry, File, Kernel, Stop, ntddk::*};

use super::nt;

/// A UTF-16 string with its counted form.
pub struct Text(Vec<u16>);

impl Text {
    pub fn new(text: &str) -> Self {
        Self(text.encode_utf16().chain([0]).collect())
    }

    pub fn counted(&self) -> UNICODE_STRING {
        let mut string = UNICODE_STRING::default();
        nt!(RtlInitUnicodeString(&raw mut string, self.0.as_ptr()));
        string
    }
}

/// The current stack location (`IoGetCurrentIrpStackLocation`).
pub fn stack<'a>(irp: PIRP) -> &'a mut IO_STACK_LOCATION {
    // SAFETY: Tests call this for an IRP that they own.
    let location = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: As above: it is theirs.
    unsafe { &mut *location }
}

/// The parameters of a control request.
pub fn control(irp: PIRP) -> DeviceIoControlParameters {
    let parameters = stack(irp).Parameters;
    // SAFETY: Tests call this for a control request.
    unsafe { parameters.DeviceIoControl }
}

/// `IoMarkIrpPending`.
pub fn mark_pending(irp: PIRP) {
    stack(irp).Control |= SL_PENDING_RETURNED;
}

/// `IoSetCancelRoutine`; what was set before does not matter here.
pub fn set_cancel_routine(irp: PIRP, routine: PDRIVER_CANCEL) {
    // SAFETY: Tests call this for an IRP that they own.
    unsafe { (*irp).CancelRoutine = routine };
}

/// `Irp->CancelIrql`.
pub fn cancel_irql(irp: PIRP) -> KIRQL {
    // SAFETY: Cancel routines call this for their IRP.
    unsafe { (*irp).CancelIrql }
}

/// Completes an IRP with a status and as many bytes.
pub fn complete(irp: PIRP, status: NTSTATUS, information: u64) -> NTSTATUS {
    let block = IO_STATUS_BLOCK {
        Status: status,
        Information: information,
    };
    // SAFETY: Tests call this for an IRP that they own.
    unsafe { (*irp).IoStatus = block };
    nt!(IofCompleteRequest(irp, 0));
    status
}

/// `IoSkipCurrentIrpStackLocation`, and passes the IRP on.
pub fn forward(lower: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: Tests call this for an IRP that they own.
    let packet = unsafe { &mut *irp };
    packet.CurrentLocation += 1;
    packet.CurrentStackLocation = packet.CurrentStackLocation.wrapping_add(1);
    nt!(IofCallDriver(lower, irp))
}

/// The driver object that the kernel passes to a routine.
pub fn object<'a>(driver: PDRIVER_OBJECT) -> &'a mut DRIVER_OBJECT {
    // SAFETY: The kernel passes its driver object, which stays until the driver is unloaded.
    unsafe { &mut *driver }
}

/// A dispatch routine.
pub type Dispatch = unsafe extern "win64" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

/// What handles control requests, by the name of the driver.
static HANDLERS: Mutex<BTreeMap<String, Dispatch>> = Mutex::new(BTreeMap::new());

unsafe extern "win64" fn succeed(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn unload(driver: PDRIVER_OBJECT) {
    nt!(IoDeleteDevice(object(driver).DeviceObject));
}

unsafe extern "win64" fn entry(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
    let path = text(path);
    let driver_name = path.rsplit('\\').next().expect("the key of a service");
    let name = Text::new(&format!(r"\Device\{driver_name}"));
    let mut device = ptr::null_mut();
    let status = nt!(IoCreateDevice(
        driver,
        64,
        &mut name.counted(),
        FILE_DEVICE_UNKNOWN,
        0,
        FALSE,
        &raw mut device,
    ));
    let driver = object(driver);
    driver.DriverUnload = Some(unload);
    driver.MajorFunction.fill(Some(succeed));
    let handler = HANDLERS.lock().expect("a lock").get(driver_name).copied();
    driver.MajorFunction[IRP_MJ_DEVICE_CONTROL as usize] = handler;
    status
}

/// The text of a counted string.
pub fn text(string: *const UNICODE_STRING) -> String {
    // SAFETY: The kernel and the tests pass valid strings.
    let string = unsafe { &*string };
    if string.Length == 0 {
        return String::new();
    }
    // SAFETY: As above.
    let units = unsafe { slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) };
    String::from_utf16_lossy(units)
}

/// Loads a driver that is part of the test.
pub fn load_entry(name: &str, entry: DriverEntry) -> Result<Driver, Stop> {
    // SAFETY: Tests pass routines of the types that the kernel calls them by.
    unsafe { Kernel::get().load_in_process(name, entry) }
}

/// Loads a driver with a device `\Device\NAME` and opens it: `handle` gets its control requests,
/// everything else succeeds.
pub fn load(name: &str, handle: Dispatch) -> Result<(Driver, File), Stop> {
    HANDLERS
        .lock()
        .expect("a lock")
        .insert(name.to_owned(), handle);
    let driver = load_entry(name, entry)?;
    let file = Kernel::get().open(&format!(r"\Device\{name}"))?;
    Ok((driver, file))
}

/// A control code of a method.
pub const fn code(method: u32) -> u32 {
    CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, method, FILE_ANY_ACCESS)
}

/// Sends a driver with this handler one request, which must end in a bug check.
pub fn run_to_bug_check(handle: Dispatch) {
    let result = load("subject", handle)
        .and_then(|(_driver, file)| file.ioctl(code(METHOD_BUFFERED), b"input", &mut [0; 16]));
    assert!(result.is_err_and(|stop| stop.bug_check().is_some()));
    // The kernel is dead: this does not return.
    nt!(KeGetCurrentIrql());
}
