//! What the entry library, the test's driver and the test need.

use crate::abi::{
    Function, WDF_BIND_INFO, WDF_DRIVER_CONFIG, WDF_DRIVER_GLOBALS, WDF_FILEOBJECT_CONFIG,
    WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDF_VERSION, WDFOBJECT, WdfFileObjectWdfCanUseFsContext,
    WdfUseDefault,
};
use crate::kernel::ulong;
use crate::loader::{WdfVersionBind, WdfVersionUnbind};
use crate::table::FUNCTION_COUNT;
use core::sync::atomic::{AtomicPtr, Ordering};
use nt_abi::{
    DRIVER_OBJECT, GUID, NT_SUCCESS, NTSTATUS, PDRIVER_UNLOAD, PUNICODE_STRING, UNICODE_STRING,
};
use nthost::{Driver, Kernel, Stop, Target};
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

pub type Globals = *mut WDF_DRIVER_GLOBALS;

/// The class of the device interface that test drivers register.
pub static INTERFACE: GUID = GUID {
    Data1: 0x5EED_0001,
    Data2: 0,
    Data3: 0x4000,
    Data4: [0x80, 0, 0, 0, 0, 0, 0, 1],
};

static GLOBALS: AtomicPtr<WDF_DRIVER_GLOBALS> = AtomicPtr::new(core::ptr::null_mut());
static FUNCTIONS: AtomicPtr<Function> = AtomicPtr::new(core::ptr::null_mut());
static UNLOAD: Mutex<PDRIVER_UNLOAD> = Mutex::new(None);
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// One driver at a time: log, globals and leaks are the process's.
static TURN: Mutex<()> = Mutex::new(());

/// The globals of the driver under test.
pub fn globals() -> Globals {
    GLOBALS.load(Ordering::Acquire)
}

/// The function at an index of the table, as the macros of `wdf.h` take it.
///
/// # Safety
/// `F` is the function's type.
pub unsafe fn function<F: Copy>(index: usize) -> F {
    assert_eq!(size_of::<F>(), size_of::<usize>());
    // SAFETY: The table has that many entries.
    let entry = unsafe { FUNCTIONS.load(Ordering::Acquire).add(index) };
    // SAFETY: As above.
    let entry = unsafe { entry.read() };
    // SAFETY: By contract.
    unsafe { core::mem::transmute_copy::<*const (), F>(&entry.0) }
}

/// Notes that something happened.
pub fn note(event: impl Into<String>) {
    LOG.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(event.into());
}

/// What was noted since the last call.
pub fn noted() -> Vec<String> {
    core::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The turn to run a driver.
pub fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    noted();
    turn
}

/// What the entry library does around `DriverEntry`.
///
/// # Safety
/// The pointers are those that the I/O manager passed.
pub unsafe fn enter(
    driver: *mut DRIVER_OBJECT,
    path: PUNICODE_STRING,
    config: WDF_DRIVER_CONFIG,
) -> NTSTATUS {
    let mut table: *const Function = core::ptr::null();
    let mut info = WDF_BIND_INFO {
        Size: ulong(size_of::<WDF_BIND_INFO>()),
        Component: core::ptr::null_mut(),
        Version: WDF_VERSION {
            Major: 1,
            Minor: 33,
            Build: 0,
        },
        FuncCount: ulong(FUNCTION_COUNT),
        FuncTable: &raw mut table,
        Module: core::ptr::null_mut(),
    };
    let mut globals = null();
    // SAFETY: The pointers are the I/O manager's and local variables.
    let status = unsafe { WdfVersionBind(driver, path, &raw mut info, &raw mut globals) };
    if !NT_SUCCESS(status) {
        return status;
    }
    FUNCTIONS.store(table.cast_mut(), Ordering::Release);
    GLOBALS.store(globals, Ordering::Release);
    let mut config = config;
    let config = &raw mut config;
    // SAFETY: The pointers are as `WdfDriverCreate` asks.
    let status =
        unsafe { crate::driver::WdfDriverCreate(globals, driver, path, null(), config, null()) };
    if !NT_SUCCESS(status) {
        // SAFETY: The driver was bound above and ends here.
        unsafe { WdfVersionUnbind(path, &raw mut info, globals) };
        return status;
    }
    // SAFETY: The driver object is this driver's.
    let driver = unsafe { &mut *driver };
    *UNLOAD.lock().unwrap() = driver.DriverUnload;
    driver.DriverUnload = Some(unload);
    status
}

unsafe extern "win64" fn unload(driver: *mut DRIVER_OBJECT) {
    let displaced = UNLOAD.lock().unwrap().take();
    if let Some(displaced) = displaced {
        // SAFETY: The framework's routine, with its argument.
        unsafe { displaced(driver) };
    }
    // SAFETY: The driver's last call.
    unsafe { WdfVersionUnbind(null(), null(), globals()) };
}

/// A driver configuration with a device.
pub const fn driver_config(
    add: unsafe extern "win64" fn(WDFOBJECT, *mut core::ffi::c_void) -> NTSTATUS,
) -> WDF_DRIVER_CONFIG {
    WDF_DRIVER_CONFIG {
        Size: ulong(size_of::<WDF_DRIVER_CONFIG>()),
        EvtDriverDeviceAdd: Some(add),
        EvtDriverUnload: None,
        DriverInitFlags: 0,
        DriverPoolTag: u32::from_le_bytes(*b"Test"),
    }
}

