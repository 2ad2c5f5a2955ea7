//! Automatic synchronization: execution levels, synchronization scopes, callback locks.

use super::add::give_interface;
use super::callbacks::{driver, event, wdf};
use super::harness::{
    ATTRIBUTES, FILES, interface, note, null, queue_config, status_of, with_device,
};
use super::support::timer_config;
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL, WDF_DPC_CONFIG,
    WDF_OBJECT_ATTRIBUTES, WDF_WORKITEM_CONFIG, WDFDEVICE, WDFDPC, WDFOBJECT, WDFQUEUE, WDFREQUEST,
    WDFWORKITEM, WdfExecutionLevelDispatch, WdfExecutionLevelPassive,
    WdfSynchronizationScopeDevice, WdfSynchronizationScopeInheritFromParent,
    WdfSynchronizationScopeNone, WdfSynchronizationScopeQueue, bugcheck,
};
use crate::kernel::{current_irql, ulong};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use nt_abi::bugcheck::WDF_VIOLATION;
use nt_abi::{
    NTSTATUS, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
};
use nthost::testing::expect_bug_check;
use std::time::Duration;
use std::vec::Vec;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
static QUEUE: AtomicUsize = AtomicUsize::new(0);
static OTHER: AtomicUsize = AtomicUsize::new(0);
/// How many callbacks are running.
static INSIDE: AtomicU32 = AtomicU32::new(0);
/// Whether two were at once.
static OVERLAPPED: AtomicBool = AtomicBool::new(false);
static LEVEL: AtomicU32 = AtomicU32::new(u32::MAX);

fn handle(place: &AtomicUsize) -> WDFOBJECT {
    WDFOBJECT(place.load(Ordering::Acquire))
}

/// What every callback here does: long enough to be met inside.
fn inside() {
    if INSIDE.fetch_add(1, Ordering::AcqRel) > 0 {
        OVERLAPPED.store(true, Ordering::Release);
    }
    LEVEL.store(u32::from(current_irql()), Ordering::Release);
    for _ in 0..2000 {
        core::hint::spin_loop();
    }
    INSIDE.fetch_sub(1, Ordering::AcqRel);
}

const fn attributes(level: i32, scope: i32) -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        ExecutionLevel: level,
        SynchronizationScope: scope,
        ..ATTRIBUTES
    }
}

fn create_device(mut init: PWDFDEVICE_INIT, mut attributes: WDF_OBJECT_ATTRIBUTES) -> NTSTATUS {
    INSIDE.store(0, Ordering::Release);
    OVERLAPPED.store(false, Ordering::Release);
    let mut device = WDFOBJECT::NULL;
    let status = wdf!(device::WdfDeviceCreate(
        &raw mut init,
        &raw mut attributes,
        &raw mut device
    ));
    if status == STATUS_SUCCESS {
        DEVICE.store(device.0, Ordering::Release);
        give_interface(device);
    }
    status
}

/// A parallel queue, default or not, whose requests `event` gets.
fn create_queue(
    default: bool,
    mut attributes: WDF_OBJECT_ATTRIBUTES,
    event: unsafe extern "win64" fn(WDFQUEUE, WDFREQUEST),
) -> NTSTATUS {
    let mut config = queue_config(2);
    config.DefaultQueue = default.into();
    config.EvtIoDefault = Some(event);
    let mut queue = WDFOBJECT::NULL;
    let status = wdf!(queue::WdfIoQueueCreate(
        handle(&DEVICE),
        &raw mut config,
        &raw mut attributes,
        &raw mut queue
    ));
    let place = if default { &QUEUE } else { &OTHER };
    place.store(queue.0, Ordering::Release);
    status
}

unsafe extern "win64" fn complete_inside(_: WDFQUEUE, request: WDFREQUEST) {
    inside();
    wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
}

/// Sends control and read requests from many threads.
fn storm(kernel: nthost::Kernel) {
    let file = kernel.open(interface()).expect("open");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..100 {
                    let status = if thread % 2 == 0 {
                        status_of(&file.ioctl(0x22_2000, &[], &mut []))
                    } else {
                        status_of(&file.read(0, &mut [0; 4]))
                    };
                    assert_eq!(status, STATUS_SUCCESS);
                }
            });
        }
    });
}

fn overlapped() -> bool {
    OVERLAPPED.load(Ordering::Acquire)
}

