//! Interrupts: when they are connected, what runs where, and what keeps it apart.

use super::add::{create_device, give_interface, set_events};
use super::callbacks::{driver, event, wdf};
use super::harness::{ATTRIBUTES, NO_PNP_EVENTS, note, status_of, turn, with_added_device};
use crate::abi::{
    INTERRUPT_CONFIG_SIZE_V1_9, INTERRUPT_CONFIG_SIZE_V1_11, INTERRUPT_INFO_SIZE_V1_7,
    PWDFDEVICE_INIT, WDF_INTERRUPT_CONFIG, WDF_INTERRUPT_INFO, WDF_OBJECT_ATTRIBUTES,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDFCMRESLIST, WDFCONTEXT, WDFDEVICE, WDFINTERRUPT, WDFOBJECT,
    WdfTrue, WdfUseDefault,
};
use crate::kernel::ulong;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use nt_abi::{
    _KINTERRUPT_MODE, BOOLEAN, CmResourceShareShared, KIRQL, NTSTATUS, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL, TRUE,
};
use nthost::{Device, Driver, InterruptResource, Kernel, Stop};
use std::format;
use std::string::String;
use std::vec::Vec;

/// The interrupts of the device, as its driver has them.
static INTERRUPTS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static DEVICE: AtomicUsize = AtomicUsize::new(0);
/// Whether the driver refuses to enable an interrupt.
static REFUSES: AtomicBool = AtomicBool::new(false);

const FIRST: InterruptResource = InterruptResource {
    vector: 0x61,
    irql: 7,
    latched: false,
    shared: true,
    processors: 0b11,
};
const SECOND: InterruptResource = InterruptResource {
    vector: 0x62,
    irql: 9,
    latched: true,
    shared: false,
    processors: 1,
};

fn irql() -> KIRQL {
    // SAFETY: Has no requirement.
    unsafe { nthost::ntddk::KeGetCurrentIrql() }
}

fn interrupt(number: usize) -> WDFINTERRUPT {
    WDFOBJECT(INTERRUPTS[number].load(Ordering::Acquire))
}

/// Which interrupt it is, from 0 on.
fn number(handle: WDFINTERRUPT) -> usize {
    usize::from(handle != interrupt(0))
}

fn device() -> WDFDEVICE {
    WDFOBJECT(DEVICE.load(Ordering::Acquire))
}

/// Notes what happens to an interrupt, and at which IRQL.
fn note_of(handle: WDFINTERRUPT, what: &str) {
    note(format!("{what} {} at {}", number(handle), irql()));
}

unsafe extern "win64" fn isr(interrupt: WDFINTERRUPT, message: u32) -> BOOLEAN {
    assert_eq!(message, 0);
    note_of(interrupt, "isr");
    let first = wdf!(interrupt::WdfInterruptQueueDpcForIsr(interrupt));
    let again = wdf!(interrupt::WdfInterruptQueueDpcForIsr(interrupt));
    let work = wdf!(interrupt::WdfInterruptQueueWorkItemForIsr(interrupt));
    assert_eq!([first, again, work], [1, 0, 0]);
    TRUE
}

unsafe extern "win64" fn dpc(interrupt: WDFINTERRUPT, associated: WDFOBJECT) {
    assert_eq!(associated, device());
    note_of(interrupt, "dpc");
}

unsafe extern "win64" fn enable(interrupt: WDFINTERRUPT, associated: WDFDEVICE) -> NTSTATUS {
    assert_eq!(associated, device());
    note_of(interrupt, "enable");
    if REFUSES.load(Ordering::Acquire) && number(interrupt) == 1 {
        STATUS_UNSUCCESSFUL
    } else {
        STATUS_SUCCESS
    }
}

unsafe extern "win64" fn disable(interrupt: WDFINTERRUPT, associated: WDFDEVICE) -> NTSTATUS {
    assert_eq!(associated, device());
    note_of(interrupt, "disable");
    STATUS_SUCCESS
}

/// `WDF_INTERRUPT_CONFIG_INIT`, with all events.
fn config() -> WDF_INTERRUPT_CONFIG {
    WDF_INTERRUPT_CONFIG {
        Size: ulong(size_of::<WDF_INTERRUPT_CONFIG>()),
        ShareVector: WdfUseDefault,
        EvtInterruptIsr: Some(isr),
        EvtInterruptDpc: Some(dpc),
        EvtInterruptEnable: Some(enable),
        EvtInterruptDisable: Some(disable),
        ReportInactiveOnPowerDown: WdfUseDefault,
        ..WDF_INTERRUPT_CONFIG::default()
    }
}

