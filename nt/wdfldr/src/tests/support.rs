//! Timers, DPCs, work items, locks, registry keys.

use super::callbacks::{driver, event, wdf};
use super::harness::{ATTRIBUTES, globals, null, wide, with_device};
use crate::abi::{
    Aligned, PWDFDEVICE_INIT, WDF_DPC_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_TIMER_CONFIG,
    WDF_WORKITEM_CONFIG, WDFDPC, WDFOBJECT, WDFTIMER, WDFWORKITEM,
};
use crate::kernel::ulong;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use nt_abi::{NTSTATUS, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, STATUS_TIMEOUT};
use nthost::Kernel;
use std::time::Duration;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicU32 = AtomicU32::new(0);
static LEVEL: AtomicU32 = AtomicU32::new(u32::MAX);

fn called() {
    LEVEL.store(u32::from(crate::kernel::current_irql()), Ordering::Release);
    CALLS.fetch_add(1, Ordering::AcqRel);
}

pub fn timer_config() -> WDF_TIMER_CONFIG {
    WDF_TIMER_CONFIG {
        Size: ulong(size_of::<WDF_TIMER_CONFIG>()),
        EvtTimerFunc: Some(event!(|_timer: WDFTIMER| called())),
        Period: 0,
        AutomaticSerialization: 0,
        TolerableDelay: 0,
        UseHighResolutionTimer: Aligned(0),
    }
}

/// The attributes of a child of that device.
pub fn child() -> WDF_OBJECT_ATTRIBUTES {
    let device = WDFOBJECT(DEVICE.load(Ordering::Acquire));
    WDF_OBJECT_ATTRIBUTES {
        ParentObject: device,
        ..ATTRIBUTES
    }
}

/// Makes a device that has nothing, of which [`child`] gives the attributes of children.
pub fn create_device(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut device = WDFOBJECT::NULL;
    let status = wdf!(device::WdfDeviceCreate(
        &raw mut init,
        null(),
        &raw mut device
    ));
    DEVICE.store(device.0, Ordering::Release);
    status
}

/// Runs `test` with a device that has nothing.
pub fn as_driver(test: impl FnOnce(Kernel)) {
    with_device(driver!(create_device), |kernel, _| {
        CALLS.store(0, Ordering::Release);
        test(kernel);
    });
}

