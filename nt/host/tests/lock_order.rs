//! Orders of locks that contradict each other, of which nothing came yet.
#![cfg(not(windows))]

mod support;

use nthost::{
    bugcheck::BugCheckReport,
    ntddk::{_WAIT_TYPE::WaitAll, *},
    testing::expect_bug_check,
};
use support::*;

/// A block of nonpaged pool with room for any lock.
struct Block(PVOID);

impl Block {
    fn new() -> Self {
        let tag = u32::from_le_bytes(*b"lock");
        Self(nt!(ExAllocatePool2(POOL_FLAG_NON_PAGED, 0x80, tag)))
    }

    const fn at<T>(&self) -> *mut T {
        self.0.cast()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        nt!(ExFreePool(self.0));
    }
}

/// A lock that can be acquired and released.
trait Lock {
    fn acquire(&self);
    fn release(&self);
}

/// Acquires one inside of the other.
fn nest(outer: &dyn Lock, inner: &dyn Lock) {
    outer.acquire();
    inner.acquire();
    inner.release();
    outer.release();
}

struct Spin(Block);

impl Spin {
    fn new() -> Self {
        Self(Block::new())
    }
}

impl Lock for Spin {
    fn acquire(&self) {
        raise(DISPATCH);
        nt!(KeAcquireSpinLockAtDpcLevel(self.0.at()));
    }

    fn release(&self) {
        nt!(KeReleaseSpinLockFromDpcLevel(self.0.at()));
    }
}

struct Mutex(Object<KMUTEX>);

impl Mutex {
    fn new() -> Self {
        let mutex = Object::default();
        nt!(KeInitializeMutex(mutex.get(), 0));
        Self(mutex)
    }
}

impl Lock for Mutex {
    fn acquire(&self) {
        assert_eq!(wait(self.0.object(), None), STATUS_SUCCESS);
    }

    fn release(&self) {
        nt!(KeReleaseMutex(self.0.get(), FALSE));
    }
}

struct Fast(Block);

impl Fast {
    fn new() -> Self {
        let block = Block::new();
        nt!(KeInitializeGuardedMutex(block.at()));
        Self(block)
    }
}

impl Lock for Fast {
    fn acquire(&self) {
        nt!(KeEnterCriticalRegion());
        nt!(ExAcquireFastMutexUnsafe(self.0.at()));
    }

    fn release(&self) {
        nt!(ExReleaseFastMutexUnsafe(self.0.at()));
        nt!(KeLeaveCriticalRegion());
    }
}

/// An ERESOURCE, acquired exclusively or to share it.
struct Resource(Object<ERESOURCE>, bool);

impl Resource {
    fn new(exclusive: bool) -> Self {
        let resource = Object::default();
        nt!(ExInitializeResourceLite(resource.get()));
        Self(resource, exclusive)
    }
}

impl Lock for Resource {
    fn acquire(&self) {
        nt!(KeEnterCriticalRegion());
        if self.1 {
            nt!(ExAcquireResourceExclusiveLite(self.0.get(), TRUE));
        } else {
            nt!(ExAcquireResourceSharedLite(self.0.get(), TRUE));
        }
    }

    fn release(&self) {
        nt!(ExReleaseResourceLite(self.0.get()));
        nt!(KeLeaveCriticalRegion());
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        nt!(ExDeleteResourceLite(self.0.get()));
    }
}

struct Push(Block);

impl Push {
    fn new() -> Self {
        Self(Block::new())
    }
}

impl Lock for Push {
    fn acquire(&self) {
        nt!(KeEnterCriticalRegion());
        nt!(ExAcquirePushLockExclusiveEx(self.0.at(), 0));
    }

    fn release(&self) {
        nt!(ExReleasePushLockExclusiveEx(self.0.at(), 0));
        nt!(KeLeaveCriticalRegion());
    }
}

fn assert_order(report: &BugCheckReport, locks: usize, nouns: &[&str]) {
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
    assert_eq!(report.rule.matches(" before the ").count(), locks);
    for noun in nouns {
        assert!(report.rule.contains(noun), "{noun}: {}", report.rule);
    }
    let last = format!("before the {} at 0x{:X}", nouns[0], report.parameters[1]);
    assert!(report.rule.contains(&last), "{}", report.rule);
}