#[test]
fn callbacks_of_one_queue_run_one_at_a_time_at_dispatch_level() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        create_device(init, ATTRIBUTES);
        let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeQueue);
        create_queue(true, scope, complete_inside)
    }
    with_device(driver!(add), |kernel, _| {
        storm(kernel);
        assert!(!overlapped());
        assert_eq!(LEVEL.load(Ordering::Acquire), 2, "under a spin lock");
    });
}

/// Two queues, one for control and one for read requests, that inherit from the device.
fn two_queues(init: PWDFDEVICE_INIT, device: WDF_OBJECT_ATTRIBUTES) -> NTSTATUS {
    create_device(init, device);
    create_queue(true, ATTRIBUTES, complete_inside);
    create_queue(false, ATTRIBUTES, complete_inside);
    wdf!(device::WdfDeviceConfigureRequestDispatching(
        handle(&DEVICE),
        handle(&OTHER),
        3
    ))
}

#[test]
fn callbacks_of_a_device_exclude_each_other_across_queues() {
    with_device(
        driver!(|init| {
            let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeDevice);
            two_queues(init, scope)
        }),
        |kernel, _| {
            storm(kernel);
            assert!(!overlapped());
            assert_eq!(LEVEL.load(Ordering::Acquire), 2);
        },
    );
}

#[test]
fn passive_callbacks_of_a_device_exclude_each_other_at_passive_level() {
    with_device(
        driver!(|init| {
            let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeDevice);
            two_queues(init, scope)
        }),
        |kernel, _| {
            storm(kernel);
            assert!(!overlapped());
            assert_eq!(LEVEL.load(Ordering::Acquire), 0, "under a fast mutex");
        },
    );
}

/// Sends a request, waits until its callback has begun, cancels, and gives the request's status.
fn cancel_inside(kernel: nthost::Kernel) -> NTSTATUS {
    let file = kernel.open(interface()).expect("open");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| status_of(&file.ioctl(0x22_2000, &[], &mut [])));
        while INSIDE.load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        file.cancel().expect("cancel");
        sender.join().expect("sender")
    })
}

const CANCEL: crate::abi::PFN_WDF_REQUEST_CANCEL = Some(event!(|request: WDFREQUEST| {
    note("cancel");
    wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
}));

#[test]
fn a_cancel_event_waits_for_the_callback_of_its_queue() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        create_device(init, ATTRIBUTES);
        let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeQueue);
        create_queue(
            true,
            scope,
            event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
                let marked = wdf!(request::WdfRequestMarkCancelableEx(request, CANCEL));
                assert_eq!(marked, STATUS_SUCCESS);
                INSIDE.store(1, Ordering::Release);
                while wdf!(request::WdfRequestIsCanceled(request)) == 0 {
                    crate::kernel::sleep_milliseconds(1);
                }
                crate::kernel::sleep_milliseconds(20);
                note("callback is over");
            }),
        )
    }
    let log = with_device(driver!(add), |kernel, _| {
        assert_eq!(cancel_inside(kernel), STATUS_CANCELLED);
    });
    assert_eq!(log, ["callback is over", "cancel"]);
}

#[test]
fn marking_a_cancelled_request_calls_the_event_after_the_callback() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        create_device(init, ATTRIBUTES);
        let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeQueue);
        create_queue(
            true,
            scope,
            event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
                INSIDE.store(1, Ordering::Release);
                while wdf!(request::WdfRequestIsCanceled(request)) == 0 {
                    crate::kernel::sleep_milliseconds(1);
                }
                wdf!(request::WdfRequestMarkCancelable(request, CANCEL));
                note("callback is over");
            }),
        )
    }
    let log = with_device(driver!(add), |kernel, _| {
        assert_eq!(cancel_inside(kernel), STATUS_CANCELLED);
    });
    assert_eq!(log, ["callback is over", "cancel"]);
}

#[test]
fn a_request_forwarded_under_the_lock_is_presented_after_it() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeDevice);
        create_device(init, scope);
        create_queue(
            false,
            ATTRIBUTES,
            event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
                note("presented");
                wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            }),
        );
        create_queue(
            true,
            ATTRIBUTES,
            event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
                let to = handle(&OTHER);
                let status = wdf!(request::WdfRequestForwardToIoQueue(request, to));
                assert_eq!(status, STATUS_SUCCESS);
                note("forwarded");
            }),
        )
    }
    let log = with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let status = status_of(&file.ioctl(0x22_2000, &[], &mut []));
        assert_eq!(status, STATUS_SUCCESS);
    });
    assert_eq!(log, ["forwarded", "presented"]);
}

