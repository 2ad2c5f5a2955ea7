//! Interrupts: when service routines run, what their spin lock keeps apart, and what misuse ends in.
#![cfg(not(windows))]

mod support;

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use std::thread;

use nthost::{Kernel, LeakKind, ntddk::*, testing::expect_bug_check};
use support::*;

/// The IRQL of the devices here.
const DIRQL: KIRQL = 7;

/// What an interrupt is connected with, ready to be changed.
fn parameters(
    vector: u32,
    routine: PKSERVICE_ROUTINE,
    context: PVOID,
) -> IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
        // The kernel looks at its address alone.
        PhysicalDeviceObject: ptr::dangling_mut(),
        ServiceRoutine: routine,
        ServiceContext: context,
        SynchronizeIrql: DIRQL,
        Vector: vector,
        Irql: DIRQL,
        InterruptMode: _KINTERRUPT_MODE::LevelSensitive,
        ProcessorEnableMask: KAFFINITY::MAX,
        ..Default::default()
    }
}

fn try_connect(
    version: u32,
    mut specified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS,
) -> Result<PKINTERRUPT, NTSTATUS> {
    let mut interrupt = ptr::null_mut();
    specified.InterruptObject = &raw mut interrupt;
    let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
        Version: version,
        __bindgen_anon_1: _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            FullySpecified: specified,
        },
    };
    match nt!(IoConnectInterruptEx(&raw mut parameters)) {
        STATUS_SUCCESS => Ok(interrupt),
        status => Err(status),
    }
}

fn connect(specified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS) -> PKINTERRUPT {
    try_connect(CONNECT_FULLY_SPECIFIED, specified).expect("the parameters are right")
}

fn disconnect(interrupt: PKINTERRUPT) {
    let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_FULLY_SPECIFIED,
        ConnectionContext: _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            InterruptObject: interrupt,
        },
    };
    nt!(IoDisconnectInterruptEx(&raw mut parameters));
}

fn fire(vector: u32, processor: u32) -> bool {
    Kernel::get()
        .interrupt(vector, processor)
        .expect("no bug check")
}

/// Counts in its context, which is an `AtomicU32`, and takes the interrupt.
unsafe extern "win64" fn count(_interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: The tests connect it with such a context.
    let counter = unsafe { &*context.cast::<AtomicU32>() };
    counter.fetch_add(1, Ordering::Relaxed);
    TRUE
}

/// As [`count`], of a device that did not interrupt.
unsafe extern "win64" fn not_mine(interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: It has the same contract.
    unsafe { count(interrupt, context) };
    FALSE
}

const fn context(counter: &AtomicU32) -> PVOID {
    ptr::from_ref(counter).cast_mut().cast()
}

#[test]
fn a_service_routine_runs_on_the_processor_at_its_irql_with_its_lock_held() {
    static SEEN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    unsafe extern "win64" fn service(_interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
        SEEN[0].store(irql().into(), Ordering::Relaxed);
        SEEN[1].store(
            nt!(KeGetCurrentProcessorNumberEx(ptr::null_mut())),
            Ordering::Relaxed,
        );
        let free = nt!(KeTestSpinLock(context.cast()));
        SEEN[2].store(free.into(), Ordering::Relaxed);
        TRUE
    }
    let lock = Object::<KSPIN_LOCK>::default();
    let mut specified = parameters(0x41, Some(service), lock.object());
    specified.SpinLock = lock.get();
    specified.SynchronizeIrql = DIRQL + 1;
    let interrupt = connect(specified);
    assert!(fire(0x41, 1));
    let seen = SEEN.each_ref().map(|seen| seen.load(Ordering::Relaxed));
    assert_eq!(seen, [u32::from(DIRQL) + 1, 1, FALSE.into()]);
    assert_eq!((lock.read(), irql()), (0, PASSIVE));
    disconnect(interrupt);
    assert!(!fire(0x41, 1));
}

#[test]
fn the_processors_and_the_vector_are_those_that_were_asked_for() {
    let runs = AtomicU32::new(0);
    let mut specified = parameters(0x42, Some(count), context(&runs));
    specified.ProcessorEnableMask = 0b10;
    let interrupt = connect(specified);
    let fired = [(0x42, 0), (0x43, 1), (0x42, 1), (0x42, 64)].map(|(v, p)| fire(v, p));
    assert_eq!(fired, [false, false, true, false]);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    disconnect(interrupt);
}

