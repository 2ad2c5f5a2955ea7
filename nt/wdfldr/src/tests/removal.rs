//! Going away: what a removal, one by surprise, and one that is refused do to requests, and in which
//! order. The statuses and the order are those of the framework's public source.

use super::add::{give_interface, set_events};
use super::callbacks::{driver, event, wdf};
use super::harness::{
    ATTRIBUTES, NO_PNP_EVENTS, interface, note, noted, null, queue_config, status_of, turn,
    with_device,
};
use super::samples::lower;
use crate::abi::{
    PWDFDEVICE_INIT, WDF_OBJECT_ATTRIBUTES, WDF_PNPPOWER_EVENT_CALLBACKS, WDFCMRESLIST, WDFDEVICE,
    WDFOBJECT, WDFQUEUE, WDFREQUEST, WdfFalse, WdfIoQueueAcceptRequests, WdfTrue,
};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use nt_abi::{
    NTSTATUS, STATUS_CANCELLED, STATUS_DEVICE_BUSY, STATUS_INVALID_DEVICE_STATE,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use nthost::{File, Kernel};
use std::string::String;
use std::vec::Vec;

/// Is answered at once.
const ANSWER: u32 = 0x22_2000;
/// Is kept until it is cancelled.
const KEEP: u32 = 0x22_2004;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
/// Whether the driver refuses to be stopped or removed.
static REFUSES: AtomicBool = AtomicBool::new(false);

fn answer(name: &str) -> NTSTATUS {
    note(name);
    if REFUSES.load(Ordering::Acquire) {
        STATUS_UNSUCCESSFUL
    } else {
        STATUS_SUCCESS
    }
}

/// Notes an event, and whether the interface is enabled then. Files are not opened on a device that is
/// going; on one that cannot be found the status is another one.
fn note_with_interface(name: &str) {
    let opened = status_of(&Kernel::get().open(interface()));
    let enabled = opened != STATUS_OBJECT_NAME_NOT_FOUND;
    note(std::format!("{name}, interface enabled: {enabled}"));
}

const PNP: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceReleaseHardware: Some(event!(|_device: WDFDEVICE,
                                           _list: WDFCMRESLIST|
     -> NTSTATUS {
        note_with_interface("ReleaseHardware");
        STATUS_SUCCESS
    })),
    EvtDeviceSelfManagedIoFlush: Some(event!(|_device: WDFDEVICE| {
        note_with_interface("SelfManagedIoFlush");
    })),
    EvtDeviceSelfManagedIoCleanup: Some(event!(|_device: WDFDEVICE| note("SelfManagedIoCleanup"))),
    EvtDeviceQueryRemove: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        answer("QueryRemove")
    })),
    EvtDeviceQueryStop: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        answer("QueryStop")
    })),
    ..NO_PNP_EVENTS
};

unsafe extern "win64" fn control(
    _: WDFQUEUE,
    request: WDFREQUEST,
    _output: usize,
    _input: usize,
    code: u32,
) {
    if code != KEEP {
        return wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }
    let cancel = event!(|request: WDFREQUEST| {
        note("cancelled");
        wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
    });
    let marked = wdf!(request::WdfRequestMarkCancelableEx(request, Some(cancel)));
    assert_eq!(marked, STATUS_SUCCESS);
    note("kept");
}

fn create_queue(device: WDFDEVICE, power_managed: i32, default: bool) -> WDFQUEUE {
    let mut config = queue_config(2);
    config.PowerManaged = power_managed;
    config.DefaultQueue = default.into();
    config.EvtIoDeviceControl = Some(control);
    let mut queue = WDFOBJECT::NULL;
    let created = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        &raw mut queue
    ));
    assert_eq!(created, STATUS_SUCCESS);
    queue
}

fn device(mut init: PWDFDEVICE_INIT, power_managed: i32) -> NTSTATUS {
    REFUSES.store(false, Ordering::Release);
    set_events(init, PNP);
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
    DEVICE.store(device.0, Ordering::Release);
    create_queue(device, power_managed, true);
    give_interface(device);
    STATUS_SUCCESS
}

/// Runs `test` with a device whose default queue is of either kind.
fn with(managed: bool, test: impl FnOnce(Kernel, &nthost::Device)) -> Vec<String> {
    let entry = if managed {
        driver!(|init| device(init, WdfTrue))
    } else {
        driver!(|init| device(init, WdfFalse))
    };
    with_device(entry, test)
}

fn answered(file: &File) -> NTSTATUS {
    status_of(&file.ioctl(ANSWER, &[], &mut []))
}

/// What is noted last of a device, from its hardware on.
fn end(interface_enabled: bool) -> [String; 5] {
    [
        std::format!("ReleaseHardware, interface enabled: {interface_enabled}"),
        "SelfManagedIoFlush, interface enabled: false".into(),
        "SelfManagedIoCleanup".into(),
        "device cleanup".into(),
        "device destroy".into(),
    ]
}

#[test]
fn interfaces_are_disabled_once_the_hardware_is_released() {
    let mut log = with(true, |_, _| ());
    assert_eq!(log.remove(0), "QueryRemove");
    assert_eq!(log, end(true));
    let log = with(true, |_, device| device.surprise_remove().expect("it goes"));
    assert_eq!(log, end(true));
}

