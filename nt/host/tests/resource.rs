//! ERESOURCEs: who gets access when, and what the structure shows. What misuse ends in: `resource_rules.rs`.
#![cfg(not(windows))]

mod support;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    thread,
};

use nthost::ntddk::*;
use support::{resource::*, *};

#[test]
fn exclusive_access_is_recursive_and_keeps_others_out() {
    let resource = Resource::new();
    protected(|| {
        assert_eq!(
            (resource.exclusive(TRUE), resource.exclusive(FALSE)),
            (TRUE, TRUE)
        );
        assert_eq!(resource.shared(FALSE), TRUE, "exclusive access again");
        assert_eq!(resource.mine(), (TRUE, 3));
        let others = elsewhere(|| {
            let tries = [
                resource.exclusive(FALSE),
                resource.shared(FALSE),
                resource.starve(FALSE),
            ];
            (tries, resource.mine())
        });
        assert_eq!(others, ([FALSE; 3], (FALSE, 0)));
        (0..3).for_each(|_| resource.release());
        assert_eq!(resource.mine(), (FALSE, 0));
    });
    assert_eq!(
        elsewhere(|| (resource.exclusive(FALSE), resource.release())).0,
        TRUE
    );
    resource.delete();
}

#[test]
fn shared_access_is_for_many_and_keeps_exclusive_access_out() {
    let resource = Resource::new();
    protected(|| {
        assert_eq!((resource.shared(TRUE), resource.shared(TRUE)), (TRUE, TRUE));
        assert_eq!(resource.mine(), (FALSE, 2));
        let other = elsewhere(|| {
            let shared = resource.shared(FALSE);
            let both = resource.0.read().ActiveCount;
            resource.release();
            (shared, both, resource.exclusive(FALSE))
        });
        assert_eq!(other, (TRUE, 2, FALSE));
        assert_eq!(
            resource.exclusive(FALSE),
            FALSE,
            "one who shares it must release it first"
        );
        resource.release();
        resource.release();
    });
    resource.delete();
}

#[test]
fn new_ones_who_share_go_behind_one_who_waits_for_exclusive_access() {
    let resource = Resource::new();
    thread::scope(|scope| {
        nt!(KeEnterCriticalRegion());
        resource.shared(TRUE);
        let writer = scope.spawn(|| {
            protected(|| {
                assert_eq!(resource.exclusive(TRUE), TRUE);
                assert_eq!(resource.mine(), (TRUE, 1));
                resource.release();
            });
        });
        resource.await_waiters((0, 1));
        assert_eq!(
            elsewhere(|| resource.shared(FALSE)),
            FALSE,
            "behind the one who waits"
        );
        assert_eq!(
            elsewhere(|| resource.polite(FALSE)),
            FALSE,
            "behind the one who waits"
        );
        assert_eq!(
            elsewhere(|| (resource.starve(FALSE), resource.release())).0,
            TRUE
        );
        assert_eq!(
            resource.shared(FALSE),
            TRUE,
            "one who shares it already does not wait"
        );
        assert_eq!(resource.polite(FALSE), FALSE, "unless it asks for that");
        resource.release();
        resource.release();
        writer.join().expect("no panic");
        assert_eq!(resource.0.read().ContentionCount, 1);
        nt!(KeLeaveCriticalRegion());
    });
    assert_eq!(
        nt!(ExReinitializeResourceLite(resource.get())),
        STATUS_SUCCESS
    );
    assert_eq!(resource.0.read().ContentionCount, 0);
    resource.delete();
}

#[test]
fn after_an_exclusive_owner_come_all_who_wait_to_share() {
    let resource = Resource::new();
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        nt!(KeEnterCriticalRegion());
        resource.exclusive(TRUE);
        let writer = scope.spawn(|| {
            protected(|| {
                resource.exclusive(TRUE);
                assert_eq!(
                    inside.load(Ordering::Relaxed),
                    4,
                    "those who share were first"
                );
                resource.release();
            });
        });
        resource.await_waiters((0, 1));
        for _ in 0..4 {
            scope.spawn(|| {
                protected(|| {
                    resource.shared(TRUE);
                    inside.fetch_add(1, Ordering::Relaxed);
                    while inside.load(Ordering::Relaxed) < 4 {
                        thread::yield_now();
                    }
                    resource.release();
                });
            });
        }
        resource.await_waiters((4, 1));
        resource.release();
        writer.join().expect("no panic");
        nt!(KeLeaveCriticalRegion());
    });
    resource.delete();
}

#[test]
fn conversion_lets_those_in_who_wait_to_share_and_keeps_the_count() {
    let resource = Resource::new();
    thread::scope(|scope| {
        nt!(KeEnterCriticalRegion());
        resource.exclusive(TRUE);
        resource.exclusive(TRUE);
        let reader = scope.spawn(|| {
            protected(|| {
                resource.shared(TRUE);
                resource.release();
            });
        });
        resource.await_waiters((1, 0));
        nt!(ExConvertExclusiveToSharedLite(resource.get()));
        assert_eq!(resource.mine(), (FALSE, 2));
        reader.join().expect("no panic");
        resource.release();
        assert_eq!(
            elsewhere(|| resource.exclusive(FALSE)),
            FALSE,
            "one acquisition is left"
        );
        resource.release();
        nt!(KeLeaveCriticalRegion());
    });
    resource.delete();
}