#[test]
fn a_shared_vector_goes_from_routine_to_routine_until_one_takes_it() {
    let runs = [const { AtomicU32::new(0) }; 3];
    let shared = |routine, counter| {
        let mut specified = parameters(0x44, Some(routine), context(counter));
        specified.ShareVector = TRUE;
        connect(specified)
    };
    let interrupts = [
        shared(not_mine, &runs[0]),
        shared(count, &runs[1]),
        shared(count, &runs[2]),
    ];
    let alone = parameters(0x44, Some(count), context(&runs[0]));
    assert_eq!(
        try_connect(CONNECT_FULLY_SPECIFIED, alone),
        Err(STATUS_INVALID_PARAMETER)
    );
    assert!(fire(0x44, 0));
    let runs = runs.map(AtomicU32::into_inner);
    assert_eq!(runs, [1, 1, 0]);
    interrupts.into_iter().for_each(disconnect);
}

#[test]
fn what_cannot_be_connected_is_refused() {
    let counter = AtomicU32::new(0);
    let right = parameters(0x45, Some(count), context(&counter));
    let connect_with = |change: fn(&mut IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS)| {
        let mut specified = right;
        change(&mut specified);
        try_connect(CONNECT_FULLY_SPECIFIED, specified).err()
    };
    let invalid = Some(STATUS_INVALID_PARAMETER);
    assert_eq!(
        connect_with(|p| p.PhysicalDeviceObject = ptr::null_mut()),
        invalid
    );
    assert_eq!(connect_with(|p| p.ServiceRoutine = None), invalid);
    assert_eq!(connect_with(|p| p.SynchronizeIrql = DIRQL - 1), invalid);
    assert_eq!(connect_with(|p| p.SynchronizeIrql = CLOCK), invalid);
    assert_eq!(connect_with(|p| p.Irql = DISPATCH), invalid);
    assert_eq!(
        connect_with(|p| p.ProcessorEnableMask = 0),
        Some(STATUS_INVALID_PARAMETER_10)
    );
    assert_eq!(
        connect_with(|p| (p.Irql, p.SynchronizeIrql) = (PASSIVE, PASSIVE)),
        Some(STATUS_NOT_SUPPORTED)
    );
    let versions = [0, CONNECT_LINE_BASED, CONNECT_MESSAGE_BASED, 5];
    let refused = versions.map(|version| try_connect(version, right).err());
    let expected = [
        STATUS_INVALID_PARAMETER_1,
        STATUS_NOT_FOUND,
        STATUS_NOT_FOUND,
        STATUS_INVALID_PARAMETER_1,
    ];
    assert_eq!(refused, expected.map(Some));
}

/// The data of a device, which is not atomic.
type Device = Object<u64>;

unsafe extern "win64" fn add_one(_interrupt: PKINTERRUPT, device: PVOID) -> BOOLEAN {
    // SAFETY: The tests connect it with the data of a device, and it is called with the lock held.
    unsafe { *device.cast::<u64>() += 1 };
    TRUE
}

unsafe extern "win64" fn synchronized(device: PVOID) -> BOOLEAN {
    assert_eq!(irql(), DIRQL);
    // SAFETY: As above.
    unsafe { add_one(ptr::null_mut(), device) }
}

#[test]
fn service_routine_synchronized_routine_and_holder_of_the_lock_exclude_each_other() {
    const PASSES: u64 = 500;
    let device = Device::new(0);
    let interrupt = connect(parameters(0x46, Some(add_one), device.object()));
    let address = interrupt as usize;
    thread::scope(|scope| {
        for processor in 0..4 {
            let device = &device;
            scope.spawn(move || {
                for _ in 0..PASSES {
                    assert!(fire(0x46, processor));
                }
            });
            scope.spawn(move || {
                let interrupt = address as PKINTERRUPT;
                for _ in 0..PASSES {
                    let result = nt!(KeSynchronizeExecution(
                        interrupt,
                        Some(synchronized),
                        device.object()
                    ));
                    assert_eq!((result, irql()), (TRUE, PASSIVE));
                }
            });
            scope.spawn(move || {
                let interrupt = address as PKINTERRUPT;
                for _ in 0..PASSES {
                    let old = nt!(KeAcquireInterruptSpinLock(interrupt));
                    assert_eq!((old, irql()), (PASSIVE, DIRQL));
                    device.write(device.read() + 1);
                    nt!(KeReleaseInterruptSpinLock(interrupt, old));
                }
            });
        }
    });
    assert_eq!(device.read(), 3 * 4 * PASSES);
    disconnect(interrupt);
}