#[test]
fn a_queue_that_follows_the_power_ends_with_the_surprise() {
    with(true, |kernel, device| {
        let file = kernel.open(interface()).expect("open");
        assert_eq!(answered(&file), STATUS_SUCCESS);
        device.surprise_remove().expect("it goes");
        assert_eq!(answered(&file), STATUS_INVALID_DEVICE_STATE);
        let accepts = || {
            let queue = create_queue(WDFOBJECT(DEVICE.load(Ordering::Acquire)), WdfTrue, false);
            let (waiting, owned) = (null(), null());
            let state = wdf!(queue::WdfIoQueueGetState(queue, waiting, owned));
            state & WdfIoQueueAcceptRequests
        };
        let accepts = kernel.run(accepts).expect("no bug check");
        assert_eq!(accepts, 0, "nor does one that is made now take anything");
    });
}

#[test]
fn a_queue_that_does_not_follow_the_power_answers_until_the_device_is_removed() {
    let log = with(false, |kernel, device| {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            let kept = scope.spawn(|| status_of(&file.ioctl(KEEP, &[], &mut [])));
            while noted() != ["kept"] {
                std::thread::yield_now();
            }
            device.surprise_remove().expect("it goes");
            assert_eq!(answered(&file), STATUS_SUCCESS);
            note("answered");
            let opened = status_of(&kernel.open(interface()));
            assert_eq!(opened, STATUS_OBJECT_NAME_NOT_FOUND);
            file.cancel().expect("the driver is there");
            assert_eq!(kept.join().expect("sender"), STATUS_CANCELLED);
        });
    });
    let [hardware, flush, rest @ ..] = end(true);
    let surprise = [hardware, flush, "answered".into(), "cancelled".into()];
    assert_eq!(log, [surprise.as_slice(), &rest].concat());
}

#[test]
fn a_device_that_refuses_stays_and_works() {
    let log = with(true, |kernel, device| {
        let file = kernel.open(interface()).expect("open");
        assert_eq!(status_of(&device.remove()), STATUS_DEVICE_BUSY);
        assert!(noted().is_empty(), "with an open file it is not asked");
        REFUSES.store(true, Ordering::Release);
        assert_eq!(status_of(&device.stop()), STATUS_UNSUCCESSFUL);
        assert_eq!(answered(&file), STATUS_SUCCESS);
        drop(file);
        assert_eq!(status_of(&device.remove()), STATUS_UNSUCCESSFUL);
        assert_eq!(noted(), ["QueryStop", "QueryRemove"]);
        let file = kernel.open(interface()).expect("open");
        assert_eq!(answered(&file), STATUS_SUCCESS);
        REFUSES.store(false, Ordering::Release);
        drop(file);
        let stoppable = |stoppable| {
            let device = WDFOBJECT(DEVICE.load(Ordering::Acquire));
            let set = || wdf!(device::WdfDeviceSetStaticStopRemove(device, stoppable));
            kernel.run(set).expect("no bug check");
        };
        stoppable(0);
        for refused in [device.stop(), device.remove()] {
            assert_eq!(status_of(&refused), STATUS_INVALID_DEVICE_STATE);
        }
        assert!(noted().is_empty(), "without the driver being asked");
        stoppable(1);
    });
    assert_eq!(log[0], "QueryRemove");
}

#[test]
fn a_device_is_cleaned_up_before_the_drivers_below_hear_of_the_removal() {
    fn filter(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
        wdf!(device::WdfFdoInitSetFilter(init));
        let mut attributes = WDF_OBJECT_ATTRIBUTES {
            EvtCleanupCallback: Some(event!(|_object: WDFOBJECT| note("device cleanup"))),
            EvtDestroyCallback: Some(event!(|_object: WDFOBJECT| note("device destroy"))),
            ..ATTRIBUTES
        };
        let (mut device, mut child) = (WDFOBJECT::NULL, WDFOBJECT::NULL);
        let status = wdf!(device::WdfDeviceCreate(
            &raw mut init,
            &raw mut attributes,
            &raw mut device
        ));
        assert_eq!(status, STATUS_SUCCESS);
        attributes.ParentObject = device;
        attributes.EvtCleanupCallback = Some(event!(|_object: WDFOBJECT| note("child cleanup")));
        attributes.EvtDestroyCallback = Some(event!(|_object: WDFOBJECT| note("child destroy")));
        wdf!(object::WdfObjectCreate(&raw mut attributes, &raw mut child))
    }
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: Both are drivers.
    let below = unsafe { kernel.load_in_process("lower", lower::entry) }.expect("DriverEntry");
    // SAFETY: As above.
    let above = unsafe { kernel.load_in_process("above", driver!(filter)) }.expect("DriverEntry");
    let device = below.add_filtered_device(&[&above]).expect("a stack");
    lower::NOTES_REMOVAL.store(true, Ordering::Release);
    device.remove().expect("remove");
    lower::NOTES_REMOVAL.store(false, Ordering::Release);
    above.unload().expect("unload");
    below.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    let expected = [
        "child cleanup",
        "device cleanup",
        "child destroy",
        "removed below",
        "device destroy",
    ];
    assert_eq!(noted(), expected);
}
