//! The life of drivers and devices: start, removal, surprise removal, control devices, failure.

use super::add::{create_device, give_interface, set_events};
use super::callbacks::{driver, event, wdf};
use super::harness::{
    ATTRIBUTES, NO_PNP_EVENTS, driver_config, enter, globals, interface, note, noted, null,
    queue_config, status_of, turn, wide, with_device,
};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_DRIVER_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDFCMRESLIST, WDFDEVICE, WDFDRIVER, WDFOBJECT, WDFQUEUE, WDFREQUEST, WdfDriverInitNonPnpDriver,
};
use crate::kernel::ulong;
use core::sync::atomic::{AtomicUsize, Ordering};
use nt_abi::{
    DRIVER_OBJECT, NTSTATUS, PUNICODE_STRING, STATUS_ACCESS_DENIED, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use nthost::{Kernel, Stop};
use std::vec::Vec;

fn noted_as(name: &'static str) -> NTSTATUS {
    note(name);
    STATUS_SUCCESS
}

const PNP: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceD0Entry: Some(event!(|_device: WDFDEVICE, from: i32| -> NTSTATUS {
        note(std::format!("D0Entry from {from}"));
        STATUS_SUCCESS
    })),
    EvtDeviceD0Exit: Some(event!(|_device: WDFDEVICE, to: i32| -> NTSTATUS {
        note(std::format!("D0Exit to {to}"));
        STATUS_SUCCESS
    })),
    EvtDevicePrepareHardware: Some(event!(|_device: WDFDEVICE,
                                           raw: WDFCMRESLIST,
                                           translated: WDFCMRESLIST|
     -> NTSTATUS {
        let counts = [raw, translated].map(|list| wdf!(resources::WdfCmResourceListGetCount(list)));
        note(std::format!("PrepareHardware {counts:?}"));
        STATUS_SUCCESS
    })),
    EvtDeviceReleaseHardware: Some(event!(|_device: WDFDEVICE,
                                           _list: WDFCMRESLIST|
     -> NTSTATUS { noted_as("ReleaseHardware") })),
    EvtDeviceSelfManagedIoCleanup: Some(event!(|_device: WDFDEVICE| note("SelfManagedIoCleanup"))),
    EvtDeviceSelfManagedIoFlush: Some(event!(|_device: WDFDEVICE| note("SelfManagedIoFlush"))),
    EvtDeviceSelfManagedIoInit: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        noted_as("SelfManagedIoInit")
    })),
    EvtDeviceSelfManagedIoSuspend: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        noted_as("SelfManagedIoSuspend")
    })),
    EvtDeviceSurpriseRemoval: Some(event!(|_device: WDFDEVICE| note("SurpriseRemoval"))),
    EvtDeviceQueryRemove: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        noted_as("QueryRemove")
    })),
    ..NO_PNP_EVENTS
};

/// Creates a device with an interface and a queue that completes every control request.
fn simple_device(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        EvtCleanupCallback: Some(event!(|_object: WDFOBJECT| note("device cleanup"))),
        EvtDestroyCallback: Some(event!(|_object: WDFOBJECT| note("device destroy"))),
        ..ATTRIBUTES
    };
    let mut device = WDFOBJECT::NULL;
    let status = wdf!(device::WdfDeviceCreate(
        &raw mut init,
        &raw mut attributes,
        &raw mut device
    ));
    assert_eq!(status, STATUS_SUCCESS);
    assert!(init.is_null(), "the initialisation structure is used up");
    give_interface(device);
    let mut config = queue_config(2);
    config.EvtIoDeviceControl =
        Some(event!(|_queue: WDFQUEUE,
                     request: WDFREQUEST,
                     _output: usize,
                     _input: usize,
                     _code: u32| {
            wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
        }));
    wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ))
}

fn pnp_device(init: PWDFDEVICE_INIT) -> NTSTATUS {
    set_events(init, PNP);
    simple_device(init)
}

#[test]
fn start_and_removal_call_the_events_in_the_documented_order() {
    let log = with_device(driver!(pnp_device), |kernel, _| {
        let up = [
            "PrepareHardware [0, 0]",
            "D0Entry from 5",
            "SelfManagedIoInit",
        ];
        assert_eq!(noted(), up);
        let file = kernel.open(interface()).expect("the interface is enabled");
        assert_eq!(
            status_of(&file.ioctl(0x22_2000, &[], &mut [])),
            STATUS_SUCCESS
        );
        drop(file);
    });
    let down = [
        "QueryRemove",
        "SelfManagedIoSuspend",
        "D0Exit to 5",
        "ReleaseHardware",
        "SelfManagedIoFlush",
        "SelfManagedIoCleanup",
        "device cleanup",
        "device destroy",
    ];
    assert_eq!(log, down);
    let gone = Kernel::get().open(interface());
    assert_eq!(status_of(&gone), STATUS_OBJECT_NAME_NOT_FOUND);
}

