//! Idle power-down: when a device leaves D0 while the system works, and what brings it back.
//!
//! The time-outs are a millisecond, or longer than any test.

use super::add::{create_device, give_interface, set_events};
use super::callbacks::{driver, event, wdf};
use super::harness::{NO_PNP_EVENTS, interface, note, null, queue_config, status_of, with_device};
use crate::abi::{
    IDLE_SETTINGS_SIZE_V1_7, IDLE_SETTINGS_SIZE_V1_9, IdleCannotWakeFromS0,
    IdleDoNotAllowUserControl, PWDFDEVICE_INIT, PowerActionNone, PowerDeviceD1, PowerDeviceD3,
    PowerDeviceMaximum, WAKE_SETTINGS_SIZE_V1_5, WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS,
    WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS, WDF_PNPPOWER_EVENT_CALLBACKS, WDFCMRESLIST, WDFDEVICE,
    WDFOBJECT, WDFQUEUE, WDFREQUEST, WdfFalse, WdfTrue, WdfUseDefault,
};
use crate::kernel::ulong;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use nt_abi::{
    NT_SUCCESS, NTSTATUS, STATUS_CANCELLED, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_PENDING, STATUS_POWER_STATE_INVALID, STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use nthost::{Device, File, Kernel};
use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

/// Is answered at once; another code is kept.
const ANSWER: u32 = 0x22_2000;
const KEEP: u32 = 0x22_2004;
/// Milliseconds that no test takes.
const LONG: u32 = 1_000_000;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
static REQUEST: AtomicUsize = AtomicUsize::new(0);
/// Where the device is, by what the driver heard last: 1 for D0.
static STATE: AtomicI32 = AtomicI32::new(0);
/// What the driver says as its device comes up, and as it is asked whether that may go.
static ENTERS: AtomicI32 = AtomicI32::new(STATUS_SUCCESS);
static GOES: AtomicI32 = AtomicI32::new(STATUS_SUCCESS);
/// Whether the driver's queue follows the power of its device.
static MANAGED: AtomicBool = AtomicBool::new(true);

const EVENTS: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceD0Entry: Some(event!(|_device: WDFDEVICE, before: i32| -> NTSTATUS {
        note(format!("D0Entry {before}"));
        let answer = ENTERS.load(Ordering::Acquire);
        if NT_SUCCESS(answer) {
            STATE.store(1, Ordering::Release);
        }
        answer
    })),
    EvtDeviceD0Exit: Some(event!(|_device: WDFDEVICE, next: i32| -> NTSTATUS {
        note(format!("D0Exit {next}"));
        STATE.store(next, Ordering::Release);
        STATUS_SUCCESS
    })),
    EvtDeviceSelfManagedIoSuspend: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        note("suspend");
        STATUS_SUCCESS
    })),
    EvtDeviceSelfManagedIoRestart: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        note("restart");
        STATUS_SUCCESS
    })),
    EvtDeviceReleaseHardware: Some(event!(|_device: WDFDEVICE,
                                           _list: WDFCMRESLIST|
     -> NTSTATUS {
        note("release");
        STATUS_SUCCESS
    })),
    EvtDeviceQueryRemove: Some(event!(|_device: WDFDEVICE| -> NTSTATUS {
        note(format!("query in {}", STATE.load(Ordering::Acquire)));
        GOES.load(Ordering::Acquire)
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
    note(format!("request in {}", STATE.load(Ordering::Acquire)));
    if code == KEEP {
        REQUEST.store(request.0, Ordering::Release);
    } else {
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }
}

fn device(init: PWDFDEVICE_INIT) -> NTSTATUS {
    ENTERS.store(STATUS_SUCCESS, Ordering::Release);
    GOES.store(STATUS_SUCCESS, Ordering::Release);
    set_events(init, EVENTS);
    let device = create_device(init);
    DEVICE.store(device.0, Ordering::Release);
    let early = wdf!(device::WdfDeviceStopIdleNoTrack(device, 0));
    assert!(matches!(
        early,
        STATUS_POWER_STATE_INVALID | STATUS_INVALID_DEVICE_STATE
    ));
    let mut config = queue_config(2);
    config.PowerManaged = i32::from(MANAGED.load(Ordering::Acquire));
    config.EvtIoDeviceControl = Some(control);
    let mut queue = WDFOBJECT::NULL;
    let created = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        &raw mut queue
    ));
    assert_eq!(created, STATUS_SUCCESS);
    give_interface(device);
    STATUS_SUCCESS
}

