//! What `lockdep` reports and what it does not, on nthost. No test here deadlocks: that is the point.
#![cfg(feature = "lockdep")]

mod lockdep_support;

use std::thread;

use lockdep_support::{cycle_of, names, problems_of};
use wdk_sync::{
    Irql, Passive,
    lockdep::{self, Acquired, How, Map, Problem},
    testing::at_passive_level,
};

#[track_caller]
fn take(lock: &Map) -> Acquired<'_> {
    lock.acquiring(How::Exclusive).acquired()
}

/// Holds `outer` while it takes `inner`.
#[track_caller]
fn nest(outer: &Map, inner: &Map) {
    let _outer = outer.acquiring(How::Exclusive).acquired();
    let _inner = inner.acquiring(How::Exclusive).acquired();
}

#[test]
fn two_locks_in_both_orders_are_a_cycle_without_a_deadlock() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("both-a"), Map::new("both-b"));
        nest(&a, &b);
        assert!(problems_of("both-").is_empty());
        let line = line!() + 1;
        nest(&b, &a);

        let report = cycle_of("both-").expect("a cycle");
        assert_eq!(names(report), ["both-b < both-a", "both-a < both-b"]);
        assert_eq!(report.missing_links(), 0);
        let asked = report.link();
        assert_eq!(
            (asked.asked_site().file(), asked.asked_site().line()),
            (file!(), line)
        );
        let text = report.to_string();
        for word in [
            "possible deadlock",
            "lock `both-a`",
            "lock `both-b`",
            "IRQL 0",
            file!(),
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }

        nest(&a, &b);
        nest(&b, &a);
        assert_eq!(problems_of("both-").len(), 1, "once");
    });
}

#[test]
fn the_two_orders_may_be_those_of_two_threads_at_different_times() {
    let (a, b) = (Map::new("times-a"), Map::new("times-b"));
    at_passive_level(|_irql| nest(&a, &b));
    at_passive_level(|_irql| nest(&b, &a));
    assert_eq!(problems_of("times-"), [Problem::Cycle]);
}

#[test]
fn one_order_is_no_report_however_many_threads_keep_it() {
    let (a, b, c) = (Map::new("same-a"), Map::new("same-b"), Map::new("same-c"));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    nest(&a, &b);
                    nest(&b, &c);
                    nest(&a, &c);
                }
            });
        }
    });
    assert!(problems_of("same-").is_empty());
}

#[test]
fn a_cycle_of_many_is_reported_whole() {
    at_passive_level(|_irql| {
        let locks = [
            Map::new("ring-0"),
            Map::new("ring-1"),
            Map::new("ring-2"),
            Map::new("ring-3"),
            Map::new("ring-4"),
            Map::new("ring-5"),
            Map::new("ring-6"),
        ];
        for (outer, inner) in locks.iter().zip(locks.iter().skip(1)) {
            nest(outer, inner);
        }
        assert!(problems_of("ring-").is_empty());
        nest(&locks[6], &locks[0]);
        let report = cycle_of("ring-").expect("a cycle");
        assert_eq!(report.chain().count(), 7);
        assert_eq!(
            names(report),
            [
                "ring-6 < ring-0",
                "ring-0 < ring-1",
                "ring-1 < ring-2",
                "ring-2 < ring-3",
                "ring-3 < ring-4",
                "ring-4 < ring-5",
                "ring-5 < ring-6"
            ]
        );
    });
}

#[test]
fn the_shortest_cycle_is_the_one_that_is_reported() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("short-a"), Map::new("short-b"));
        let (c, d) = (Map::new("short-c"), Map::new("short-d"));
        nest(&a, &b);
        nest(&b, &c);
        nest(&c, &d);
        nest(&a, &d);
        nest(&d, &a);
        let report = cycle_of("short-").expect("a cycle");
        assert_eq!(names(report), ["short-d < short-a", "short-a < short-d"]);
    });
}

#[test]
fn what_is_held_is_known_when_it_is_released_in_another_order() {
    at_passive_level(|_irql| {
        let (a, b, c) = (
            Map::new("order-a"),
            Map::new("order-b"),
            Map::new("order-c"),
        );
        let held_a = take(&a);
        let held_b = b.acquiring(How::TryExclusive).acquired();
        drop(held_a);
        let held_c = take(&c);
        drop(held_b);
        drop(held_c);
        nest(&c, &a);
        assert!(problems_of("order-").is_empty(), "a was released before c");
        nest(&c, &b);
        assert_eq!(problems_of("order-"), [Problem::Cycle]);
    });
}

#[test]
fn a_try_is_under_nothing_and_what_is_under_it_counts() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("try-a"), Map::new("try-b"));
        nest(&a, &b);
        {
            let _b = take(&b);
            let _a = a.acquiring(How::TryExclusive).acquired();
        }
        assert!(problems_of("try-").is_empty(), "a try does not wait");
        let c = Map::new("try-c");
        {
            let _a = a.acquiring(How::TryExclusive).acquired();
            let _c = take(&c);
        }
        nest(&c, &a);
        assert_eq!(problems_of("try-"), [Problem::Cycle]);
    });
}

#[test]
fn a_lock_that_was_not_acquired_has_nothing_under_it() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("failed-a"), Map::new("failed-b"));
        drop(a.acquiring(How::Exclusive));
        nest(&b, &a);
        let asked = a.acquiring(How::TryExclusive);
        let _b = take(&b);
        drop(asked);
        assert!(problems_of("failed-").is_empty());
    });
}

#[test]
fn readers_that_queue_behind_writers_can_keep_each_other_waiting() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("fair-a"), Map::new("fair-b"));
        for (outer, inner) in [(&a, &b), (&b, &a)] {
            let _outer = outer.acquiring(How::Shared).acquired();
            let _inner = inner.acquiring(How::Shared).acquired();
        }
        assert_eq!(problems_of("fair-"), [Problem::Cycle]);
    });
}