fn until_called(times: u32) {
    for _ in 0..5000 {
        if CALLS.load(Ordering::Acquire) >= times {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} calls instead of {times}", CALLS.load(Ordering::Acquire));
}

#[test]
fn a_timer_fires_at_dispatch_level_and_stops() {
    as_driver(|kernel| {
        let start = || {
            let (mut config, mut attributes, mut timer) =
                (timer_config(), child(), WDFOBJECT::NULL);
            config.Period = 2;
            let (config, attributes) = (&raw mut config, &raw mut attributes);
            let created = wdf!(timer::WdfTimerCreate(config, attributes, &raw mut timer));
            assert_eq!(created, STATUS_SUCCESS);
            assert_eq!(
                wdf!(timer::WdfTimerStart(timer, -10_000)),
                0,
                "it was not queued"
            );
            timer
        };
        let timer = kernel.run(start).expect("no bug check");
        until_called(3);
        assert_eq!(LEVEL.load(Ordering::Acquire), 2);
        kernel
            .run(|| wdf!(timer::WdfTimerStop(timer, 1)))
            .expect("no bug check");
        let calls = CALLS.load(Ordering::Acquire);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(CALLS.load(Ordering::Acquire), calls, "it stands still");
        // Running again when the device is removed: deletion stops it.
        kernel
            .run(|| wdf!(timer::WdfTimerStart(timer, -10_000)))
            .expect("no bug check");
    });
}

#[test]
fn a_passive_timer_fires_at_passive_level() {
    as_driver(|kernel| {
        let start = || {
            let (mut config, mut attributes, mut timer) =
                (timer_config(), child(), WDFOBJECT::NULL);
            attributes.ExecutionLevel = crate::abi::WdfExecutionLevelPassive;
            let (config, attributes) = (&raw mut config, &raw mut attributes);
            let created = wdf!(timer::WdfTimerCreate(config, attributes, &raw mut timer));
            assert_eq!(created, STATUS_SUCCESS);
            wdf!(timer::WdfTimerStart(timer, -10_000));
        };
        kernel.run(start).expect("no bug check");
        until_called(1);
        assert_eq!(LEVEL.load(Ordering::Acquire), 0);
    });
}

#[test]
fn a_dpc_runs_at_dispatch_level() {
    as_driver(|kernel| {
        let run = || {
            let mut config = WDF_DPC_CONFIG {
                Size: ulong(size_of::<WDF_DPC_CONFIG>()),
                EvtDpcFunc: Some(event!(|_dpc: WDFDPC| called())),
                AutomaticSerialization: 0,
            };
            let (mut attributes, mut dpc) = (child(), WDFOBJECT::NULL);
            let attributes = &raw mut attributes;
            let created = wdf!(dpc::WdfDpcCreate(&raw mut config, attributes, &raw mut dpc));
            assert_eq!(created, STATUS_SUCCESS);
            assert_eq!(wdf!(dpc::WdfDpcEnqueue(dpc)), 1);
            wdf!(dpc::WdfDpcCancel(dpc, 1));
        };
        kernel.run(run).expect("no bug check");
        until_called(1);
        assert_eq!(LEVEL.load(Ordering::Acquire), 2);
    });
}

#[test]
fn a_work_item_runs_at_passive_level_and_is_waited_for() {
    as_driver(|kernel| {
        let run = || {
            let mut config = WDF_WORKITEM_CONFIG {
                Size: ulong(size_of::<WDF_WORKITEM_CONFIG>()),
                EvtWorkItemFunc: Some(event!(|_item: WDFWORKITEM| {
                    std::thread::sleep(Duration::from_millis(5));
                    called();
                })),
                AutomaticSerialization: 0,
            };
            let (mut attributes, mut item) = (child(), WDFOBJECT::NULL);
            let (config, attributes) = (&raw mut config, &raw mut attributes);
            let created = wdf!(work_item::WdfWorkItemCreate(
                config,
                attributes,
                &raw mut item
            ));
            assert_eq!(created, STATUS_SUCCESS);
            wdf!(work_item::WdfWorkItemEnqueue(item));
            wdf!(work_item::WdfWorkItemFlush(item));
            assert_eq!(CALLS.load(Ordering::Acquire), 1);
            // Deletion waits, too.
            wdf!(work_item::WdfWorkItemEnqueue(item));
            wdf!(object::WdfObjectDelete(item));
            assert_eq!(CALLS.load(Ordering::Acquire), 2);
        };
        kernel.run(run).expect("no bug check");
        assert_eq!(LEVEL.load(Ordering::Acquire), 0);
    });
}

#[test]
fn locks_lock() {
    as_driver(|kernel| {
        let run = || {
            let (mut spin, mut wait) = (WDFOBJECT::NULL, WDFOBJECT::NULL);
            assert_eq!(
                wdf!(sync::WdfSpinLockCreate(null(), &raw mut spin)),
                STATUS_SUCCESS
            );
            wdf!(sync::WdfSpinLockAcquire(spin));
            assert_eq!(crate::kernel::current_irql(), 2);
            wdf!(sync::WdfSpinLockRelease(spin));
            assert_eq!(crate::kernel::current_irql(), 0);
            assert_eq!(
                wdf!(sync::WdfWaitLockCreate(null(), &raw mut wait)),
                STATUS_SUCCESS
            );
            let mut now = 0;
            let mut attempt = || wdf!(sync::WdfWaitLockAcquire(wait, &raw mut now));
            assert_eq!(attempt(), STATUS_SUCCESS);
            assert_eq!(attempt(), STATUS_TIMEOUT);
            wdf!(sync::WdfWaitLockRelease(wait));
            assert_eq!(attempt(), STATUS_SUCCESS);
            wdf!(sync::WdfWaitLockRelease(wait));
        };
        kernel.run(run).expect("no bug check");
    });
}

#[test]
fn parameters_are_read_and_written() {
    as_driver(|kernel| {
        let run = || {
            // SAFETY: The globals are the driver's.
            let driver = unsafe { (*globals()).Driver };
            let mut key = WDFOBJECT::NULL;
            let all = 0xF_003F;
            let opened = wdf!(registry_key::WdfDriverOpenParametersRegistryKey(
                driver,
                all,
                null(),
                &raw mut key
            ));
            assert_eq!(opened, STATUS_SUCCESS);
            let (_name, mut name) = wide("Level");
            let name = &raw mut name;
            let mut value = 0;
            let mut query = || {
                wdf!(registry_key::WdfRegistryQueryULong(
                    key,
                    name,
                    &raw mut value
                ))
            };
            assert_eq!(query(), STATUS_OBJECT_NAME_NOT_FOUND);
            let written = wdf!(registry_key::WdfRegistryAssignULong(key, name, 7));
            assert_eq!(written, STATUS_SUCCESS);
            assert_eq!(query(), STATUS_SUCCESS);
            assert_eq!(value, 7);
            wdf!(registry_key::WdfRegistryClose(key));
        };
        kernel.run(run).expect("no bug check");
    });
}