#[test]
fn after_surprise_removal_only_the_rest_is_undone() {
    let log = with_device(driver!(pnp_device), |_, device| {
        noted();
        device.surprise_remove().expect("surprise");
    });
    let down = [
        "SurpriseRemoval",
        "SelfManagedIoSuspend",
        "D0Exit to 5",
        "ReleaseHardware",
        "SelfManagedIoFlush",
        "SelfManagedIoCleanup",
        "device cleanup",
        "device destroy",
    ];
    assert_eq!(log, down);
}

#[test]
fn a_device_that_cannot_enter_d0_does_not_start() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let mut events = WDF_PNPPOWER_EVENT_CALLBACKS {
            EvtDeviceD0Entry: Some(event!(|_device: WDFDEVICE, _from: i32| -> NTSTATUS {
                STATUS_UNSUCCESSFUL
            })),
            ..PNP
        };
        wdf!(device::WdfDeviceInitSetPnpPowerEventCallbacks(
            init,
            &raw mut events
        ));
        simple_device(init)
    }
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("nod0", driver!(add)) }.expect("DriverEntry");
    let device = driver.add_device();
    assert_eq!(status_of(&device), STATUS_UNSUCCESSFUL);
    let log = noted();
    assert!(
        log.iter().any(|event| event == "ReleaseHardware"),
        "{log:?}"
    );
    assert!(log.iter().any(|event| event == "device destroy"), "{log:?}");
    driver.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
}

#[test]
fn a_device_add_that_fails_leaves_no_device() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        assert_eq!(simple_device(init), STATUS_SUCCESS);
        STATUS_NO_MEMORY
    }
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("noadd", driver!(add)) }.expect("DriverEntry");
    assert_eq!(status_of(&driver.add_device()), STATUS_NO_MEMORY);
    assert_eq!(noted(), ["device cleanup", "device destroy"]);
    driver.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
}

#[test]
fn a_driver_entry_that_fails_leaves_nothing() {
    unsafe extern "win64" fn entry(driver: *mut DRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
        let add =
            event!(|_driver: WDFDRIVER, _init: PWDFDEVICE_INIT| -> NTSTATUS { STATUS_SUCCESS });
        // SAFETY: The arguments are the I/O manager's.
        let status = unsafe { enter(driver, path, driver_config(add)) };
        assert_eq!(status, STATUS_SUCCESS);
        // SAFETY: As the entry library does when `DriverEntry` failed; the driver ends here.
        unsafe { crate::loader::WdfVersionUnbind(null(), null(), globals()) };
        STATUS_UNSUCCESSFUL
    }
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("fails", entry) };
    assert!(matches!(driver, Err(Stop::Status(STATUS_UNSUCCESSFUL))));
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
}

/// The control device of the next test.
static CONTROL: AtomicUsize = AtomicUsize::new(0);

fn create_control_device() -> NTSTATUS {
    let (_sddl, mut sddl) = wide("D:P(A;;GA;;;SY)(A;;GA;;;BA)");
    // SAFETY: The globals are the driver's.
    let driver = unsafe { (*globals()).Driver };
    let init = wdf!(device::WdfControlDeviceInitAllocate(driver, &raw mut sddl));
    assert!(!init.is_null());
    let (_name, mut name) = wide(r"\Device\TestControl");
    assert_eq!(
        wdf!(device::WdfDeviceInitAssignName(init, &raw mut name)),
        STATUS_SUCCESS
    );
    wdf!(device::WdfDeviceInitSetExclusive(init, 1));
    let device = create_device(init);
    let (_link, mut link) = wide(r"\DosDevices\TestControl");
    let status = wdf!(device::WdfDeviceCreateSymbolicLink(device, &raw mut link));
    assert_eq!(status, STATUS_SUCCESS);
    wdf!(device::WdfControlFinishInitializing(device));
    CONTROL.store(device.0, Ordering::Release);
    STATUS_SUCCESS
}