fn try_create(mut config: WDF_INTERRUPT_CONFIG) -> Result<WDFINTERRUPT, NTSTATUS> {
    let mut handle = WDFOBJECT::NULL;
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        EvtCleanupCallback: Some(event!(|interrupt: WDFOBJECT| note_of(interrupt, "cleanup"))),
        ..ATTRIBUTES
    };
    match wdf!(interrupt::WdfInterruptCreate(
        device(),
        &raw mut config,
        &raw mut attributes,
        &raw mut handle
    )) {
        STATUS_SUCCESS => Ok(handle),
        status => Err(status),
    }
}

fn create(place: usize, config: WDF_INTERRUPT_CONFIG) {
    let handle = try_create(config).expect("an interrupt");
    INTERRUPTS[place].store(handle.0, Ordering::Release);
}

const EVENTS: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceD0Entry: Some(event!(|_device: WDFDEVICE, _before: i32| -> NTSTATUS {
        note("D0Entry");
        STATUS_SUCCESS
    })),
    EvtDeviceD0EntryPostInterruptsEnabled: Some(event!(|_device: WDFDEVICE,
                                                        _before: i32|
     -> NTSTATUS {
        note("enabled");
        STATUS_SUCCESS
    })),
    EvtDeviceD0ExitPreInterruptsDisabled: Some(event!(|_device: WDFDEVICE,
                                                       _next: i32|
     -> NTSTATUS {
        note("to be disabled");
        STATUS_SUCCESS
    })),
    EvtDeviceD0Exit: Some(event!(|_device: WDFDEVICE, _next: i32| -> NTSTATUS {
        note("D0Exit");
        STATUS_SUCCESS
    })),
    ..NO_PNP_EVENTS
};

fn create_with(init: PWDFDEVICE_INIT, events: WDF_PNPPOWER_EVENT_CALLBACKS) {
    REFUSES.store(false, Ordering::Release);
    set_events(init, events);
    let device = create_device(init);
    DEVICE.store(device.0, Ordering::Release);
    give_interface(device);
}

/// A device with two interrupts, of which the driver may refuse the second.
fn two_with(init: PWDFDEVICE_INIT, refuses: bool) -> NTSTATUS {
    create_with(init, EVENTS);
    REFUSES.store(refuses, Ordering::Release);
    create(0, config());
    create(1, config());
    STATUS_SUCCESS
}

fn two(init: PWDFDEVICE_INIT) -> NTSTATUS {
    two_with(init, false)
}

/// A device that has these two among its resources.
fn add_two(driver: &Driver) -> Result<Device, Stop> {
    driver.add_interrupting_device(&[FIRST, SECOND])
}

fn fire(kernel: Kernel, resource: InterruptResource) -> bool {
    kernel.interrupt(resource.vector, 0).expect("no bug check")
}

const UP: [&str; 4] = ["D0Entry", "enable 0 at 7", "enable 1 at 9", "enabled"];
const DOWN: [&str; 4] = [
    "to be disabled",
    "disable 1 at 9",
    "disable 0 at 7",
    "D0Exit",
];

/// What becomes of the interrupts with their device, in the order of the tree.
fn cleanup(log: &[String]) -> Vec<&str> {
    let mut cleanup: Vec<_> = log.iter().map(String::as_str).collect();
    cleanup.sort_unstable();
    cleanup
}

#[test]
fn interrupts_are_enabled_in_d0_alone() {
    let log = with_added_device(driver!(two), add_two, |kernel, device| {
        assert!(fire(kernel, FIRST));
        device.stop().expect("stop");
        assert!(!fire(kernel, FIRST), "it is not connected");
        device.start().expect("start");
        assert!(fire(kernel, SECOND));
    });
    let first = ["isr 0 at 7", "dpc 0 at 2"];
    let second = ["isr 1 at 9", "dpc 1 at 2"];
    let expected = [&UP[..], &first, &DOWN, &UP, &second, &DOWN].concat();
    let (lived, went) = log.split_at(expected.len());
    assert_eq!(lived, expected);
    assert_eq!(cleanup(went), ["cleanup 0 at 0", "cleanup 1 at 0"]);
}

#[test]
fn an_interrupt_that_the_driver_does_not_enable_keeps_the_device_from_starting() {
    let turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("testdrv", driver!(|init| two_with(init, true))) }
        .expect("DriverEntry");
    let added = add_two(&driver);
    assert_eq!(status_of(&added), STATUS_UNSUCCESSFUL);
    assert!(!fire(kernel, FIRST));
    driver.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    drop(turn);
}

