//! What `lock_stat` counts and measures, on nthost.
#![cfg(feature = "lock_stat")]

use core::time::Duration;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use wdk_sync::{
    Irql, Mutex, NonPaged, Passive, RecursiveMutex, Resource, RwSpinLock, SpinLock, Status,
    Timeout,
    lock_stat::{self, ClassStatistics},
    sleep, stall,
    testing::at_passive_level,
};

/// What is known of the locks around a `T`.
fn of<T>() -> ClassStatistics {
    let name = std::any::type_name::<T>();
    let mut classes = lock_stat::classes().filter(|it| it.class.name() == name);
    let found = classes.next().expect("it was asked for");
    assert!(classes.next().is_none(), "each test has types of its own");
    found
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(lock_stat::frequency()) / 1_000_000_000).unwrap()
}

#[test]
fn acquisitions_and_holds_are_counted_and_measured() {
    struct Counted;
    const HELD: Duration = Duration::from_micros(300);
    at_passive_level(|irql| {
        let lock = SpinLock::new(Counted);
        for _ in 0..9 {
            lock.with(irql, |_, _| ());
        }
        lock.with(irql, |_, _| stall(HELD));
    });
    let seen = of::<Counted>();
    assert_eq!(
        (seen.acquisitions, seen.contentions, seen.not_acquired),
        (10, 0, 0)
    );
    assert_eq!(
        (seen.wait.count, seen.wait.shortest, seen.wait.average()),
        (0, 0, 0)
    );
    assert_eq!(seen.hold.count, 10);
    assert!(seen.hold.longest >= ticks(HELD), "{seen:?}");
    assert!(seen.hold.total >= seen.hold.longest);
    assert!(seen.hold.shortest <= seen.hold.average() && seen.hold.average() <= seen.hold.longest);
}

/// Holds a lock, by what `hold` does, until somebody else, by what `ask` does, has either been through
/// with it or is kept waiting: which nobody can see from outside, so it is given a long time for it.
fn contend(
    hold: impl FnOnce(&mut Irql<'_, Passive>, &dyn Fn()) + Send,
    ask: impl FnOnce(&mut Irql<'_, Passive>) + Send,
) {
    let (is_held, asks, is_through) = (Signal::default(), Signal::default(), Signal::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            at_passive_level(|irql| {
                hold(irql, &|| {
                    is_held.set();
                    asks.wait(Duration::MAX);
                    is_through.wait(Duration::from_millis(300));
                });
            });
        });
        is_held.wait(Duration::MAX);
        at_passive_level(|irql| {
            asks.set();
            ask(irql);
        });
        is_through.set();
    });
}

/// One thread tells another, whatever the IRQL of either.
#[derive(Default)]
struct Signal(AtomicBool);

impl Signal {
    fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wait(&self, longest: Duration) {
        let start = Instant::now();
        while !self.0.load(Ordering::SeqCst) && start.elapsed() < longest {
            thread::yield_now();
        }
    }
}

#[test]
fn whoever_is_kept_waiting_is_contended() -> Result<(), Status> {
    struct Contended;
    let lock = NonPaged::pin_init(Mutex::new(Contended))?;
    contend(
        |irql, asked| lock.with(irql, |_, _| asked()).unwrap(),
        |irql| drop(lock.lock(irql)),
    );
    let seen = of::<Contended>();
    assert_eq!(
        (seen.acquisitions, seen.contentions, seen.not_acquired),
        (2, 1, 0)
    );
    assert_eq!(seen.wait.count, 1);
    assert!(
        seen.wait.longest > ticks(Duration::from_millis(1)),
        "{seen:?}"
    );
    assert!(
        seen.wait.longest < ticks(Duration::from_secs(20)),
        "{seen:?}"
    );
    Ok(())
}

#[test]
fn a_spin_lock_that_raises_is_no_exception() {
    struct Spun;
    let lock = SpinLock::new(Spun);
    contend(
        |irql, asked| lock.with(irql, |_, _| asked()),
        |irql| lock.with(irql, |_, _| ()),
    );
    let seen = of::<Spun>();
    assert_eq!((seen.acquisitions, seen.contentions), (2, 1));
}

#[test]
fn a_try_and_a_wait_that_come_to_nothing_are_no_acquisitions() -> Result<(), Status> {
    struct Refused;
    let lock = NonPaged::pin_init(Mutex::new(Refused))?;
    contend(
        |irql, asked| lock.with(irql, |_, _| asked()).unwrap(),
        |irql| {
            assert!(lock.try_lock(irql).is_none());
            let timeout = Timeout::After(Duration::from_millis(1));
            assert!(lock.wait(irql, timeout).acquired().is_none());
        },
    );
    let seen = of::<Refused>();
    assert_eq!(
        (seen.acquisitions, seen.contentions, seen.not_acquired),
        (1, 0, 2)
    );
    Ok(())
}

#[test]
fn readers_do_not_contend_with_readers() {
    struct Read;
    let lock = RwSpinLock::new(Read);
    contend(
        |irql, asked| lock.with_shared(irql, |_, _| asked()),
        |irql| lock.with_shared(irql, |_, _| ()),
    );
    assert_eq!(of::<Read>().contentions, 0);
    contend(
        |irql, asked| lock.with_shared(irql, |_, _| asked()),
        |irql| lock.with_exclusive(irql, |_, _| ()),
    );
    let seen = of::<Read>();
    assert_eq!((seen.acquisitions, seen.contentions), (4, 1));
}

#[test]
fn an_owner_does_not_contend_with_itself() -> Result<(), Status> {
    struct Owned;
    struct Converted;
    at_passive_level(|irql| {
        let lock = NonPaged::pin_init(RecursiveMutex::new(Owned))?;
        let mut outer = lock.lock(irql).unwrap();
        drop(lock.lock(outer.irql()));
        drop(outer);
        let seen = of::<Owned>();
        assert_eq!(
            (seen.acquisitions, seen.contentions, seen.hold.count),
            (2, 0, 2)
        );

        let resource = NonPaged::pin_init(Resource::new(Converted))?;
        let mut shared = resource.exclusive(irql).unwrap().downgrade();
        drop(resource.shared(shared.irql()));
        drop(shared);
        drop(resource.exclusive(irql));
        let seen = of::<Converted>();
        assert_eq!((seen.acquisitions, seen.contentions), (3, 0));
        Ok(())
    })
}

#[test]
fn nothing_is_lost_under_many_threads() {
    const THREADS: u64 = 16;
    const ROUNDS: u64 = 500;
    struct Shared(u64);
    let lock = SpinLock::new(Shared(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                at_passive_level(|irql| {
                    for _ in 0..ROUNDS {
                        lock.with(irql, |shared, _| shared.0 += 1);
                    }
                    sleep(irql, Duration::from_millis(1));
                });
            });
        }
    });
    let seen = of::<Shared>();
    assert_eq!(
        (seen.acquisitions, seen.hold.count),
        (THREADS * ROUNDS, THREADS * ROUNDS)
    );
    assert_eq!(seen.wait.count, seen.contentions);
    assert_eq!(lock.into_inner().0, THREADS * ROUNDS);
    assert_eq!(lock_stat::fill().lost, 0);
}