#[test]
fn a_control_device_is_exclusive_and_goes_when_the_driver_deletes_it() {
    unsafe extern "win64" fn entry(driver: *mut DRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
        let config = WDF_DRIVER_CONFIG {
            EvtDriverDeviceAdd: None,
            EvtDriverUnload: Some(event!(|_driver: WDFDRIVER| {
                note("unload");
                let device = WDFOBJECT(CONTROL.load(Ordering::Acquire));
                wdf!(object::WdfObjectDelete(device));
            })),
            DriverInitFlags: WdfDriverInitNonPnpDriver,
            ..driver_config(event!(|_driver: WDFDRIVER,
                                    _init: PWDFDEVICE_INIT|
             -> NTSTATUS { STATUS_SUCCESS }))
        };
        // SAFETY: The arguments are the I/O manager's.
        let status = unsafe { enter(driver, path, config) };
        assert_eq!(status, STATUS_SUCCESS);
        create_control_device()
    }
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("control", entry) }.expect("DriverEntry");
    let first = kernel.open(r"\\.\TestControl").expect("open");
    assert_eq!(
        status_of(&kernel.open(r"\\.\TestControl")),
        STATUS_ACCESS_DENIED
    );
    assert_eq!(
        status_of(&first.ioctl(0x22_2000, &[], &mut [])),
        STATUS_INVALID_DEVICE_REQUEST
    );
    drop(first);
    drop(kernel.open(r"\\.\TestControl").expect("free again"));
    driver.unload().expect("unload");
    assert_eq!(noted(), ["unload"]);
    assert_eq!(
        status_of(&kernel.open(r"\\.\TestControl")),
        STATUS_OBJECT_NAME_NOT_FOUND
    );
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
}

#[test]
fn a_device_with_a_security_descriptor_that_is_none_is_not_created() {
    /// `FILE_AUTOGENERATED_DEVICE_NAME`.
    const NAMED: u32 = 0x80;
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let mut device = WDFOBJECT::NULL;
        let mut create = |mut init: PWDFDEVICE_INIT, sddl: &str| {
            let (_sddl, mut sddl) = wide(sddl);
            let assigned = wdf!(device::WdfDeviceInitAssignSDDLString(init, &raw mut sddl));
            assert_eq!(assigned, STATUS_SUCCESS);
            let device = &raw mut device;
            wdf!(device::WdfDeviceCreate(&raw mut init, null(), device))
        };
        let unnamed = create(init, "D:P(A;;GA;;;SY)");
        assert_eq!(unnamed, crate::abi::STATUS_INVALID_SECURITY_DESCR);
        wdf!(device::WdfDeviceInitSetCharacteristics(init, NAMED, 1));
        assert_eq!(create(init, "D:P(A;;GA;;SY)"), STATUS_INVALID_PARAMETER);
        create(init, "D:P(A;;GA;;;SY)(A;;GA;;;BA)")
    }
    with_device(driver!(add), |_, _| ());
}

#[test]
fn binding_checks_the_version() {
    use crate::abi::{Function, WDF_BIND_INFO, WDF_VERSION};
    unsafe extern "win64" fn entry(driver: *mut DRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
        let mut table: *const Function = core::ptr::null();
        let good = WDF_BIND_INFO {
            Size: ulong(size_of::<WDF_BIND_INFO>()),
            Component: null(),
            Version: WDF_VERSION {
                Major: 1,
                Minor: 33,
                Build: 0,
            },
            FuncCount: 458,
            FuncTable: &raw mut table,
            Module: null(),
        };
        let newer = WDF_VERSION {
            Minor: 34,
            ..good.Version
        };
        let statuses: Vec<NTSTATUS> = [
            WDF_BIND_INFO {
                Version: newer,
                ..good
            },
            WDF_BIND_INFO {
                FuncCount: 459,
                ..good
            },
            WDF_BIND_INFO { Size: 8, ..good },
            WDF_BIND_INFO {
                FuncTable: null(),
                ..good
            },
        ]
        .into_iter()
        .map(|mut info| {
            let mut globals = null();
            // SAFETY: The pointers are the I/O manager's and local variables.
            let status = unsafe {
                crate::loader::WdfVersionBind(driver, path, &raw mut info, &raw mut globals)
            };
            assert!(globals.is_null());
            status
        })
        .collect();
        note(std::format!("{statuses:X?}"));
        STATUS_UNSUCCESSFUL
    }
    let _turn = turn();
    // SAFETY: It is a driver.
    let driver = unsafe { Kernel::get().load_in_process("versions", entry) };
    assert!(driver.is_err());
    assert_eq!(noted(), ["[C000000D, C000000D, C0000004, C000000D]"]);
}
