//! `lockdep` on the locks of the crate: each tells of itself, and a cycle may go over all of them.
//! The name of a class is the type of its data, so each test has types of its own.
#![cfg(feature = "lockdep")]

mod lockdep_support;

use std::pin::pin;

use lockdep_support::{cycle_of, names, problems_of};
use wdk_sync::{
    Dpc, FastMutex, GuardedMutex, Mutex, NonPaged, NonPagedArc, PushLock, QueueHandle,
    QueuedSpinLock, RecursiveMutex, Resource, RwSpinLock, SpinLock, Status, Thread, Timeout,
    lock_all,
    lockdep::{self, Kind, LockClass, Problem},
    testing::at_passive_level,
};

/// The name of a class begins with the path of its data's type.
fn path(test: &str) -> String {
    format!("lockdep_locks::{test}::")
}

#[test]
fn three_mutexes_of_three_kinds() -> Result<(), Status> {
    struct A;
    struct B;
    struct C;
    at_passive_level(|irql| {
        let a = NonPaged::pin_init(Mutex::new(A))?;
        let b = NonPaged::pin_init(FastMutex::new(B))?;
        let c = NonPaged::pin_init(PushLock::new(C))?;
        a.with(irql, |_, irql| drop(b.lock(irql))).unwrap();
        c.with_exclusive(irql, |_, irql| drop(a.lock(irql)));
        let prefix = path("three_mutexes_of_three_kinds");
        assert!(problems_of(&prefix).is_empty());
        // A push lock cannot be asked for at the APC_LEVEL of a fast mutex's holder by this thread
        // without one more raise; the order counts all the same.
        let mut b = b.lock(irql).unwrap();
        drop(c.shared(b.irql()));
        let report = cycle_of(&prefix).expect("a cycle");
        let chain = names(report).join(", ").replace(&prefix, "");
        assert_eq!(chain, "B < C, C < A, A < B");
        let text = report.to_string();
        for kind in ["KMUTEX", "FAST_MUTEX", "EX_PUSH_LOCK", "IRQL 1"] {
            assert!(text.contains(kind), "{kind}: {text}");
        }
        Ok(())
    })
}

#[test]
fn six_locks_from_passive_to_dispatch_level() -> Result<(), Status> {
    struct Table;
    struct Owner;
    struct Guarded;
    struct Spin;
    struct Queued;
    struct Readers;
    at_passive_level(|irql| {
        let table = NonPaged::pin_init(Resource::new(Table))?;
        let owner = NonPaged::pin_init(RecursiveMutex::new(Owner))?;
        let guarded = NonPaged::pin_init(GuardedMutex::new(irql, Guarded))?;
        let (spin, queued) = (SpinLock::new(Spin), QueuedSpinLock::new(Queued));
        let readers = RwSpinLock::new(Readers);

        let mut table = table.exclusive(irql).unwrap();
        let mut owner = owner.lock(table.irql()).unwrap();
        let mut guarded = guarded.lock(owner.irql()).unwrap();
        let mut held = spin.lock(guarded.irql());
        let handle = pin!(QueueHandle::new());
        let mut queued_held = queued.lock_at_dpc_level(held.irql(), handle);
        let mut shared = readers.shared(queued_held.irql());
        assert!(spin.try_lock_at_dpc_level(shared.irql()).is_none());
        drop(shared);
        drop(queued_held);
        drop(held);
        let prefix = path("six_locks_from_passive_to_dispatch_level");
        assert!(problems_of(&prefix).is_empty(), "a try is no order");

        let mut exclusive = readers.exclusive(guarded.irql());
        drop(spin.lock_at_dpc_level(exclusive.irql()));
        let report = cycle_of(&prefix).expect("a cycle");
        let chain = names(report).join(", ").replace(&prefix, "");
        assert_eq!(chain, "Readers < Spin, Spin < Readers", "the shortest");
        let kinds: Vec<Kind> = lockdep::classes()
            .filter(|class| class.name().starts_with(&prefix))
            .map(LockClass::kind)
            .collect();
        let expected = [
            Kind::Resource,
            Kind::RecursiveMutex,
            Kind::GuardedMutex,
            Kind::SpinLock,
            Kind::QueuedSpinLock,
            Kind::RwSpinLock,
        ];
        assert_eq!(kinds, expected);
        Ok(())
    })
}