#[test]
fn many_readers_and_writers() {
    let (resource, value) = (Resource::new(), Object::new((0_u64, 0_u64)));
    let readers = AtomicI32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    nt!(ExEnterCriticalRegionAndAcquireResourceExclusive(
                        resource.get()
                    ));
                    assert_eq!(readers.load(Ordering::Relaxed), 0);
                    let (first, _) = value.read();
                    value.write((first + 1, 0));
                    value.write((first + 1, first + 1));
                    nt!(ExReleaseResourceAndLeaveCriticalRegion(resource.get()));
                }
            });
        }
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..500 {
                    nt!(ExEnterCriticalRegionAndAcquireResourceShared(
                        resource.get()
                    ));
                    readers.fetch_add(1, Ordering::Relaxed);
                    let (first, second) = value.read();
                    assert_eq!(first, second);
                    readers.fetch_sub(1, Ordering::Relaxed);
                    nt!(ExReleaseResourceAndLeaveCriticalRegion(resource.get()));
                }
            });
        }
    });
    assert_eq!(value.read(), (2000, 2000));
    assert_eq!(
        (resource.waiters(), resource.0.read().ActiveCount),
        ((0, 0), 0)
    );
    resource.delete();
}

#[test]
fn an_owner_pointer_takes_it_over() {
    let resource = Resource::new();
    let pointer = resource.get() as u64 | 3;
    protected(|| {
        resource.exclusive(TRUE);
        let owner = resource.get().cast::<u8>().wrapping_add(3).cast();
        nt!(ExSetResourceOwnerPointer(resource.get(), owner));
        assert_eq!(resource.mine(), (FALSE, 0));
    });
    elsewhere(|| {
        assert_eq!(resource.exclusive(FALSE), FALSE);
        nt!(ExReleaseResourceForThreadLite(resource.get(), pointer));
        assert_eq!(resource.exclusive(FALSE), TRUE);
        resource.release();
    });
    resource.delete();
}

#[test]
fn the_thread_that_gives_it_away_may_be_the_owner_pointer() {
    /// `FLAG_OWNER_POINTER_IS_THREAD`.
    const IS_THREAD: ULONG = 1;
    let resource = Resource::new();
    let thread = nt!(KeGetCurrentThread());
    let owner = thread as u64 | 3;
    let share_and_give = || {
        resource.shared(TRUE);
        nt!(ExSetResourceOwnerPointerEx(
            resource.get(),
            thread.wrapping_byte_add(3).cast(),
            IS_THREAD
        ));
        assert_eq!(resource.mine(), (FALSE, 0));
    };
    protected(|| (0..2).for_each(|_| share_and_give()));
    elsewhere(|| {
        for _ in 0..2 {
            assert_eq!(resource.exclusive(FALSE), FALSE, "it is shared still");
            nt!(ExReleaseResourceForThreadLite(resource.get(), owner));
        }
        assert_eq!(resource.exclusive(FALSE), TRUE);
        resource.release();
    });
    resource.delete();
}

#[test]
fn the_structure_lies_as_on_windows() {
    let resource = Resource::new();
    protected(|| {
        resource.exclusive(TRUE);
        let seen = resource.0.read();
        assert_eq!(
            seen.OwnerEntry.OwnerThread,
            nt!(KeGetCurrentThread()) as u64
        );
        assert_eq!(seen.OwnerEntry.OwnerCount >> 3, 1);
        assert_eq!((seen.ActiveCount, seen.ActiveEntries), (1, 1));
        assert_eq!(seen.Flag & ResourceOwnedExclusive, ResourceOwnedExclusive);
        resource.release();
        let seen = resource.0.read();
        assert_eq!(
            (seen.ActiveCount, seen.Flag & ResourceOwnedExclusive),
            (0, 0)
        );
        assert_eq!(seen.OwnerEntry.OwnerThread, 0);
    });
    let all = nthost::ex::resource::resources();
    assert!(all.iter().any(|info| info.address == resource.get() as u64));
    resource.delete();
    let all = nthost::ex::resource::resources();
    assert!(all.iter().all(|info| info.address != resource.get() as u64));
}