#[test]
fn the_lock_keeps_the_service_routine_away() {
    fn synchronize(kernel: Kernel) -> BOOLEAN {
        let callback = event!(|interrupt: WDFINTERRUPT, context: WDFCONTEXT| -> BOOLEAN {
            note_of(interrupt, "synchronized");
            BOOLEAN::from(!context.is_null())
        });
        let call = || {
            wdf!(interrupt::WdfInterruptSynchronize(
                interrupt(0),
                Some(callback),
                core::ptr::dangling_mut()
            ))
        };
        kernel.run(call).expect("no bug check")
    }
    let log = with_added_device(driver!(two), add_two, |kernel, _| {
        assert_eq!(synchronize(kernel), 1);
        std::thread::scope(|scope| {
            let hold = || {
                wdf!(interrupt::WdfInterruptAcquireLock(interrupt(0)));
                assert_eq!(irql(), FIRST.irql);
                // On the other processor than this thread's it comes through, and waits for the lock.
                let fired = scope.spawn(move || {
                    (0..2).any(|number| {
                        kernel
                            .interrupt(FIRST.vector, number)
                            .expect("no bug check")
                    })
                });
                std::thread::sleep(std::time::Duration::from_millis(20));
                note("released");
                wdf!(interrupt::WdfInterruptReleaseLock(interrupt(0)));
                assert_eq!(irql(), 0);
                fired
            };
            let fired = kernel.run(hold).expect("no bug check");
            assert!(fired.join().expect("a device"));
        });
        let switch = || {
            wdf!(interrupt::WdfInterruptDisable(interrupt(1)));
            wdf!(interrupt::WdfInterruptEnable(interrupt(1)));
        };
        kernel.run(switch).expect("no bug check");
    });
    let expected = [
        "synchronized 0 at 7",
        "released",
        "isr 0 at 7",
        "dpc 0 at 2",
        "disable 1 at 9",
        "enable 1 at 9",
    ];
    assert_eq!(log[UP.len()..][..expected.len()], expected);
}

#[test]
fn interrupts_with_one_lock_are_synchronized_at_the_higher_irql() {
    let entry = driver!(|init| {
        create_with(init, EVENTS);
        let mut lock = WDFOBJECT::NULL;
        let mut attributes = WDF_OBJECT_ATTRIBUTES {
            ParentObject: device(),
            ..ATTRIBUTES
        };
        let made = wdf!(sync::WdfSpinLockCreate(&raw mut attributes, &raw mut lock));
        assert_eq!(made, STATUS_SUCCESS);
        for place in 0..2 {
            create(
                place,
                WDF_INTERRUPT_CONFIG {
                    SpinLock: lock,
                    ..config()
                },
            );
        }
        STATUS_SUCCESS
    });
    let log = with_added_device(entry, add_two, |kernel, _| {
        assert!(fire(kernel, FIRST));
    });
    assert_eq!(log[UP.len()..][..2], ["isr 0 at 9", "dpc 0 at 2"]);
}

