//! What a driver says is the matter with its device, and what becomes of the device.

use super::add::{create_device, give_interface, set_events};
use super::callbacks::{driver, event, wdf};
use super::harness::{NO_PNP_EVENTS, interface, note, status_of, with_device};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_DEVICE_STATE, WDF_DEVICE_STATE_SIZE_V1_27, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDFCMRESLIST, WDFDEVICE, WDFOBJECT, WdfDeviceFailedAttemptRestart, WdfDeviceFailedNoRestart,
    WdfFalse, WdfTrue, WdfUseDefault,
};
use crate::kernel::ulong;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use nt_abi::{
    NTSTATUS, PNP_DEVICE_ASSIGNED_TO_GUEST, PNP_DEVICE_DISABLED, PNP_DEVICE_DONT_DISPLAY_IN_UI,
    PNP_DEVICE_STATE, STATUS_NO_SUCH_DEVICE, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_PLUGPLAY_QUERY_VETOED, STATUS_SUCCESS,
};
use nthost::{Device, Kernel};
use std::time::Duration;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
/// What the driver calls `WdfDeviceSetFailed` with as its device enters D0, if anything.
static FAILS: AtomicI32 = AtomicI32::new(0);

const EVENTS: WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS {
    EvtDeviceD0Entry: Some(event!(|device: WDFDEVICE, _before: i32| -> NTSTATUS {
        note("D0Entry");
        wdf!(device::WdfDeviceSetFailed(
            device,
            FAILS.load(Ordering::Acquire)
        ));
        STATUS_SUCCESS
    })),
    EvtDeviceD0Exit: Some(event!(|_device: WDFDEVICE, _next: i32| -> NTSTATUS {
        note("D0Exit");
        STATUS_SUCCESS
    })),
    EvtDeviceReleaseHardware: Some(event!(|_device: WDFDEVICE,
                                           _list: WDFCMRESLIST|
     -> NTSTATUS {
        note("ReleaseHardware");
        STATUS_SUCCESS
    })),
    EvtDeviceSurpriseRemoval: Some(event!(|_device: WDFDEVICE| note("SurpriseRemoval"))),
    EvtDeviceSelfManagedIoCleanup: Some(event!(|_device: WDFDEVICE| note("SelfManagedIoCleanup"))),
    ..NO_PNP_EVENTS
};

/// A device that the driver gives up as it enters D0, with this action, if it is one.
fn device_that_fails(init: PWDFDEVICE_INIT, action: i32) -> NTSTATUS {
    FAILS.store(action, Ordering::Release);
    set_events(init, EVENTS);
    let device = create_device(init);
    DEVICE.store(device.0, Ordering::Release);
    give_interface(device);
    STATUS_SUCCESS
}

fn device(init: PWDFDEVICE_INIT) -> NTSTATUS {
    device_that_fails(init, 0)
}

fn handle() -> WDFDEVICE {
    WDFOBJECT(DEVICE.load(Ordering::Acquire))
}

/// `WDF_DEVICE_STATE_INIT`.
const NOTHING: WDF_DEVICE_STATE = WDF_DEVICE_STATE {
    Size: ulong(size_of::<WDF_DEVICE_STATE>()),
    Disabled: WdfUseDefault,
    DontDisplayInUI: WdfUseDefault,
    Failed: WdfUseDefault,
    NotDisableable: WdfUseDefault,
    Removed: WdfUseDefault,
    ResourcesChanged: WdfUseDefault,
    AssignedToGuest: WdfUseDefault,
};

fn set(kernel: Kernel, mut state: WDF_DEVICE_STATE) {
    let set = || wdf!(device::WdfDeviceSetDeviceState(handle(), &raw mut state));
    kernel.run(set).expect("no bug check");
}

fn get(kernel: Kernel, size: usize) -> [i32; 7] {
    let mut state = WDF_DEVICE_STATE {
        Size: ulong(size),
        AssignedToGuest: -1,
        ..NOTHING
    };
    let get = || wdf!(device::WdfDeviceGetDeviceState(handle(), &raw mut state));
    kernel.run(get).expect("no bug check");
    [
        state.Disabled,
        state.DontDisplayInUI,
        state.Failed,
        state.NotDisableable,
        state.Removed,
        state.ResourcesChanged,
        state.AssignedToGuest,
    ]
}