#[test]
fn the_level_before_is_restored_and_the_result_handed_on() {
    unsafe extern "win64" fn no(_context: PVOID) -> BOOLEAN {
        FALSE
    }
    let device = Device::new(0);
    let interrupt = connect(parameters(0x47, Some(add_one), device.object()));
    for before in [PASSIVE, APC, DISPATCH, DIRQL] {
        let outer = raise(before);
        let result = nt!(KeSynchronizeExecution(interrupt, Some(no), ptr::null_mut()));
        assert_eq!((result, irql()), (FALSE, before));
        let old = nt!(KeAcquireInterruptSpinLock(interrupt));
        assert_eq!((old, irql()), (before, DIRQL));
        nt!(KeReleaseInterruptSpinLock(interrupt, old));
        assert_eq!(irql(), before);
        lower(outer);
    }
    disconnect(interrupt);
}

#[test]
fn a_dpc_that_the_service_routine_queues_runs_on_the_way_out() {
    static RAN_AT: AtomicU32 = AtomicU32::new(0);
    unsafe extern "win64" fn deferred(_dpc: PKDPC, _context: PVOID, _first: PVOID, _second: PVOID) {
        RAN_AT.store(irql().into(), Ordering::Relaxed);
    }
    unsafe extern "win64" fn service(_interrupt: PKINTERRUPT, dpc: PVOID) -> BOOLEAN {
        let none = ptr::null_mut();
        nt!(KeInsertQueueDpc(dpc.cast(), none, none));
        assert_eq!(
            RAN_AT.load(Ordering::Relaxed),
            0,
            "not before the IRQL falls"
        );
        TRUE
    }
    let dpc = Object::<KDPC>::default();
    nt!(KeInitializeDpc(dpc.get(), Some(deferred), ptr::null_mut()));
    let interrupt = connect(parameters(0x48, Some(service), dpc.object()));
    assert!(fire(0x48, 0));
    assert_eq!(RAN_AT.load(Ordering::Relaxed), u32::from(DISPATCH));
    disconnect(interrupt);
}

#[test]
fn disconnecting_waits_for_the_service_routine() {
    static ENTERED: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicBool = AtomicBool::new(false);
    unsafe extern "win64" fn service(_interrupt: PKINTERRUPT, _context: PVOID) -> BOOLEAN {
        ENTERED.store(true, Ordering::Relaxed);
        sleep(50);
        LEFT.store(true, Ordering::Relaxed);
        TRUE
    }
    let interrupt = connect(parameters(0x49, Some(service), ptr::null_mut()));
    thread::scope(|scope| {
        scope.spawn(|| assert!(fire(0x49, 0)));
        while !ENTERED.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        disconnect(interrupt);
        assert!(LEFT.load(Ordering::Relaxed));
    });
}

#[test]
fn an_interrupt_that_stays_connected_is_a_leak() {
    let is_listed = |interrupt| {
        let leaks = Kernel::get().leaks();
        leaks
            .entries
            .iter()
            .any(|leak| leak.kind == LeakKind::Interrupt && leak.address == interrupt as u64)
    };
    let interrupt = connect(parameters(0x4A, Some(add_one), ptr::null_mut()));
    assert!(is_listed(interrupt));
    disconnect(interrupt);
    assert!(!is_listed(interrupt));
}

/// An interrupt at an IRQL, for a test that ends in a bug check.
fn interrupt_at(irql: KIRQL) -> PKINTERRUPT {
    let mut specified = parameters(irql.into(), Some(add_one), ptr::null_mut());
    (specified.Irql, specified.SynchronizeIrql) = (irql, irql);
    connect(specified)
}

fn acquire(interrupt: PKINTERRUPT) -> KIRQL {
    nt!(KeAcquireInterruptSpinLock(interrupt))
}

