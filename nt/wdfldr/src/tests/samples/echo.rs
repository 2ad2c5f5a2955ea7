//! `general/echo/kmdf/driver/AutoSync` and `DriverSync`: a sequential queue whose read and write requests
//! are made cancelable and completed by a periodic timer. One has the framework synchronize the timer,
//! the handlers and cancellation, the other has a spin lock for it; self-managed I/O starts and stops
//! queue and timer.

use crate::abi::{
    PWDFDEVICE_INIT, WDF_DRIVER_VERSION_AVAILABLE_PARAMS, WDF_OBJECT_ATTRIBUTES,
    WDF_PNPPOWER_EVENT_CALLBACKS, WDFDEVICE, WDFOBJECT, WDFQUEUE, WDFREQUEST, WDFTIMER,
    WdfSynchronizationScopeNone, WdfSynchronizationScopeQueue,
};
use crate::kernel::ulong;
use crate::tests::add::{create_device, give_interface, set_events};
use crate::tests::callbacks::{driver, event, wdf};
use crate::tests::harness::{
    ATTRIBUTES, ContextType, NO_PNP_EVENTS, context_type, globals, interface, note, null,
    queue_config, status_of, with_device,
};
use crate::tests::support::timer_config;
use core::sync::atomic::{AtomicBool, Ordering};
use nt_abi::{NT_SUCCESS, NTSTATUS, STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_SUCCESS};
use std::vec::Vec;

const LONGEST: usize = 64;

/// The queue's context.
struct Echo {
    kept: [u8; LONGEST],
    length: usize,
    current: WDFREQUEST,
    timer: WDFTIMER,
    /// The driver's own lock; null where the framework synchronizes.
    lock: WDFOBJECT,
}

static ECHO: ContextType = context_type(size_of::<Echo>());

/// The context of a queue. What the tests prove is that nobody has it at the same time.
fn echo(queue: WDFQUEUE) -> &'static mut Echo {
    let context = wdf!(object::WdfObjectGetTypedContextWorker(queue, ECHO.info()));
    // SAFETY: The context is zeroed memory of this type, aligned to 16; callers are synchronized.
    unsafe { &mut *context.cast::<Echo>() }
}

/// Runs `f` under the driver's own lock, if it has one.
fn locked<R>(lock: WDFOBJECT, f: impl FnOnce() -> R) -> R {
    if lock == WDFOBJECT::NULL {
        return f();
    }
    wdf!(sync::WdfSpinLockAcquire(lock));
    let result = f();
    wdf!(sync::WdfSpinLockRelease(lock));
    result
}

const CANCEL: crate::abi::PFN_WDF_REQUEST_CANCEL = Some(event!(|request: WDFREQUEST| {
    let context = echo(wdf!(request::WdfRequestGetIoQueue(request)));
    locked(context.lock, || {
        assert_eq!(context.current, request);
        context.current = WDFOBJECT::NULL;
    });
    wdf!(request::WdfRequestCompleteWithInformation(
        request,
        STATUS_CANCELLED,
        0
    ));
}));

/// Leaves a request to the timer.
fn keep(context: &mut Echo, request: WDFREQUEST, length: usize) {
    wdf!(request::WdfRequestSetInformation(request, length as u64));
    if context.lock == WDFOBJECT::NULL {
        wdf!(request::WdfRequestMarkCancelable(request, CANCEL));
        context.current = request;
        return;
    }
    let marked = locked(context.lock, || {
        let status = wdf!(request::WdfRequestMarkCancelableEx(request, CANCEL));
        if NT_SUCCESS(status) {
            context.current = request;
        }
        status
    });
    if !NT_SUCCESS(marked) {
        wdf!(request::WdfRequestComplete(request, marked));
    }
}