fn managed(init: PWDFDEVICE_INIT) -> NTSTATUS {
    MANAGED.store(true, Ordering::Release);
    device(init)
}

fn handle() -> WDFDEVICE {
    WDFOBJECT(DEVICE.load(Ordering::Acquire))
}

/// `WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS_INIT`, with a time-out in milliseconds.
const fn settings(IdleTimeout: u32) -> WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS {
    WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS {
        Size: ulong(size_of::<WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS>()),
        IdleCaps: IdleCannotWakeFromS0,
        DxState: PowerDeviceMaximum,
        IdleTimeout,
        UserControlOfIdleSettings: IdleDoNotAllowUserControl,
        Enabled: WdfUseDefault,
        PowerUpIdleDeviceOnSystemWake: WdfUseDefault,
        IdleTimeoutType: 0,
        ExcludeD3Cold: WdfUseDefault,
    }
}

fn assign(kernel: Kernel, mut settings: WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS) -> NTSTATUS {
    let settings = &raw mut settings;
    let assign = || wdf!(device::WdfDeviceAssignS0IdleSettings(handle(), settings));
    kernel.run(assign).expect("no bug check")
}

fn stop_idle(kernel: Kernel, wait: bool) -> NTSTATUS {
    let stop = || {
        wdf!(device::WdfDeviceStopIdleActual(
            handle(),
            wait.into(),
            null(),
            0,
            core::ptr::null()
        ))
    };
    kernel.run(stop).expect("no bug check")
}

fn resume_idle(kernel: Kernel) {
    let resume = || wdf!(device::WdfDeviceResumeIdleNoTrack(handle()));
    kernel.run(resume).expect("no bug check");
}

/// Waits until the driver has heard that its device is in that state.
fn until(state: i32) {
    for _ in 0..5000 {
        if STATE.load(Ordering::Acquire) == state {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} instead of {state}", STATE.load(Ordering::Acquire));
}

/// Has the device go down for being idle, and stay there until something happens.
fn go_down(kernel: Kernel) {
    assert_eq!(assign(kernel, settings(1)), STATUS_SUCCESS);
    until(PowerDeviceD3);
    assert_eq!(assign(kernel, settings(LONG)), STATUS_SUCCESS);
}

/// Long enough for a device to go down that is idle.
fn a_while() {
    std::thread::sleep(Duration::from_millis(20));
}

fn answered(file: &File) -> NTSTATUS {
    status_of(&file.ioctl(ANSWER, &[], &mut []))
}

/// What is noted from the start to the first idle power-down, and of a removal.
const DOWN: [&str; 3] = ["D0Entry 5", "suspend", "D0Exit 4"];
const REMOVED: [&str; 4] = ["query in 1", "suspend", "D0Exit 5", "release"];

fn log_of(test: impl FnOnce(Kernel, &Device)) -> Vec<String> {
    with_device(driver!(managed), test)
}

#[test]
fn a_request_brings_a_device_back_that_was_idle() {
    let log = log_of(|kernel, _| {
        go_down(kernel);
        let file = kernel.open(interface()).expect("open");
        assert_eq!(answered(&file), STATUS_SUCCESS);
    });
    let back = ["D0Entry 4", "request in 1", "restart"];
    assert_eq!(log, [&DOWN[..], &back, &REMOVED].concat());
}

#[test]
fn a_request_for_another_queue_leaves_the_device_where_it_is() {
    let entry = driver!(|init| {
        MANAGED.store(false, Ordering::Release);
        device(init)
    });
    let log = with_device(entry, |kernel, _| {
        go_down(kernel);
        let file = kernel.open(interface()).expect("open");
        assert_eq!(answered(&file), STATUS_SUCCESS);
    });
    let back = ["request in 4", "D0Entry 4", "restart"];
    assert_eq!(log, [&DOWN[..], &back, &REMOVED].concat());
}

#[test]
fn a_device_whose_driver_has_a_request_is_not_idle() {
    let log = log_of(|kernel, _| {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            REQUEST.store(0, Ordering::Release);
            let sender = scope.spawn(|| status_of(&file.ioctl(KEEP, &[], &mut [])));
            while REQUEST.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(assign(kernel, settings(1)), STATUS_SUCCESS);
            a_while();
            note("completed");
            let request = WDFOBJECT(REQUEST.load(Ordering::Acquire));
            let complete = || wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            kernel.run(complete).expect("no bug check");
            assert_eq!(sender.join().expect("sender"), STATUS_SUCCESS);
        });
        until(PowerDeviceD3);
    });
    let begin = ["D0Entry 5", "request in 1", "completed", "suspend"];
    assert_eq!(log[..4], begin);
}