#[test]
fn two_spin_locks_on_one_thread() {
    let report = expect_bug_check(|| {
        let (a, b) = (Spin::new(), Spin::new());
        nest(&a, &b);
        nest(&b, &a);
    });
    assert_order(&report, 2, &["spin lock"]);
    assert_eq!(report.function, "KeAcquireSpinLockAtDpcLevel");
    let mut held = report.thread.holds.iter();
    assert!(held.any(|lock| lock.address == report.parameters[1]));
}

#[test]
fn three_mutexes_on_three_threads() {
    let report = expect_bug_check(|| {
        let (a, b, c) = (Mutex::new(), Mutex::new(), Mutex::new());
        on_system_thread(|| nest(&a, &b));
        on_system_thread(|| nest(&b, &c));
        on_system_thread(|| nest(&c, &a));
    });
    assert_order(&report, 3, &["mutex"]);
}

#[test]
fn locks_of_every_kind() {
    let report = expect_bug_check(|| {
        let (mutex, fast, push) = (Mutex::new(), Fast::new(), Push::new());
        let resource = Resource::new(true);
        nest(&mutex, &resource);
        nest(&resource, &fast);
        nest(&fast, &push);
        nest(&push, &mutex);
    });
    assert_order(
        &report,
        4,
        &["mutex", "ERESOURCE", "fast mutex", "push lock"],
    );
}

#[test]
fn a_lock_comes_after_all_that_are_held_not_after_the_last_alone() {
    let report = expect_bug_check(|| {
        let (a, b, c) = (Mutex::new(), Mutex::new(), Mutex::new());
        wait_for(&[a.0.object(), b.0.object()], WaitAll, None);
        c.acquire();
        for lock in [&c, &b, &a] {
            lock.release();
        }
        nest(&c, &a);
    });
    assert_order(&report, 2, &["mutex"]);
}

#[test]
fn mutexes_that_are_waited_for_together_have_no_order() {
    let (a, b) = (Mutex::new(), Mutex::new());
    for pair in [[&a, &b], [&b, &a]] {
        wait_for(&[pair[0].0.object(), pair[1].0.object()], WaitAll, None);
        a.release();
        b.release();
    }
}

#[test]
fn a_try_and_a_wait_with_a_time_out_have_no_order() {
    let (a, b) = (Mutex::new(), Mutex::new());
    nest(&a, &b);
    b.acquire();
    assert_eq!(wait(a.0.object(), Some(0)), STATUS_SUCCESS);
    a.release();
    assert_eq!(wait(a.0.object(), Some(MS)), STATUS_SUCCESS);
    a.release();
    b.release();
}

#[test]
fn sharing_in_any_order_cannot_deadlock_until_somebody_wants_one_alone() {
    let (a, b) = (Resource::new(false), Resource::new(false));
    nest(&a, &b);
    nest(&b, &a);
    let report = expect_bug_check(|| {
        let (mut a, mut b) = (Resource::new(false), Resource::new(false));
        nest(&a, &b);
        nest(&b, &a);
        let outer = Mutex::new();
        (a.1, b.1) = (true, true);
        nest(&outer, &a);
        nest(&outer, &b);
    });
    assert_order(&report, 2, &["ERESOURCE"]);
}

#[test]
fn to_acquire_what_one_has_is_no_order() {
    let (a, b) = (Mutex::new(), Mutex::new());
    a.acquire();
    nest(&b, &a);
    nest(&a, &b);
    a.release();
    nest(&a, &b);
}

#[test]
fn a_lock_that_is_freed_or_initialised_again_is_another_one() {
    let (a, b) = (Mutex::new(), Mutex::new());
    nest(&a, &b);
    nt!(KeInitializeMutex(a.0.get(), 0));
    nest(&b, &a);

    let outer = Fast::new();
    let address = {
        let inner = Fast::new();
        nest(&outer, &inner);
        inner.0.0
    };
    for _ in 0..64 {
        // The same address, sooner or later.
        let inner = Fast::new();
        nest(&inner, &outer);
        if inner.0.0 == address {
            break;
        }
    }
}