#[test]
fn many_owners_fill_the_owner_table() {
    let resource = Resource::new();
    let (inside, leave) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                protected(|| {
                    resource.shared(TRUE);
                    resource.shared(TRUE);
                    inside.fetch_add(1, Ordering::Relaxed);
                    while leave.load(Ordering::Relaxed) == 0 {
                        thread::yield_now();
                    }
                    assert_eq!(resource.mine(), (FALSE, 2));
                    resource.release();
                    resource.release();
                });
            });
        }
        while inside.load(Ordering::Relaxed) < 20 {
            thread::yield_now();
        }
        assert_eq!(resource.0.read().ActiveEntries, 20);
        assert!(!resource.0.read().OwnerTable.is_null());
        leave.store(1, Ordering::Relaxed);
    });
    assert_eq!(resource.0.read().ActiveEntries, 0);
    let table = resource.0.read().OwnerTable;
    assert_eq!(
        nt!(ExReinitializeResourceLite(resource.get())),
        STATUS_SUCCESS
    );
    let seen = resource.0.read();
    assert_eq!((seen.OwnerTable, seen.ContentionCount), (table, 0));
    resource.delete();
}

#[test]
fn releasing_is_allowed_at_dispatch_level() {
    let resource = Resource::new();
    protected(|| {
        resource.exclusive(TRUE);
        let old = raise(DISPATCH);
        resource.release();
        lower(old);
    });
    resource.delete();
}

#[test]
fn a_system_thread_needs_no_critical_region() {
    let resource = Resource::new();
    on_system_thread(|| {
        assert_eq!(resource.exclusive(TRUE), TRUE);
        resource.release();
    });
    resource.delete();
}

#[test]
fn apc_level_needs_no_critical_region() {
    let resource = Resource::new();
    let old = raise(APC);
    assert_eq!(resource.exclusive(TRUE), TRUE);
    resource.release();
    lower(old);
    resource.delete();
}

#[test]
fn trying_for_exclusive_access_never_waits() {
    let resource = Resource::new();
    let attempt = || nt!(ExTryToAcquireResourceExclusiveLite(resource.get()));
    protected(|| {
        assert_eq!((attempt(), attempt()), (TRUE, TRUE), "recursively");
        assert_eq!(elsewhere(attempt), FALSE);
        resource.release();
        resource.release();
        resource.shared(TRUE);
        assert_eq!(attempt(), FALSE, "one who shares it must release it first");
        resource.release();
    });
    resource.delete();
}

#[test]
fn entering_a_critical_region_with_it_turns_normal_apcs_off() {
    let resource = Resource::new();
    let seen = || {
        let apcs_off = (nt!(KeAreApcsDisabled()), nt!(KeAreAllApcsDisabled()));
        (apcs_off, irql(), resource.mine())
    };
    let leave = || nt!(ExReleaseResourceAndLeaveCriticalRegion(resource.get()));
    nt!(ExEnterCriticalRegionAndAcquireResourceExclusive(
        resource.get()
    ));
    assert_eq!(seen(), ((TRUE, FALSE), PASSIVE, (TRUE, 1)));
    leave();
    assert_eq!(seen(), ((FALSE, FALSE), PASSIVE, (FALSE, 0)));
    nt!(ExEnterCriticalRegionAndAcquireResourceShared(
        resource.get()
    ));
    assert_eq!(seen(), ((TRUE, FALSE), PASSIVE, (FALSE, 1)));
    leave();
    assert_eq!(seen(), ((FALSE, FALSE), PASSIVE, (FALSE, 0)));
    resource.delete();
}

#[test]
fn a_polite_one_enters_a_critical_region_and_goes_behind_one_who_waits() {
    let resource = Resource::new();
    let enter = || {
        nt!(ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(
            resource.get()
        ));
        assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
        assert_eq!(resource.mine(), (FALSE, 1));
    };
    let leave = || {
        nt!(ExReleaseResourceAndLeaveCriticalRegion(resource.get()));
        assert_eq!(nt!(KeAreApcsDisabled()), FALSE);
    };
    let order = Mutex::new(Vec::new());
    enter();
    thread::scope(|scope| {
        scope.spawn(|| {
            protected(|| {
                resource.exclusive(TRUE);
                order.lock().expect("no panic").push("exclusive");
                resource.release();
            });
        });
        resource.await_waiters((0, 1));
        scope.spawn(|| {
            enter();
            order.lock().expect("no panic").push("shared");
            leave();
        });
        resource.await_waiters((1, 1));
        leave();
    });
    let order = order.into_inner().expect("no panic");
    assert_eq!(order, ["exclusive", "shared"]);
    resource.delete();
}

#[test]
fn without_boosts_it_is_the_same_resource() {
    let resource = Resource::new();
    nt!(ExDisableResourceBoostLite(resource.get()));
    protected(|| {
        assert_eq!(resource.exclusive(FALSE), TRUE);
        resource.release();
    });
    resource.delete();
}

#[test]
fn one_that_was_not_deleted_is_on_the_list_of_what_is_left() {
    let resource = Resource::new();
    let is_left = || {
        let leaks = nthost::Kernel::get().leaks().entries;
        let address = resource.get() as u64;
        leaks
            .iter()
            .any(|leak| leak.kind == nthost::LeakKind::Resource && leak.address == address)
    };
    assert!(is_left());
    resource.delete();
    assert!(!is_left());
}
