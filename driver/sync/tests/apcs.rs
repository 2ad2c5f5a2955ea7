//! What the guards turn off can be seen: an APC that is queued under one runs when it is dropped. On nthost.
#![cfg(not(windows))]

use core::{cell::UnsafeCell, ptr};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use nthost::ntddk::*;
use wdk_sync::{
    AtMost, CriticalRegion, FastMutex, GuardedMutex, GuardedRegion, Irql, Mutex, NonPaged,
    PushLock, Resource, testing::at_passive_level,
};

/// A special and a normal kernel APC to the thread that makes them, which count when they run.
struct Apcs {
    special: Box<UnsafeCell<KAPC>>,
    normal: Box<UnsafeCell<KAPC>>,
    ran: Arc<[AtomicU32; 2]>,
}

unsafe extern "win64" fn kernel(
    _: *mut KAPC,
    routine: *mut PKNORMAL_ROUTINE,
    _: *mut PVOID,
    argument: *mut PVOID,
    _: *mut PVOID,
) {
    // SAFETY: The kernel passes a place with the routine.
    if unsafe { *routine }.is_none() {
        // SAFETY: The kernel passes a place with the argument.
        let argument = unsafe { *argument };
        // SAFETY: It is the counter that the APC was queued with, which outlives it.
        unsafe { &*argument.cast::<AtomicU32>() }.fetch_add(1, SeqCst);
    }
}

unsafe extern "win64" fn normal(_: PVOID, argument: PVOID, _: PVOID) {
    // SAFETY: As in `kernel`.
    unsafe { &*argument.cast::<AtomicU32>() }.fetch_add(1, SeqCst);
}

impl Apcs {
    fn new() -> Self {
        let apc = |routine| {
            // SAFETY: Numbers, null pointers and no routines.
            let apc = Box::new(UnsafeCell::new(unsafe { core::mem::zeroed::<KAPC>() }));
            // SAFETY: A call that is good at any IRQL.
            let thread = unsafe { KeGetCurrentThread() };
            // SAFETY: The APC stays where it is, and the routines are ones that may be called so.
            unsafe {
                KeInitializeApc(
                    apc.get(),
                    thread,
                    _KAPC_ENVIRONMENT::OriginalApcEnvironment,
                    Some(kernel),
                    None,
                    routine,
                    0,
                    ptr::null_mut(),
                );
            };
            apc
        };
        Self {
            special: apc(None),
            normal: apc(Some(normal)),
            ran: Arc::default(),
        }
    }

    /// Queues both, and returns how often the special and the normal one have run.
    fn queue(&self) -> [u32; 2] {
        for (apc, counter) in [&self.special, &self.normal].into_iter().zip(&*self.ran) {
            let counter = ptr::from_ref(counter).cast_mut().cast();
            // SAFETY: The APC is initialised, and its thread, the calling one, is alive.
            let queued = unsafe { KeInsertQueueApc(apc.get(), counter, ptr::null_mut(), 0) };
            assert_eq!(queued, TRUE);
        }
        self.ran()
    }

    fn ran(&self) -> [u32; 2] {
        [&self.ran[0], &self.ran[1]].map(|counter| counter.load(SeqCst))
    }
}

/// What ran under a guard, and what ran when it was dropped: both within `hold`, which drops it last.
fn under<L: AtMost<wdk_sync::Apc>>(
    irql: &mut Irql<'_, L>,
    hold: impl FnOnce(&mut Irql<'_, L>, &dyn Fn()),
) -> [[u32; 2]; 2] {
    let apcs = Apcs::new();
    let before = core::cell::Cell::new([0; 2]);
    hold(irql, &|| before.set(apcs.queue()));
    [before.get(), apcs.ran()]
}

/// All are held back until the guard is dropped.
const ALL: [[u32; 2]; 2] = [[0, 0], [1, 1]];
/// Normal ones are.
const NORMAL: [[u32; 2]; 2] = [[1, 0], [1, 1]];

#[test]
fn the_regions_hold_them_back_until_they_are_dropped() {
    at_passive_level(|irql| {
        let critical = under(irql, |irql, queue| {
            let _region = CriticalRegion::enter(irql);
            queue();
        });
        assert_eq!(critical, NORMAL);
        let guarded = under(irql, |irql, queue| {
            let _region = GuardedRegion::enter(irql);
            queue();
        });
        assert_eq!(guarded, ALL);
        let nested = under(irql, |irql, queue| {
            let mut outer = CriticalRegion::enter(irql);
            let inner = GuardedRegion::enter(outer.irql());
            queue();
            drop(inner);
        });
        assert_eq!(nested, ALL);
    });
}

#[test]
fn the_locks_that_raise_to_apc_level_hold_all_back() {
    at_passive_level(|irql| {
        let fast = NonPaged::pin_init(FastMutex::new(())).unwrap();
        let held = under(irql, |irql, queue| {
            let _guard = fast.lock(irql).unwrap();
            queue();
        });
        assert_eq!(held, ALL);
        let guarded = NonPaged::pin_init(GuardedMutex::new(irql, ())).unwrap();
        let held = under(irql, |irql, queue| {
            let _guard = guarded.lock(irql).unwrap();
            queue();
        });
        assert_eq!(held, ALL);
    });
}

#[test]
fn the_locks_with_a_critical_region_hold_normal_ones_back() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(Mutex::new(())).unwrap();
        let held = under(irql, |irql, queue| {
            let _guard = mutex.lock(irql).unwrap();
            queue();
        });
        assert_eq!(held, NORMAL);
        let pushed = NonPaged::pin_init(PushLock::new(())).unwrap();
        let held = under(irql, |irql, queue| {
            let _guard = pushed.exclusive(irql);
            queue();
        });
        assert_eq!(held, NORMAL);
        let resource = NonPaged::pin_init(Resource::new(())).unwrap();
        let held = under(irql, |irql, queue| {
            let _guard = resource.shared(irql);
            queue();
        });
        assert_eq!(held, NORMAL);
    });
}