#[test]
fn a_device_stays_up_until_each_stop_is_resumed() {
    let log = log_of(|kernel, _| {
        assert_eq!(stop_idle(kernel, true), STATUS_SUCCESS);
        assert_eq!(stop_idle(kernel, false), STATUS_SUCCESS);
        assert_eq!(assign(kernel, settings(1)), STATUS_SUCCESS);
        resume_idle(kernel);
        a_while();
        note("resumed");
        resume_idle(kernel);
        until(PowerDeviceD3);
        // One too many: it goes down all the same.
        resume_idle(kernel);
    });
    assert_eq!(log[..3], ["D0Entry 5", "resumed", "suspend"]);
}

#[test]
fn stopping_brings_the_device_back() {
    let log = log_of(|kernel, _| {
        go_down(kernel);
        assert_eq!(stop_idle(kernel, true), STATUS_SUCCESS);
        note("stopped");
        assert_eq!(assign(kernel, settings(1)), STATUS_SUCCESS);
        resume_idle(kernel);
        until(PowerDeviceD3);
        assert_eq!(stop_idle(kernel, false), STATUS_PENDING);
        until(1);
    });
    let back = ["D0Entry 4", "restart", "stopped"];
    let again = ["suspend", "D0Exit 4", "D0Entry 4", "restart"];
    assert_eq!(log, [&DOWN[..], &back, &again, &REMOVED].concat());
}

#[test]
fn a_device_that_may_not_idle_any_more_comes_back() {
    let log = log_of(|kernel, _| {
        let mut state = settings(1);
        state.DxState = PowerDeviceD1;
        assert_eq!(assign(kernel, state), STATUS_SUCCESS);
        until(PowerDeviceD1);
        let mut off = settings(1);
        off.Enabled = WdfFalse;
        assert_eq!(assign(kernel, off), STATUS_SUCCESS);
        until(1);
        a_while();
        note("still up");
    });
    let down = ["D0Entry 5", "suspend", "D0Exit 2"];
    let back = ["D0Entry 2", "restart", "still up"];
    assert_eq!(log, [&down[..], &back, &REMOVED].concat());
}

#[test]
fn a_device_that_is_asked_to_go_is_in_d0_and_idles_again_if_it_stays() {
    let log = log_of(|kernel, device| {
        go_down(kernel);
        GOES.store(STATUS_UNSUCCESSFUL, Ordering::Release);
        assert_eq!(status_of(&device.remove()), STATUS_UNSUCCESSFUL);
        GOES.store(STATUS_SUCCESS, Ordering::Release);
        assert_eq!(assign(kernel, settings(1)), STATUS_SUCCESS);
        until(PowerDeviceD3);
    });
    let back = ["D0Entry 4", "restart", "query in 1"];
    let again = ["suspend", "D0Exit 4", "D0Entry 4", "restart"];
    assert_eq!(log, [&DOWN[..], &back, &again, &REMOVED].concat());
}

#[test]
fn a_device_that_is_gone_while_it_is_down_stays_down() {
    let log = log_of(|kernel, device| {
        go_down(kernel);
        device.surprise_remove().expect("it goes");
    });
    assert_eq!(log, [&DOWN[..], &["release"]].concat());
}