#[test]
fn acquiring_again_is_reported() {
    let report = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        acquire(interrupt);
        nt!(KeSynchronizeExecution(
            interrupt,
            Some(synchronized),
            ptr::null_mut()
        ));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (VERIFIER, 0x1000),
        "{report}"
    );
    assert_eq!(report.function, "KeSynchronizeExecution");
}

#[test]
fn a_level_above_the_interrupts_is_reported() {
    let report = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        raise(DIRQL + 1);
        acquire(interrupt);
    });
    assert_eq!(report.code, VERIFIER, "{report}");
    assert_eq!(report.parameters[..3], [0x30, 8, 7], "{report}");
}

#[test]
fn releases_out_of_order_are_reported() {
    let lowering = expect_bug_check(|| {
        let (first, second) = (interrupt_at(DIRQL), interrupt_at(DIRQL + 1));
        raise(DISPATCH);
        acquire(second);
        lower(DIRQL);
        let old = acquire(first);
        assert_eq!(old, DIRQL);
        nt!(KeReleaseInterruptSpinLock(first, DISPATCH));
    });
    let under_spin_lock = expect_bug_check(|| {
        let (interrupt, lock) = (interrupt_at(DIRQL), Object::<KSPIN_LOCK>::default());
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        acquire(interrupt);
        nt!(KeReleaseInterruptSpinLock(interrupt, PASSIVE));
    });
    for report in [lowering, under_spin_lock] {
        assert_eq!(
            (report.code, report.parameters[0]),
            (VERIFIER, 0x1003),
            "{report}"
        );
    }
}

#[test]
fn releases_that_do_not_fit_are_reported() {
    let at_another_level = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        let old = acquire(interrupt);
        lower(DISPATCH);
        nt!(KeReleaseInterruptSpinLock(interrupt, old));
    });
    let free = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        raise(DIRQL);
        nt!(KeReleaseInterruptSpinLock(interrupt, PASSIVE));
    });
    let to_a_higher_level = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        acquire(interrupt);
        nt!(KeReleaseInterruptSpinLock(interrupt, HIGH));
    });
    let rules = [at_another_level, free, to_a_higher_level].map(|report| {
        assert_eq!(report.code, VERIFIER, "{report}");
        report.parameters[0]
    });
    assert_eq!(rules, [0x32, 0x1007, 0x31]);
}

#[test]
fn an_interrupt_that_is_not_connected_is_reported() {
    let report = expect_bug_check(|| {
        let interrupt = interrupt_at(DIRQL);
        disconnect(interrupt);
        acquire(interrupt);
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (VERIFIER, 0xE1),
        "{report}"
    );
}

#[test]
fn a_service_routine_that_leaves_another_level_is_reported() {
    unsafe extern "win64" fn service(_interrupt: PKINTERRUPT, _context: PVOID) -> BOOLEAN {
        raise(DIRQL + 1);
        TRUE
    }
    let report = expect_bug_check(|| {
        connect(parameters(0x4B, Some(service), ptr::null_mut()));
        let stop = Kernel::get().interrupt(0x4B, 0);
        assert!(stop.is_err_and(|stop| stop.bug_check().is_some()));
        // The kernel is dead: this does not return.
        irql();
    });
    assert_eq!(report.code, bugcheck::IRQL_UNEXPECTED_VALUE, "{report}");
    assert_eq!(report.parameters[0], 0x8_0703, "{report}");
}

#[test]
fn what_may_not_be_called_at_a_devices_level_is_reported() {
    unsafe extern "win64" fn take_spin_lock(lock: PVOID) -> BOOLEAN {
        nt!(KeAcquireSpinLockRaiseToDpc(lock.cast()));
        TRUE
    }
    let report = expect_bug_check(|| {
        let lock = Object::<KSPIN_LOCK>::default();
        let interrupt = interrupt_at(DIRQL);
        nt!(KeSynchronizeExecution(
            interrupt,
            Some(take_spin_lock),
            lock.object()
        ));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (VERIFIER, 0x42),
        "{report}"
    );
}

#[test]
fn connecting_at_dispatch_level_is_reported() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        interrupt_at(DIRQL);
    });
    assert_eq!(report.code, bugcheck::IRQL_NOT_LESS_OR_EQUAL, "{report}");
}
