//! Attempts to break the locks by means that safe code has: guards forgotten, kept in odd places or
//! dropped by a panic, and a DPC that comes between. On nthost.
#![cfg(not(windows))]

use core::{
    cell::Cell,
    mem,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
};

use nthost::testing::expect_bug_check;
use wdk_sync::{
    AlreadyOwned, CriticalRegion, Dispatch, Dpc, DpcControl, FastMutex, GuardedMutex, Irql, Mutex,
    NonPaged, Passive, PushLock, QueueHandle, QueuedSpinLock, RecursiveMutex, RecursiveMutexGuard,
    Resource, RwSpinLock, SpinLock, Thread, Timeout, Wait, are_all_apcs_disabled,
    are_apcs_disabled, current_irql, lock_all, testing::at_passive_level,
};

/// Runs `f`, which panics, and then looks at what it has left of the thread's state.
#[track_caller]
fn assert_restored(irql: &mut Irql<'_, Passive>, f: impl FnOnce(&mut Irql<'_, Passive>)) {
    assert!(catch_unwind(AssertUnwindSafe(|| f(irql))).is_err());
    assert_eq!(current_irql(), 0);
    assert!(!are_apcs_disabled(irql));
    assert!(!are_all_apcs_disabled(irql));
}

#[test]
fn a_panic_releases_what_is_held_and_restores_the_level() {
    let spin = SpinLock::new(0);
    let queued = QueuedSpinLock::new(0);
    let rw = RwSpinLock::new(0);
    let mutex = NonPaged::pin_init(Mutex::new(0)).unwrap();
    let recursive = NonPaged::pin_init(RecursiveMutex::new(Cell::new(0))).unwrap();
    let fast = NonPaged::pin_init(FastMutex::new(0)).unwrap();
    let push = NonPaged::pin_init(PushLock::new(0)).unwrap();
    let resource = NonPaged::pin_init(Resource::new(0)).unwrap();
    at_passive_level(|irql| {
        let guarded = NonPaged::pin_init(GuardedMutex::new(irql, 0)).unwrap();
        assert_restored(irql, |irql| spin.with(irql, |_, _| panic!("inside")));
        assert_restored(irql, |irql| queued.with(irql, |_, _| panic!("inside")));
        assert_restored(irql, |irql| {
            let handle = pin!(QueueHandle::new());
            let _guard = queued.lock(irql, handle);
            panic!("inside");
        });
        assert_restored(irql, |irql| rw.with_shared(irql, |_, _| panic!("inside")));
        assert_restored(irql, |irql| {
            rw.with_exclusive(irql, |_, _| panic!("inside"));
        });
        assert_restored(irql, |irql| {
            mutex.with(irql, |_, _| panic!("inside")).unwrap();
        });
        assert_restored(irql, |irql| {
            let mut outer = recursive.lock(irql).unwrap();
            let _inner = recursive.lock(outer.irql()).unwrap();
            panic!("inside");
        });
        assert_restored(irql, |irql| {
            fast.with(irql, |_, _| panic!("inside")).unwrap();
        });
        assert_restored(irql, |irql| {
            guarded.with(irql, |_, _| panic!("inside")).unwrap();
        });
        assert_restored(irql, |irql| push.with_shared(irql, |_, _| panic!("inside")));
        assert_restored(irql, |irql| {
            push.with_exclusive(irql, |_, _| panic!("inside"));
        });
        assert_restored(irql, |irql| {
            resource.with_shared(irql, |_, _| panic!("inside")).unwrap();
        });
        assert_restored(irql, |irql| {
            resource
                .with_exclusive(irql, |_, _| panic!("inside"))
                .unwrap();
        });
        assert_restored(irql, |irql| {
            let _region = CriticalRegion::enter(irql);
            panic!("inside");
        });
        assert_restored(irql, |irql| irql.at_dispatch_level(|_| panic!("inside")));

        // All of them can be had again, exclusively.
        spin.with(irql, |_, _| ());
        queued.with(irql, |_, _| ());
        rw.with_exclusive(irql, |_, _| ());
        assert!(mutex.is_free(irql) && recursive.is_free(irql));
        assert!(fast.try_lock(irql).is_some());
        assert!(guarded.try_lock(irql).is_some());
        push.with_exclusive(irql, |_, _| ());
        assert!(resource.try_exclusive(irql).is_some());
    });
}

#[test]
fn a_guard_in_an_rc_releases_with_the_last_of_them() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(Mutex::new(7)).unwrap();
        let guard = Rc::new(mutex.lock(irql).unwrap());
        let other = Rc::clone(&guard);
        drop(guard);
        assert_eq!(**other, 7);
        drop(other);
        assert!(mutex.is_free(irql));
    });
}