#[test]
fn readers_that_go_ahead_of_writers_do_not() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("ahead-a"), Map::new("ahead-b"));
        for (outer, inner) in [(&a, &b), (&b, &a)] {
            let _outer = outer.acquiring(How::SharedAhead).acquired();
            let _inner = inner.acquiring(How::SharedAhead).acquired();
        }
        assert!(problems_of("ahead-").is_empty());

        // One exclusive holder is enough, if somebody waits for it, and holds what it asks for.
        let _b = b.acquiring(How::Exclusive).acquired();
        let _a = a.acquiring(How::Exclusive).acquired();
        assert_eq!(problems_of("ahead-"), [Problem::Cycle]);
    });
}

#[test]
fn access_that_became_shared_is_shared() {
    at_passive_level(|_irql| {
        let (a, b) = (Map::new("down-a"), Map::new("down-b"));
        for (outer, inner) in [(&a, &b), (&b, &a)] {
            let mut outer = outer.acquiring(How::Exclusive).acquired();
            outer.converted(How::SharedAhead);
            let _inner = inner.acquiring(How::SharedAhead).acquired();
        }
        assert!(problems_of("down-").is_empty());
    });
}

#[test]
fn a_lock_that_its_holder_waits_for() {
    at_passive_level(|_irql| {
        let lock = Map::new("twice");
        let _held = take(&lock);
        drop(lock.acquiring(How::TryExclusive));
        assert!(problems_of("twice").is_empty(), "a try is answered");
        drop(lock.acquiring(How::Exclusive));
        assert_eq!(problems_of("twice"), [Problem::SameLock]);
    });
}

const fn account() -> Map {
    Map::new("account")
}

const fn ordered() -> Map {
    Map::new("ordered")
}

#[test]
fn two_locks_of_a_class_need_an_order() {
    at_passive_level(|_irql| {
        let (a, b) = (account(), account());
        nest(&a, &b);
        assert_eq!(problems_of("account"), [Problem::SameClass]);

        let (a, b) = (ordered(), ordered());
        for _ in 0..2 {
            let _a = take(&a);
            let _b = lockdep::nested(1, || take(&b));
        }
        assert!(problems_of("ordered").is_empty(), "it was given");
        let nests: Vec<u8> = lockdep::classes()
            .filter(|class| class.name() == "ordered")
            .map(lockdep::LockClass::nest)
            .collect();
        assert_eq!(nests, [0, 1]);
    });
}

#[test]
fn a_thread_that_ends_with_a_lock_is_told_of_and_its_lock_is_forgotten() {
    let (kept, other) = (Map::new("kept-at-end"), Map::new("after-the-end"));
    at_passive_level(|_irql| {
        std::mem::forget(take(&kept));
        lockdep::thread_ends();
        let told = |it: &&lockdep::Report| it.to_string().contains("lock `kept-at-end` of");
        assert!(lockdep::reports().any(|it| told(&it)));
        let _other = take(&other);
        assert!(lockdep::edges().all(|edge| edge.asked().unwrap().name() != "after-the-end"));
    });
    assert_eq!(problems_of("kept-at-end"), [Problem::HeldAtEnd]);
}

#[test]
fn a_system_thread_looks_when_it_ends() {
    use wdk_sync::Thread;

    static KEPT: Map = Map::new("kept-by-system-thread");
    at_passive_level(|irql| {
        let thread = Thread::spawn(irql, |_irql| std::mem::forget(take(&KEPT))).unwrap();
        thread.join(irql);
    });
    assert_eq!(problems_of("kept-by"), [Problem::HeldAtEnd]);
}

#[test]
fn a_dpc_holds_apart_from_the_thread_that_it_interrupts() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use wdk_sync::{Dpc, NonPaged, yield_now};

    static THREADS: Map = Map::new("dpc-threads");
    static DPCS: Map = Map::new("dpc-dpcs");
    static DONE: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let dpc = NonPaged::pin_init(Dpc::new(|_dpc, _irql| {
            drop(take(&DPCS));
            DONE.store(true, Ordering::SeqCst);
        }))
        .unwrap();
        let held = take(&THREADS);
        dpc.queue();
        while !DONE.load(Ordering::SeqCst) {
            yield_now(irql);
        }
        drop(held);
        Dpc::run_down(dpc, irql);
        let under = |edge: &lockdep::Link| edge.asked().unwrap().name() == "dpc-dpcs";
        assert!(!lockdep::edges().any(under), "nothing was held by the DPC");
        assert!(problems_of("dpc-").is_empty());
    });
}

#[test]
fn a_lock_of_dpcs_is_not_held_below_dispatch_level() {
    use wdk_sync::{Dpc, NonPaged};

    static RAISED: Map = Map::new("level-raised");
    static LOW: Map = Map::new("level-low");
    fn in_thread(irql: &mut Irql<'_, Passive>) {
        irql.at_dispatch_level(|_irql| drop(take(&RAISED)));
        drop(take(&LOW));
    }
    at_passive_level(|irql| {
        in_thread(irql);
        let dpc = NonPaged::pin_init(Dpc::new(|_dpc, _irql| {
            drop(take(&RAISED));
            drop(take(&LOW));
        }))
        .unwrap();
        dpc.queue();
        Dpc::run_down(dpc, irql);
        assert_eq!(problems_of("level-low"), [Problem::DpcAndThread]);
        assert!(problems_of("level-raised").is_empty());
    });
}

#[test]
fn nothing_was_lost() {
    assert!(
        lockdep::statistics().is_complete(),
        "{:?}",
        lockdep::statistics()
    );
}