/// Creates a timer, a DPC and a work item with `AutomaticSerialization` under the device.
fn serialized_children() -> [NTSTATUS; 3] {
    let mut under = WDF_OBJECT_ATTRIBUTES {
        ParentObject: handle(&DEVICE),
        ..ATTRIBUTES
    };
    let under = &raw mut under;
    let mut object = WDFOBJECT::NULL;
    let place = &raw mut object;
    let mut timer = timer_config();
    timer.AutomaticSerialization = 1;
    let mut dpc = WDF_DPC_CONFIG {
        Size: ulong(size_of::<WDF_DPC_CONFIG>()),
        EvtDpcFunc: Some(event!(|_dpc: WDFDPC| inside())),
        AutomaticSerialization: 1,
    };
    let mut item = WDF_WORKITEM_CONFIG {
        Size: ulong(size_of::<WDF_WORKITEM_CONFIG>()),
        EvtWorkItemFunc: Some(event!(|_item: WDFWORKITEM| inside())),
        AutomaticSerialization: 1,
    };
    [
        wdf!(timer::WdfTimerCreate(&raw mut timer, under, place)),
        wdf!(dpc::WdfDpcCreate(&raw mut dpc, under, place)),
        wdf!(work_item::WdfWorkItemCreate(&raw mut item, under, place)),
    ]
}

#[test]
fn serialized_children_have_the_level_of_their_parent() {
    const WRONG: NTSTATUS = STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL;
    with_device(
        driver!(|init| {
            let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeDevice);
            let status = create_device(init, scope);
            let children = serialized_children();
            assert_eq!(children, [STATUS_SUCCESS, STATUS_SUCCESS, WRONG]);
            status
        }),
        |_, _| (),
    );
    with_device(
        driver!(|init| {
            let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeDevice);
            let status = create_device(init, scope);
            assert_eq!(serialized_children(), [WRONG, WRONG, STATUS_SUCCESS]);
            status
        }),
        |_, _| (),
    );
    with_device(
        driver!(|init| {
            let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeNone);
            let status = create_device(init, scope);
            let message = "without a scope there is nothing to be serialized with";
            assert_eq!(serialized_children(), [STATUS_SUCCESS; 3], "{message}");
            status
        }),
        |_, _| (),
    );
}

#[test]
fn a_serialized_dpc_excludes_the_callbacks_of_its_queue() {
    static DPC: AtomicUsize = AtomicUsize::new(0);
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        create_device(init, ATTRIBUTES);
        let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeQueue);
        let status = create_queue(true, scope, complete_inside);
        let mut config = WDF_DPC_CONFIG {
            Size: ulong(size_of::<WDF_DPC_CONFIG>()),
            EvtDpcFunc: Some(event!(|_dpc: WDFDPC| inside())),
            AutomaticSerialization: 1,
        };
        let mut under = WDF_OBJECT_ATTRIBUTES {
            ParentObject: handle(&QUEUE),
            ..ATTRIBUTES
        };
        let mut dpc = WDFOBJECT::NULL;
        let created = wdf!(dpc::WdfDpcCreate(
            &raw mut config,
            &raw mut under,
            &raw mut dpc
        ));
        assert_eq!(created, STATUS_SUCCESS);
        DPC.store(dpc.0, Ordering::Release);
        status
    }
    with_device(driver!(add), |kernel, _| {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let queueing = scope.spawn(|| {
                let enqueue = || wdf!(dpc::WdfDpcEnqueue(handle(&DPC)));
                while !over.load(Ordering::Acquire) {
                    kernel.run(enqueue).expect("no bug check");
                }
            });
            storm(kernel);
            over.store(true, Ordering::Release);
            queueing.join().expect("no panic");
        });
        assert!(!overlapped());
    });
}