#[test]
fn five_locks_in_a_ring() -> Result<(), Status> {
    struct A;
    struct B;
    struct C;
    struct D;
    struct E;
    at_passive_level(|irql| {
        let first = NonPaged::pin_init(Resource::new(A))?;
        let second = NonPaged::pin_init(Mutex::new(B))?;
        let third = NonPaged::pin_init(FastMutex::new(C))?;
        let fourth = NonPaged::pin_init(GuardedMutex::new(irql, D))?;
        let fifth = NonPaged::pin_init(PushLock::new(E))?;
        drop(second.lock(first.shared(irql).unwrap().irql()));
        drop(third.lock(second.lock(irql).unwrap().irql()));
        drop(fourth.lock(third.lock(irql).unwrap().irql()));
        drop(fifth.shared(fourth.lock(irql).unwrap().irql()));
        drop(first.exclusive(fifth.exclusive(irql).irql()));
        let prefix = path("five_locks_in_a_ring");
        let report = cycle_of(&prefix).expect("a cycle");
        let chain = names(report).join(", ").replace(&prefix, "");
        assert_eq!(chain, "E < A, A < B, B < C, C < D, D < E");
        Ok(())
    })
}

#[test]
fn owners_that_come_in_again_are_no_deadlock() -> Result<(), Status> {
    struct Again;
    struct Under;
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(RecursiveMutex::new(Again))?;
        let resource = NonPaged::pin_init(Resource::new(Again))?;
        let refused = NonPaged::pin_init(Mutex::new(Again))?;
        let under = NonPaged::pin_init(Mutex::new(Under))?;

        let mut first = mutex.lock(irql).unwrap();
        let mut between = under.lock(first.irql()).unwrap();
        drop(mutex.lock(between.irql()));
        drop(between);
        drop(first);

        let mut first = resource.shared(irql).unwrap();
        let mut between = under.lock(first.irql()).unwrap();
        drop(resource.shared(between.irql()));
        assert!(resource.exclusive(between.irql()).is_err());
        drop(between);
        drop(first);

        let mut first = refused.lock(irql).unwrap();
        assert!(refused.lock(first.irql()).is_err());
        assert!(problems_of(&path("owners_that_come_in_again_are_no_deadlock")).is_empty());
        Ok(())
    })
}

#[test]
fn several_at_once_are_in_no_order() -> Result<(), Status> {
    struct Account;
    at_passive_level(|irql| {
        let a = NonPaged::pin_init(Mutex::new(Account))?;
        let b = NonPaged::pin_init(Mutex::new(Account))?;
        drop(lock_all(irql, [&*a, &*b], [], Timeout::Never));
        drop(lock_all(irql, [&*b, &*a], [], Timeout::Never));
        assert!(problems_of(&path("several_at_once_are_in_no_order")).is_empty());
        Ok(())
    })
}

#[test]
fn access_that_is_handed_over_is_held_by_nobody() -> Result<(), Status> {
    struct Handed;
    struct Next;
    at_passive_level(|irql| {
        let resource = NonPagedArc::pin_init(Resource::new(Handed))?;
        let next = NonPaged::pin_init(Mutex::new(Next))?;
        let access = Resource::exclusive_handed_over_by_arc(resource.clone(), irql).unwrap();
        drop(next.lock(irql));
        let thread = Thread::spawn(irql, move |_irql| drop(access))?;
        thread.join(irql);
        drop(resource.shared(next.lock(irql).unwrap().irql()));
        assert!(problems_of(&path("access_that_is_handed_over_is_held_by_nobody")).is_empty());
        Ok(())
    })
}

#[test]
fn a_mutex_that_dpcs_and_threads_take() -> Result<(), Status> {
    struct Everywhere;
    at_passive_level(|irql| {
        let mutex = NonPagedArc::pin_init(Mutex::new(Everywhere))?;
        drop(mutex.lock(irql));
        let theirs = mutex.clone();
        let dpc = NonPaged::pin_init(Dpc::new(move |_dpc, irql| {
            // Allowed at DISPATCH_LEVEL, and in the name of whatever thread was interrupted.
            drop(theirs.try_lock(irql));
        }))?;
        dpc.queue();
        Dpc::run_down(dpc, irql);
        let prefix = path("a_mutex_that_dpcs_and_threads_take");
        assert_eq!(problems_of(&prefix), [Problem::DpcAndThread]);
        Ok(())
    })
}