#[test]
fn a_work_item_runs_at_passive_level_and_once() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let entry = driver!(|init| {
        create_with(init, EVENTS);
        create(
            0,
            WDF_INTERRUPT_CONFIG {
                EvtInterruptIsr: Some(event!(|interrupt: WDFINTERRUPT,
                                              _message: u32|
                 -> BOOLEAN {
                    let dpc = wdf!(interrupt::WdfInterruptQueueDpcForIsr(interrupt));
                    let first = wdf!(interrupt::WdfInterruptQueueWorkItemForIsr(interrupt));
                    let again = wdf!(interrupt::WdfInterruptQueueWorkItemForIsr(interrupt));
                    assert_eq!([dpc, first, again], [0, 1, 0]);
                    TRUE
                })),
                EvtInterruptDpc: None,
                EvtInterruptWorkItem: Some(event!(
                    |_interrupt: WDFINTERRUPT, associated: WDFOBJECT| {
                        assert_eq!((associated, irql()), (device(), 0));
                        RUNS.fetch_add(1, Ordering::AcqRel);
                    }
                )),
                ..config()
            },
        );
        STATUS_SUCCESS
    });
    with_added_device(entry, add_two, |kernel, _| {
        RUNS.store(0, Ordering::Release);
        for run in 1..=2 {
            assert!(fire(kernel, FIRST));
            while RUNS.load(Ordering::Acquire) < run {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn an_interrupt_for_the_resources_of_now_goes_with_them() {
    const PREPARES: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
        EvtDevicePrepareHardware: Some(event!(|_device: WDFDEVICE,
                                               raw: WDFCMRESLIST,
                                               translated: WDFCMRESLIST|
         -> NTSTATUS {
            let of = |list| wdf!(resources::WdfCmResourceListGetDescriptor(list, 1));
            assert_eq!(
                try_create(config()),
                Err(STATUS_INVALID_DEVICE_STATE),
                "it has to be named"
            );
            create(
                0,
                WDF_INTERRUPT_CONFIG {
                    InterruptRaw: of(raw).expose_provenance(),
                    InterruptTranslated: of(translated).expose_provenance(),
                    ..config()
                },
            );
            STATUS_SUCCESS
        })),
        EvtDeviceReleaseHardware: Some(event!(|_device: WDFDEVICE,
                                               _list: WDFCMRESLIST|
         -> NTSTATUS {
            note("release");
            STATUS_SUCCESS
        })),
        ..NO_PNP_EVENTS
    };
    let entry = driver!(|init| {
        create_with(init, PREPARES);
        STATUS_SUCCESS
    });
    let log = with_added_device(entry, add_two, |kernel, device| {
        assert!(!fire(kernel, FIRST));
        assert!(fire(kernel, SECOND));
        device.stop().expect("stop");
        device.start().expect("start");
    });
    let life = ["enable 0 at 9", "isr 0 at 9", "dpc 0 at 2"];
    let end = ["disable 0 at 9", "release", "cleanup 0 at 0"];
    assert_eq!(log, [&life[..], &end, &life[..1], &end].concat());
}

#[test]
fn a_device_tells_of_its_interrupts() {
    fn info(kernel: Kernel, place: usize, size: usize) -> WDF_INTERRUPT_INFO {
        let mut info = WDF_INTERRUPT_INFO {
            Size: ulong(size),
            ..WDF_INTERRUPT_INFO::default()
        };
        info.Group.0 = 0xFFFF;
        let get = || {
            wdf!(interrupt::WdfInterruptGetInfo(
                interrupt(place),
                &raw mut info
            ));
        };
        kernel.run(get).expect("no bug check");
        info
    }
    let whole = size_of::<WDF_INTERRUPT_INFO>();
    with_added_device(driver!(two), add_two, |kernel, device| {
        let (first, second) = (info(kernel, 0, whole), info(kernel, 1, whole));
        assert_eq!((first.Vector, first.Irql), (FIRST.vector, FIRST.irql));
        assert_eq!(first.ShareDisposition, CmResourceShareShared);
        assert_eq!(first.TargetProcessorSet, FIRST.processors);
        assert_eq!(first.Group.0, 0);
        assert_eq!(second.Mode, _KINTERRUPT_MODE::Latched);
        assert_eq!(info(kernel, 0, INTERRUPT_INFO_SIZE_V1_7).Group.0, 0xFFFF);
        assert_eq!(info(kernel, 0, 8).Vector, 0, "of no known size");
        let kernel_interrupt = || {
            let its = wdf!(interrupt::WdfInterruptGetDevice(interrupt(0)));
            assert_eq!(its, super::interrupts::device());
            wdf!(interrupt::WdfInterruptWdmGetInterrupt(interrupt(0))).is_null()
        };
        assert!(!kernel.run(kernel_interrupt).expect("no bug check"));
        device.stop().expect("stop");
        assert!(kernel.run(kernel_interrupt).expect("no bug check"));
        assert_eq!(info(kernel, 0, whole).Vector, 0);
    });
    // Without resources the driver's interrupts have nothing to be connected to.
    let log = with_added_device(driver!(two), Driver::add_device, |kernel, _| {
        assert_eq!(info(kernel, 0, whole).Irql, 0);
    });
    assert_eq!(log[..3], ["D0Entry", "enabled", "to be disabled"]);
}

#[test]
fn interrupts_that_make_no_sense_are_refused() {
    let entry = driver!(|init| {
        create_with(init, EVENTS);
        let with = |change: fn(&mut WDF_INTERRUPT_CONFIG)| {
            let mut config = config();
            change(&mut config);
            try_create(config).err()
        };
        let invalid: [fn(&mut WDF_INTERRUPT_CONFIG); 5] = [
            |it| it.EvtInterruptIsr = None,
            |it| it.InterruptTranslated = 1,
            |it| it.CanWakeDevice = 1,
            |it| it.EvtInterruptWorkItem = Some(dpc),
            |it| it.WaitLock = device(),
        ];
        for change in invalid {
            assert_eq!(with(change), Some(STATUS_INVALID_PARAMETER));
        }
        assert_eq!(with(|it| it.Size = 8), Some(STATUS_INFO_LENGTH_MISMATCH));
        assert_eq!(
            with(|it| it.PassiveHandling = 1),
            Some(STATUS_NOT_SUPPORTED)
        );
        let old = [INTERRUPT_CONFIG_SIZE_V1_9, INTERRUPT_CONFIG_SIZE_V1_11];
        for (place, size) in old.into_iter().enumerate() {
            create(
                place,
                WDF_INTERRUPT_CONFIG {
                    Size: ulong(size),
                    ShareVector: WdfTrue,
                    CanWakeDevice: 1,
                    ..config()
                },
            );
        }
        STATUS_SUCCESS
    });
    with_added_device(entry, add_two, |kernel, _| {
        assert!(fire(kernel, SECOND));
        let late = kernel.run(|| try_create(config())).expect("no bug check");
        assert_eq!(late, Err(STATUS_INVALID_DEVICE_STATE));
    });
}