unsafe extern "win64" fn read(queue: WDFQUEUE, request: WDFREQUEST, length: usize) {
    let context = echo(queue);
    if context.length == 0 {
        wdf!(request::WdfRequestCompleteWithInformation(
            request,
            STATUS_SUCCESS,
            0
        ));
        return;
    }
    let length = length.min(context.length);
    let mut memory = WDFOBJECT::NULL;
    let place = &raw mut memory;
    assert_eq!(
        wdf!(request::WdfRequestRetrieveOutputMemory(request, place)),
        STATUS_SUCCESS
    );
    let from = context.kept.as_mut_ptr().cast();
    let copied = wdf!(memory::WdfMemoryCopyFromBuffer(memory, 0, from, length));
    assert_eq!(copied, STATUS_SUCCESS);
    keep(context, request, length);
}

unsafe extern "win64" fn write(queue: WDFQUEUE, request: WDFREQUEST, length: usize) {
    let context = echo(queue);
    if length > LONGEST {
        wdf!(request::WdfRequestCompleteWithInformation(
            request,
            STATUS_BUFFER_OVERFLOW,
            0
        ));
        return;
    }
    let mut memory = WDFOBJECT::NULL;
    let place = &raw mut memory;
    assert_eq!(
        wdf!(request::WdfRequestRetrieveInputMemory(request, place)),
        STATUS_SUCCESS
    );
    let to = context.kept.as_mut_ptr().cast();
    let copied = wdf!(memory::WdfMemoryCopyToBuffer(memory, 0, to, length));
    assert_eq!(copied, STATUS_SUCCESS);
    context.length = length;
    keep(context, request, length);
}

unsafe extern "win64" fn tick(timer: WDFTIMER) {
    let context = echo(wdf!(timer::WdfTimerGetParentObject(timer)));
    let request = locked(context.lock, || {
        let request = core::mem::take(&mut context.current);
        let uncancelable = request != WDFOBJECT::NULL
            && wdf!(request::WdfRequestUnmarkCancelable(request)) != STATUS_CANCELLED;
        if !uncancelable {
            // The cancel event has it, or will.
            context.current = request;
        }
        uncancelable.then_some(request)
    });
    if let Some(request) = request {
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }
}

fn default_queue(device: WDFDEVICE) -> WDFQUEUE {
    wdf!(device::WdfDeviceGetDefaultQueue(device))
}

fn start_all(device: WDFDEVICE) {
    let queue = default_queue(device);
    wdf!(queue::WdfIoQueueStart(queue));
    wdf!(timer::WdfTimerStart(echo(queue).timer, -10_000));
}

fn stop_all(device: WDFDEVICE) {
    let queue = default_queue(device);
    wdf!(queue::WdfIoQueueStopSynchronously(queue));
    wdf!(timer::WdfTimerStop(echo(queue).timer, 1));
}

const PNP: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceSelfManagedIoInit: Some(event!(|device: WDFDEVICE| -> NTSTATUS {
        start_all(device);
        STATUS_SUCCESS
    })),
    EvtDeviceSelfManagedIoSuspend: Some(event!(|device: WDFDEVICE| -> NTSTATUS {
        stop_all(device);
        note("suspended");
        STATUS_SUCCESS
    })),
    EvtDeviceSelfManagedIoRestart: Some(event!(|device: WDFDEVICE| -> NTSTATUS {
        start_all(device);
        note("restarted");
        STATUS_SUCCESS
    })),
    ..NO_PNP_EVENTS
};

fn add(init: PWDFDEVICE_INIT, automatic: bool) -> NTSTATUS {
    print_version();
    set_events(init, PNP);
    let device = create_device(init);
    give_interface(device);
    create_queue(device, automatic)
}