#[test]
fn scopes_that_make_no_sense_are_refused() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        // Events of files run at PASSIVE_LEVEL, under no lock of another level.
        for (level, device, file) in [
            (
                WdfExecutionLevelDispatch,
                WdfSynchronizationScopeDevice,
                WdfSynchronizationScopeInheritFromParent,
            ),
            (
                WdfExecutionLevelPassive,
                WdfSynchronizationScopeQueue,
                WdfSynchronizationScopeInheritFromParent,
            ),
        ] {
            let (mut files, mut own) = (FILES, attributes(1, file));
            wdf!(device::WdfDeviceInitSetFileObjectConfig(
                init,
                &raw mut files,
                &raw mut own
            ));
            let refused = create_device(init, attributes(level, device));
            assert_eq!(refused, STATUS_INVALID_DEVICE_REQUEST);
        }
        let (mut files, mut own) = (FILES, attributes(1, WdfSynchronizationScopeNone));
        wdf!(device::WdfDeviceInitSetFileObjectConfig(
            init,
            &raw mut files,
            &raw mut own
        ));
        let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeDevice);
        assert_eq!(create_device(init, scope), STATUS_SUCCESS);
        let other = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeDevice);
        let refused = create_queue(true, other, complete_inside);
        assert_eq!(refused, STATUS_INVALID_PARAMETER, "the device's is another");
        create_queue(true, ATTRIBUTES, complete_inside)
    }
    with_device(driver!(add), |_, _| ());
}

#[test]
fn events_of_files_run_one_at_a_time_with_those_of_queues() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let (mut files, mut own) = (FILES, attributes(1, 1));
        files.EvtDeviceFileCreate =
            Some(event!(|_device: WDFDEVICE,
                         request: WDFREQUEST,
                         _file: WDFOBJECT| {
                inside();
                wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            }));
        files.EvtFileCleanup = Some(event!(|_file: WDFOBJECT| inside()));
        files.EvtFileClose = Some(event!(|_file: WDFOBJECT| inside()));
        wdf!(device::WdfDeviceInitSetFileObjectConfig(
            init,
            &raw mut files,
            &raw mut own
        ));
        let scope = attributes(WdfExecutionLevelPassive, WdfSynchronizationScopeDevice);
        two_queues(init, scope)
    }
    with_device(driver!(add), |kernel, _| {
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            drop(kernel.open(interface()).expect("open"));
                        }
                    })
                })
                .collect();
            storm(kernel);
            for thread in opening {
                thread.join().expect("no panic");
            }
        });
        assert!(!overlapped());
    });
}

#[test]
fn the_driver_can_hold_the_lock_of_a_queue() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        create_device(init, ATTRIBUTES);
        let scope = attributes(WdfExecutionLevelDispatch, WdfSynchronizationScopeQueue);
        create_queue(true, scope, complete_inside)
    }
    with_device(driver!(add), |kernel, _| {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let holding = scope.spawn(|| {
                let hold = || {
                    wdf!(callback_lock::WdfObjectAcquireLock(handle(&QUEUE)));
                    assert_eq!(current_irql(), 2);
                    inside();
                    wdf!(callback_lock::WdfObjectReleaseLock(handle(&QUEUE)));
                    assert_eq!(current_irql(), 0);
                };
                while !over.load(Ordering::Acquire) {
                    kernel.run(hold).expect("no bug check");
                }
            });
            storm(kernel);
            over.store(true, Ordering::Release);
            holding.join().expect("no panic");
        });
        assert!(!overlapped());
    });
}

/// Runs `$test` as a driver with a device, which stops the system, and gives the first parameter.
macro_rules! stopped_by {
    ($test:expr) => {{
        let report = expect_bug_check(|| {
            with_device(driver!(|init| create_device(init, ATTRIBUTES)), |_, _| {
                $test();
            });
        });
        assert_eq!(report.code, WDF_VIOLATION);
        report.parameters[0]
    }};
}

#[test]
fn a_callback_lock_acquired_twice_stops_the_system() {
    /// `WDF_RECURSIVE_LOCK`.
    const RECURSIVE: u64 = 2;
    let stopped = stopped_by!(|| {
        wdf!(callback_lock::WdfObjectAcquireLock(handle(&DEVICE)));
        wdf!(callback_lock::WdfObjectAcquireLock(handle(&DEVICE)));
    });
    assert_eq!(stopped, RECURSIVE);
}

#[test]
fn a_callback_lock_released_by_nobody_stops_the_system() {
    let stopped = stopped_by!(|| wdf!(callback_lock::WdfObjectReleaseLock(handle(&DEVICE))));
    assert_eq!(stopped, bugcheck::WDF_INVALID_LOCK_OPERATION);
}

#[test]
fn an_object_without_callbacks_has_no_callback_lock() {
    let stopped = stopped_by!(|| {
        let mut lock = WDFOBJECT::NULL;
        wdf!(sync::WdfSpinLockCreate(null(), &raw mut lock));
        wdf!(callback_lock::WdfObjectAcquireLock(lock));
    });
    assert_eq!(stopped, bugcheck::WDF_INVALID_LOCK_OPERATION);
}