/// `WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE`.
pub const fn queue_config(dispatch: i32) -> WDF_IO_QUEUE_CONFIG {
    WDF_IO_QUEUE_CONFIG {
        Size: ulong(size_of::<WDF_IO_QUEUE_CONFIG>()),
        DispatchType: dispatch,
        PowerManaged: WdfUseDefault,
        AllowZeroLengthRequests: 0,
        DefaultQueue: 1,
        EvtIoDefault: None,
        EvtIoRead: None,
        EvtIoWrite: None,
        EvtIoDeviceControl: None,
        EvtIoInternalDeviceControl: None,
        EvtIoStop: None,
        EvtIoResume: None,
        EvtIoCanceledOnQueue: None,
        NumberOfPresentedRequests: if dispatch == 2 { u32::MAX } else { 0 },
        Driver: WDFOBJECT::NULL,
    }
}

/// `WDF_FILEOBJECT_CONFIG_INIT` without events.
pub const FILES: WDF_FILEOBJECT_CONFIG = WDF_FILEOBJECT_CONFIG {
    Size: ulong(size_of::<WDF_FILEOBJECT_CONFIG>()),
    EvtDeviceFileCreate: None,
    EvtFileClose: None,
    EvtFileCleanup: None,
    AutoForwardCleanupClose: WdfUseDefault,
    FileObjectClass: WdfFileObjectWdfCanUseFsContext,
};

/// `WDF_PNPPOWER_EVENT_CALLBACKS_INIT`.
pub const NO_PNP_EVENTS: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    Size: ulong(size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>()),
    EvtDeviceD0Entry: None,
    EvtDeviceD0EntryPostInterruptsEnabled: None,
    EvtDeviceD0Exit: None,
    EvtDeviceD0ExitPreInterruptsDisabled: None,
    EvtDevicePrepareHardware: None,
    EvtDeviceReleaseHardware: None,
    EvtDeviceSelfManagedIoCleanup: None,
    EvtDeviceSelfManagedIoFlush: None,
    EvtDeviceSelfManagedIoInit: None,
    EvtDeviceSelfManagedIoSuspend: None,
    EvtDeviceSelfManagedIoRestart: None,
    EvtDeviceSurpriseRemoval: None,
    EvtDeviceQueryRemove: None,
    EvtDeviceQueryStop: None,
    EvtDeviceUsageNotification: None,
    EvtDeviceRelationsQuery: None,
    EvtDeviceUsageNotificationEx: None,
};

/// `WDF_OBJECT_ATTRIBUTES_INIT`.
pub const ATTRIBUTES: WDF_OBJECT_ATTRIBUTES = WDF_OBJECT_ATTRIBUTES {
    Size: ulong(size_of::<WDF_OBJECT_ATTRIBUTES>()),
    EvtCleanupCallback: None,
    EvtDestroyCallback: None,
    ExecutionLevel: 1,
    SynchronizationScope: 1,
    ParentObject: WDFOBJECT::NULL,
    ContextSizeOverride: 0,
    ContextTypeInfo: core::ptr::null(),
};

/// The type information of a context.
pub struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: The pointers in it are constants.
unsafe impl Sync for ContextType {}

impl ContextType {
    pub const fn info(&self) -> *const WDF_OBJECT_CONTEXT_TYPE_INFO {
        &raw const self.0
    }
}

/// The type of a context of `size` bytes.
pub const fn context_type(size: usize) -> ContextType {
    ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO {
        Size: ulong(size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>()),
        ContextName: c"Context".as_ptr(),
        ContextSize: size,
        UniqueType: core::ptr::null(),
        EvtDriverGetUniqueContextType: None,
    })
}

/// No object, for optional parameters.
pub const fn null<T>() -> *mut T {
    core::ptr::null_mut()
}

/// A counted string over text.
pub fn wide(text: &str) -> (Vec<u16>, UNICODE_STRING) {
    let mut units: Vec<u16> = text.encode_utf16().collect();
    let string = crate::device::string_of(&mut units);
    (units, string)
}

/// Loads a driver, adds its device, and undoes both when `test` is done; nothing may be left then.
pub fn with_device(
    entry: nthost::DriverEntry,
    test: impl FnOnce(Kernel, &nthost::Device),
) -> Vec<String> {
    with_added_device(entry, Driver::add_device, test)
}

/// As [`with_device`], for a device that is added by `add`.
pub fn with_added_device(
    entry: nthost::DriverEntry,
    add: impl FnOnce(&Driver) -> Result<nthost::Device, Stop>,
    test: impl FnOnce(Kernel, &nthost::Device),
) -> Vec<String> {
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: Test drivers are drivers.
    let driver = unsafe { kernel.load_in_process("testdrv", entry) }.expect("DriverEntry");
    let device = add(&driver).expect("AddDevice and start");
    test(kernel, &device);
    match device.remove() {
        // A test may have removed it.
        Ok(()) | Err(Stop::Status(nt_abi::STATUS_NO_SUCH_DEVICE)) => {}
        Err(stop) => panic!("remove: {stop}"),
    }
    driver.unload().expect("unload");
    let leaks = kernel.leaks();
    assert!(leaks.is_empty(), "{leaks}");
    noted()
}

/// The first device of the driver under test.
pub fn interface() -> Target<'static> {
    Target::Interface(INTERFACE)
}

/// The status that a request ended with.
pub fn status_of<T>(result: &Result<T, Stop>) -> NTSTATUS {
    match result {
        Ok(_) => nt_abi::STATUS_SUCCESS,
        Err(stop) => stop.status().unwrap_or_else(|| panic!("{stop}")),
    }
}