fn create_queue(device: WDFDEVICE, automatic: bool) -> NTSTATUS {
    let mut config = queue_config(1);
    config.EvtIoRead = Some(read);
    config.EvtIoWrite = Some(write);
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        SynchronizationScope: if automatic {
            WdfSynchronizationScopeQueue
        } else {
            WdfSynchronizationScopeNone
        },
        ContextTypeInfo: ECHO.info(),
        EvtDestroyCallback: Some(event!(|_queue: WDFOBJECT| note("queue destroyed"))),
        ..ATTRIBUTES
    };
    let mut queue = WDFOBJECT::NULL;
    let status = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        &raw mut attributes,
        &raw mut queue
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let mut under = WDF_OBJECT_ATTRIBUTES {
        ParentObject: queue,
        ..ATTRIBUTES
    };
    let context = echo(queue);
    if !automatic {
        let place = &raw mut context.lock;
        let status = wdf!(sync::WdfSpinLockCreate(&raw mut under, place));
        assert_eq!(status, STATUS_SUCCESS);
    }
    let mut config = timer_config();
    config.EvtTimerFunc = Some(tick);
    config.Period = 5;
    config.AutomaticSerialization = automatic.into();
    wdf!(timer::WdfTimerCreate(
        &raw mut config,
        &raw mut under,
        &raw mut context.timer
    ))
}

/// What the sample prints of the framework at its start.
fn print_version() {
    // SAFETY: The globals are the driver's.
    let driver = unsafe { (*globals()).Driver };
    let mut string = WDFOBJECT::NULL;
    let created = wdf!(string::WdfStringCreate(null(), null(), &raw mut string));
    assert_eq!(created, STATUS_SUCCESS);
    let retrieved = wdf!(driver::WdfDriverRetrieveVersionString(driver, string));
    assert_eq!(retrieved, STATUS_SUCCESS);
    wdf!(object::WdfObjectDelete(string));
    let mut version = WDF_DRIVER_VERSION_AVAILABLE_PARAMS {
        Size: ulong(size_of::<WDF_DRIVER_VERSION_AVAILABLE_PARAMS>()),
        MajorVersion: 1,
        MinorVersion: 0,
    };
    assert_eq!(
        wdf!(driver::WdfDriverIsVersionAvailable(
            driver,
            &raw mut version
        )),
        1
    );
}

/// What both samples do, whoever synchronizes.
fn writes_come_back(entry: nthost::DriverEntry) {
    let log = with_device(entry, |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let mut output = [0; LONGEST];
        assert_eq!(file.read(0, &mut output).expect("read"), 0, "nothing yet");
        assert_eq!(file.write(0, b"an echo").expect("write"), 7);
        assert_eq!(file.read(0, &mut output[..2]).expect("read"), 2);
        let length = file.read(0, &mut output).expect("read");
        assert_eq!(&output[..length], b"an echo");
        let long = file.write(0, &[0; LONGEST + 1]);
        assert_eq!(status_of(&long), STATUS_BUFFER_OVERFLOW);
        // Many at once, some of them cancelled: each ends one way or the other.
        let over = AtomicBool::new(false);
        let statuses: Vec<_> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..8)
                .map(|thread| {
                    let file = &file;
                    scope.spawn(move || {
                        (0..10)
                            .map(move |_| status_of(&file.write(0, &[thread; 8])))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    std::thread::sleep(std::time::Duration::from_millis(11));
                    file.cancel().expect("cancel");
                }
            });
            let statuses = senders
                .into_iter()
                .flat_map(|sender| sender.join().expect("sender"))
                .collect();
            over.store(true, Ordering::Release);
            statuses
        });
        assert_eq!(statuses.len(), 80);
        let ends = [STATUS_SUCCESS, STATUS_CANCELLED];
        assert!(
            statuses.iter().all(|each| ends.contains(each)),
            "{statuses:?}"
        );
    });
    assert_eq!(log, ["suspended", "queue destroyed"]);
}

#[test]
fn the_echo_driver_that_the_framework_synchronizes() {
    writes_come_back(driver!(|init| add(init, true)));
}

#[test]
fn the_echo_driver_with_a_spin_lock() {
    writes_come_back(driver!(|init| add(init, false)));
}
