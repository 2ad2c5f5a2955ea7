//! The interrupt spin lock: who reaches the data, at which level, and when it is refused. On nthost, where
//! the tests interrupt in a device's place.
#![cfg(not(windows))]

use core::{
    ptr,
    sync::atomic::{AtomicU8, Ordering},
};
use std::thread;

use nthost::{Kernel, ntddk::*};
use wdk_sync::{
    Dpc, InterruptLock, NonPaged, NotConnected, SpinLock, current_irql, testing::at_passive_level,
    yield_now,
};

const DIRQL: u8 = 9;

fn connect(vector: u32, routine: PKSERVICE_ROUTINE, context: PVOID) -> PKINTERRUPT {
    let mut interrupt = ptr::null_mut();
    let specified = IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
        PhysicalDeviceObject: ptr::dangling_mut(),
        InterruptObject: &raw mut interrupt,
        ServiceRoutine: routine,
        ServiceContext: context,
        SynchronizeIrql: DIRQL,
        Irql: DIRQL,
        Vector: vector,
        ProcessorEnableMask: KAFFINITY::MAX,
        ..Default::default()
    };
    let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_FULLY_SPECIFIED,
        __bindgen_anon_1: _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            FullySpecified: specified,
        },
    };
    // SAFETY: The parameters are valid, and the tests disconnect before the context goes.
    let status = unsafe { IoConnectInterruptEx(&raw mut parameters) };
    assert_eq!(status, STATUS_SUCCESS);
    interrupt
}

fn disconnect(interrupt: PKINTERRUPT) {
    let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_FULLY_SPECIFIED,
        ConnectionContext: _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
            InterruptObject: interrupt,
        },
    };
    // SAFETY: The interrupt is connected, and nobody uses it any more.
    unsafe { IoDisconnectInterruptEx(&raw mut parameters) };
}

fn fire(vector: u32, processor: u32) {
    let claimed = Kernel::get().interrupt(vector, processor);
    assert!(claimed.expect("no bug check"));
}

type Counter = InterruptLock<u64>;

unsafe extern "win64" fn count(_interrupt: PKINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: It is connected with such a context.
    let counter = unsafe { &*context.cast::<Counter>() };
    // SAFETY: This is the service routine of the counter's interrupt.
    unsafe {
        counter.in_service_routine(|count, _irql| {
            assert_eq!(current_irql(), DIRQL);
            *count += 1;
        });
    };
    1
}

#[test]
fn service_routine_and_closures_have_the_data_in_turn() {
    const PASSES: u64 = 500;
    let counter = Counter::new(0);
    let context = ptr::from_ref(&counter).cast_mut().cast();
    let interrupt = connect(0x51, Some(count), context);
    // SAFETY: The interrupt is connected to the counter's service routine until the closures are through.
    unsafe { counter.connect(interrupt) };
    thread::scope(|scope| {
        for processor in 0..4 {
            let counter = &counter;
            scope.spawn(move || (0..PASSES).for_each(|_| fire(0x51, processor)));
            scope.spawn(|| {
                at_passive_level(|irql| {
                    for _ in 0..PASSES {
                        counter
                            .with(irql, |count, _irql| *count += 1)
                            .expect("connected");
                    }
                });
            });
        }
    });
    counter.disconnect();
    disconnect(interrupt);
    assert_eq!(counter.into_inner(), 2 * 4 * PASSES);
}

#[test]
fn a_closure_runs_at_the_interrupts_level_and_the_level_before_comes_back() {
    let counter = Counter::new(5);
    let context = ptr::from_ref(&counter).cast_mut().cast();
    let interrupt = connect(0x52, Some(count), context);
    // SAFETY: As above.
    unsafe { counter.connect(interrupt) };
    at_passive_level(|irql| {
        let seen = counter.with(irql, |count, _irql| (*count, current_irql()));
        assert_eq!((seen, current_irql()), (Ok((5, DIRQL)), 0));
        let lock = SpinLock::new(());
        let mut guard = lock.lock(irql);
        let seen = counter.with(guard.irql(), |_count, _irql| current_irql());
        assert_eq!((seen, current_irql()), (Ok(DIRQL), 2));
    });
    counter.disconnect();
    disconnect(interrupt);
}

#[test]
fn without_an_interrupt_the_closure_is_not_run() {
    let mut counter = Counter::default();
    at_passive_level(|irql| {
        let refused = counter.with(irql, |count, _irql| *count += 1);
        assert_eq!(refused, Err(NotConnected));
    });
    let context = ptr::from_ref(&counter).cast_mut().cast();
    let interrupt = connect(0x53, Some(count), context);
    fire(0x53, 0);
    // SAFETY: As above.
    unsafe { counter.connect(interrupt) };
    counter.disconnect();
    at_passive_level(|irql| assert_eq!(counter.with(irql, |_, _| ()), Err(NotConnected)));
    disconnect(interrupt);
    assert_eq!(*counter.get_mut(), 1, "the service routine's alone");
}

#[test]
fn what_a_service_routine_leaves_for_later_is_a_dpc() {
    static RAN_AT: AtomicU8 = AtomicU8::new(0);
    let counter = Counter::default();
    let context = ptr::from_ref(&counter).cast_mut().cast();
    let interrupt = connect(0x54, Some(count), context);
    // SAFETY: As above.
    unsafe { counter.connect(interrupt) };
    at_passive_level(|irql| {
        let dpc = NonPaged::pin_init(Dpc::new(|_dpc, irql| {
            RAN_AT.store(irql.level(), Ordering::Release);
        }))
        .expect("memory");
        let seen = counter.with(irql, |_count, _irql| {
            dpc.queue();
            RAN_AT.load(Ordering::Acquire)
        });
        assert_eq!(seen, Ok(0), "not before the level falls");
        while RAN_AT.load(Ordering::Acquire) != 2 {
            yield_now(irql);
        }
        Dpc::run_down(dpc, irql);
    });
    counter.disconnect();
    disconnect(interrupt);
}