#[test]
fn a_lock_whose_guard_was_forgotten_stays_closed_to_everyone() {
    let fast = &*Box::leak(Box::new(NonPaged::pin_init(FastMutex::new(0)).unwrap()));
    let resource = &*Box::leak(Box::new(NonPaged::pin_init(Resource::new(0)).unwrap()));
    let (forgotten, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: A thread that nthost has not seen yet is at PASSIVE_LEVEL.
        let mut irql = unsafe { Irql::<Passive>::assume() };
        let mut guard = resource.exclusive(&mut irql).unwrap();
        assert!(resource.try_shared(guard.irql()).is_none());
        let mut inner = fast.lock(guard.irql()).unwrap();
        assert_eq!(fast.lock(inner.irql()).err(), Some(AlreadyOwned));
        mem::forget(inner);
        mem::forget(guard);
        forgotten.send(()).unwrap();
        // A thread that ended with its locks would stop the system.
        loop {
            std::thread::park();
        }
    });
    told.recv().unwrap();
    at_passive_level(|irql| {
        assert!(fast.try_lock(irql).is_none());
        assert!(resource.try_shared(irql).is_none());
        assert!(resource.try_exclusive(irql).is_none());
    });
}

#[test]
fn a_dpc_on_the_owners_processor_gets_no_second_guard() {
    at_passive_level(|irql| {
        let mutex = Arc::new(NonPaged::pin_init(Mutex::new(1)).unwrap());
        let runs = Arc::new(AtomicU32::new(0));
        let callback = {
            let (mutex, runs) = (Arc::clone(&mutex), Arc::clone(&runs));
            move |_dpc: &DpcControl, irql: &mut Irql<'_, Dispatch>| {
                assert!(mutex.try_lock(irql).is_none());
                runs.fetch_add(1, Ordering::SeqCst);
            }
        };
        let dpc = NonPaged::pin_init(Dpc::new(callback)).unwrap();
        let mut guard = mutex.lock(irql).unwrap();
        let data = &mut *guard;
        dpc.queue();
        while runs.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        *data += 1;
        assert_eq!(*guard, 2);
        drop(guard);
        assert!(
            mutex.is_free(irql),
            "the refusal left the owner's acquisition alone"
        );
        Dpc::run_down(dpc, irql);
    });
}

#[test]
fn a_mutex_dropped_under_forgotten_guards_of_several_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let one = NonPaged::pin_init(Mutex::new(1)).unwrap();
            let other = NonPaged::pin_init(Mutex::new(2)).unwrap();
            let both = lock_all(irql, [&*one, &*other], [], Timeout::Never);
            assert!(matches!(both, Wait::Acquired(_)));
            mem::forget(both);
        });
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (0xC4, 0x100B),
        "{report}"
    );
}

#[test]
fn the_data_of_a_lock_that_is_held_is_not_taken_out_of_it() {
    for take in [
        |irql: &mut Irql<'_, Passive>| {
            let lock = SpinLock::new(0);
            mem::forget(lock.lock(irql));
            lock.into_inner();
        },
        |irql: &mut Irql<'_, Passive>| {
            let lock = RwSpinLock::new(0);
            mem::forget(lock.shared(irql));
            lock.into_inner();
        },
    ] {
        let report = expect_bug_check(|| at_passive_level(take));
        assert_eq!(
            (report.code, report.parameters[0]),
            (0xC4, 0x100B),
            "{report}"
        );
    }
}

#[test]
fn locks_that_were_exchanged_protect_the_data_that_they_took_along() {
    at_passive_level(|irql| {
        let mut one = SpinLock::new(1);
        let mut other = SpinLock::new(2);
        mem::swap(&mut one, &mut other);
        assert_eq!(*one.lock(irql), 2);
        *one.get_mut() = 3;
        assert_eq!((one.into_inner(), other.into_inner()), (3, 1));
    });
}

#[test]
fn a_panicking_thread_gives_its_locks_to_others() {
    at_passive_level(|irql| {
        let resource = Arc::new(NonPaged::pin_init(Resource::new(1)).unwrap());
        let theirs = Arc::clone(&resource);
        let thread = Thread::spawn(irql, move |irql| {
            catch_unwind(AssertUnwindSafe(|| {
                let mut guard = theirs.exclusive(irql).unwrap();
                *guard = 2;
                panic!("inside");
            }))
            .is_err()
        });
        assert_eq!(thread.unwrap().join(irql), Some(true));
        assert_eq!(*resource.shared(irql).unwrap(), 2);
    });
}

#[test]
fn an_owner_that_comes_in_too_often_is_refused() {
    const MAX_DEPTH: u32 = RecursiveMutex::<u32>::MAX_DEPTH;

    fn deeper(mutex: &RecursiveMutex<u32>, depth: u32, irql: &mut Irql<'_, Passive>) {
        if depth == MAX_DEPTH {
            assert_eq!(mutex.lock(irql).err(), Some(AlreadyOwned));
            assert!(mutex.try_lock(irql).is_none());
            return;
        }
        let mut guard = mutex.lock(irql).unwrap();
        assert_eq!(RecursiveMutexGuard::depth(&guard), depth + 1);
        deeper(mutex, depth + 1, guard.irql());
    }

    let thread = std::thread::Builder::new().stack_size(512 << 20);
    let thread = thread.spawn(|| {
        // SAFETY: A thread that nthost has not seen yet is at PASSIVE_LEVEL.
        let mut irql = unsafe { Irql::<Passive>::assume() };
        let mutex = NonPaged::pin_init(RecursiveMutex::new(0)).unwrap();
        deeper(&mutex, 0, &mut irql);
        assert!(mutex.is_free(&irql));
    });
    thread.unwrap().join().unwrap();
}
