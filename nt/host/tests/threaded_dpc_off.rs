//! Threaded DPCs where they are turned off: ordinary ones.
#![cfg(not(windows))]

mod support;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nthost::{Config, ntddk::*};
use support::*;

static SEEN: AtomicU32 = AtomicU32::new(u32::MAX);

unsafe extern "win64" fn look(_: *mut KDPC, lock: PVOID, _: PVOID, _: PVOID) {
    let level = irql();
    let old = nt!(KeAcquireSpinLockForDpc(lock.cast()));
    assert_eq!((old, irql()), (level, DISPATCH));
    nt!(KeReleaseSpinLockForDpc(lock.cast(), old));
    assert_ne!(nt!(KeIsExecutingDpc()), 0);
    SEEN.store(irql().into(), Relaxed);
}

#[test]
fn it_runs_at_dispatch_level() {
    nthost::boot(Config {
        threaded_dpcs: false,
        ..Config::default()
    })
    .expect("nothing has run yet");
    let (dpc, lock) = (Object::<KDPC>::default(), Object::new(0_u64));
    nt!(KeInitializeThreadedDpc(
        dpc.get(),
        Some(look),
        lock.object()
    ));
    let none = core::ptr::null_mut();
    assert_eq!(nt!(KeInsertQueueDpc(dpc.get(), none, none)), TRUE);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(SEEN.load(Relaxed), DISPATCH_LEVEL);
}