/// Waits until the PnP manager has asked the driver and heard that; `None` once the device is gone.
fn until(device: &Device, expected: Option<PNP_DEVICE_STATE>) {
    for _ in 0..5000 {
        if device.state().ok() == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{:?} instead of {expected:?}", device.state());
}

#[test]
fn the_pnp_manager_hears_what_the_driver_says() {
    with_device(driver!(device), |kernel, device| {
        let all = size_of::<WDF_DEVICE_STATE>();
        assert_eq!(get(kernel, all), [WdfUseDefault; 7]);
        assert_eq!(device.state().ok(), Some(0));
        set(
            kernel,
            WDF_DEVICE_STATE {
                Disabled: WdfTrue,
                DontDisplayInUI: WdfTrue,
                AssignedToGuest: WdfTrue,
                ..NOTHING
            },
        );
        let hidden = PNP_DEVICE_DISABLED | PNP_DEVICE_DONT_DISPLAY_IN_UI;
        until(device, Some(hidden | PNP_DEVICE_ASSIGNED_TO_GUEST));
        let old = WDF_DEVICE_STATE_SIZE_V1_27;
        assert_eq!(get(kernel, old)[0], WdfTrue);
        assert_eq!(get(kernel, old)[6], -1, "an old structure has it not");
        // What the driver says last is all that counts, and what an old structure lacks is not said.
        set(
            kernel,
            WDF_DEVICE_STATE {
                Size: ulong(old),
                Disabled: WdfTrue,
                DontDisplayInUI: WdfFalse,
                AssignedToGuest: WdfTrue,
                ..NOTHING
            },
        );
        until(device, Some(PNP_DEVICE_DISABLED));
        let said = [WdfTrue, WdfFalse, 2, 2, 2, 2, WdfUseDefault];
        assert_eq!(get(kernel, all), said);
        for ignored in [
            WDF_DEVICE_STATE {
                Removed: 3,
                ..NOTHING
            },
            WDF_DEVICE_STATE { Size: 8, ..NOTHING },
        ] {
            set(kernel, ignored);
            assert_eq!(get(kernel, all), said);
        }
    });
}

#[test]
fn a_device_that_cannot_be_disabled_stays() {
    with_device(driver!(device), |kernel, device| {
        let stays = |NotDisableable| WDF_DEVICE_STATE {
            NotDisableable,
            ..NOTHING
        };
        set(kernel, stays(WdfTrue));
        until(device, Some(nt_abi::PNP_DEVICE_NOT_DISABLEABLE));
        assert_eq!(status_of(&device.remove()), STATUS_PLUGPLAY_QUERY_VETOED);
        set(kernel, stays(WdfFalse));
        until(device, Some(0));
    });
}

/// Runs `fail` with an open device, and gives what happened until the device is gone.
fn going(fail: impl FnOnce(Kernel)) -> std::vec::Vec<std::string::String> {
    with_device(driver!(device), |kernel, device| {
        let file = kernel.open(interface()).expect("open");
        fail(kernel);
        until(device, None);
        let opened = status_of(&kernel.open(interface()));
        assert_eq!(opened, STATUS_OBJECT_NAME_NOT_FOUND);
        note("closed");
        drop(file);
        assert_eq!(status_of(&device.remove()), STATUS_NO_SUCH_DEVICE);
    })
}

#[test]
fn a_device_that_has_failed_is_removed_as_one_that_is_gone() {
    let order = [
        "D0Entry",
        "SurpriseRemoval",
        "D0Exit",
        "ReleaseHardware",
        "closed",
        "SelfManagedIoCleanup",
    ];
    for action in [WdfDeviceFailedAttemptRestart, WdfDeviceFailedNoRestart] {
        let log = going(|kernel| {
            let fail = || wdf!(device::WdfDeviceSetFailed(handle(), action));
            kernel.run(fail).expect("no bug check");
        });
        assert_eq!(log, order);
    }
    for state in [
        WDF_DEVICE_STATE {
            Failed: WdfTrue,
            ..NOTHING
        },
        WDF_DEVICE_STATE {
            Removed: WdfTrue,
            ..NOTHING
        },
    ] {
        assert_eq!(going(|kernel| set(kernel, state)), order);
    }
}

#[test]
fn a_device_that_fails_as_it_starts_is_removed_once_it_has_started() {
    let entry = driver!(|init| device_that_fails(init, WdfDeviceFailedNoRestart));
    let log = with_device(entry, |_, device| {
        assert_eq!(status_of(&device.state()), STATUS_NO_SUCH_DEVICE);
    });
    let order = [
        "D0Entry",
        "SurpriseRemoval",
        "D0Exit",
        "ReleaseHardware",
        "SelfManagedIoCleanup",
    ];
    assert_eq!(log, order);
}