#[test]
fn a_device_that_does_not_come_back_is_removed() {
    let log = log_of(|kernel, device| {
        go_down(kernel);
        let file = kernel.open(interface()).expect("open");
        ENTERS.store(STATUS_UNSUCCESSFUL, Ordering::Release);
        assert_eq!(stop_idle(kernel, true), STATUS_POWER_STATE_INVALID);
        assert_eq!(stop_idle(kernel, false), STATUS_POWER_STATE_INVALID);
        let late = answered(&file);
        assert!(matches!(
            late,
            STATUS_CANCELLED | STATUS_INVALID_DEVICE_STATE
        ));
        while device.state().is_ok() {
            std::thread::yield_now();
        }
        drop(file);
    });
    assert_eq!(log, [&DOWN[..], &["D0Entry 4", "release"]].concat());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let log = log_of(|kernel, _| {
        let with = |change: fn(&mut WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS)| {
            let mut settings = settings(LONG);
            change(&mut settings);
            assign(kernel, settings)
        };
        assert_eq!(with(|it| it.Size = 8), STATUS_INFO_LENGTH_MISMATCH);
        let invalid: [fn(&mut WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS); 8] = [
            |it| it.DxState = 1,
            |it| it.DxState = 6,
            |it| it.IdleCaps = 0,
            |it| it.IdleCaps = 4,
            |it| it.UserControlOfIdleSettings = 0,
            |it| it.Enabled = 3,
            |it| it.PowerUpIdleDeviceOnSystemWake = 3,
            |it| it.IdleTimeoutType = 3,
        ];
        for change in invalid {
            assert_eq!(with(change), STATUS_INVALID_PARAMETER);
        }
        // The device is to wake itself, and its bus does not let it.
        assert_eq!(with(|it| it.IdleCaps = 2), STATUS_POWER_STATE_INVALID);
        assert_eq!(with(|it| it.IdleCaps = 3), STATUS_POWER_STATE_INVALID);
        assert_eq!(with(|it| it.IdleTimeoutType = 2), STATUS_SUCCESS);
        assert_eq!(with(|it| it.IdleTimeoutType = 1), STATUS_SUCCESS);
        let once = "who decides on the time-out is said once";
        assert_eq!(with(|_| ()), STATUS_INVALID_DEVICE_REQUEST, "{once}");
        for size in [IDLE_SETTINGS_SIZE_V1_7, IDLE_SETTINGS_SIZE_V1_9] {
            let mut old = settings(LONG);
            old.Size = ulong(size);
            old.IdleTimeoutType = -1;
            assert_eq!(assign(kernel, old), STATUS_INVALID_DEVICE_REQUEST, "{once}");
        }
        let action = || wdf!(device::WdfDeviceGetSystemPowerAction(handle()));
        assert_eq!(kernel.run(action).expect("no bug check"), PowerActionNone);
    });
    assert_eq!(log, [&["D0Entry 5"][..], &REMOVED].concat());
}

#[test]
fn no_device_wakes_the_system() {
    log_of(|kernel, _| {
        let wake = |size: usize, DxState| {
            let mut settings = WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS {
                Size: ulong(size),
                DxState,
                UserControlOfWakeSettings: IdleDoNotAllowUserControl,
                Enabled: WdfTrue,
                ArmForWakeIfChildrenAreArmedForWake: 0,
                IndicateChildWakeOnParentWake: 0,
            };
            let settings = &raw mut settings;
            let assign = || wdf!(device::WdfDeviceAssignSxWakeSettings(handle(), settings));
            kernel.run(assign).expect("no bug check")
        };
        let whole = size_of::<WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS>();
        assert_eq!(wake(4, PowerDeviceMaximum), STATUS_INFO_LENGTH_MISMATCH);
        assert_eq!(wake(whole, 1), STATUS_INVALID_PARAMETER);
        for size in [whole, WAKE_SETTINGS_SIZE_V1_5] {
            assert_eq!(wake(size, PowerDeviceMaximum), STATUS_POWER_STATE_INVALID);
        }
    });
}

#[test]
fn a_driver_that_does_not_own_the_power_policy_has_no_say() {
    let entry = driver!(|init| {
        wdf!(device::WdfDeviceInitSetPowerPolicyOwnership(init, 0));
        device(init)
    });
    let log = with_device(entry, |kernel, _| {
        assert_eq!(assign(kernel, settings(1)), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(stop_idle(kernel, true), STATUS_INVALID_DEVICE_STATE);
        resume_idle(kernel);
    });
    assert_eq!(log, [&["D0Entry 5"][..], &REMOVED].concat());
}
