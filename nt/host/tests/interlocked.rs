//! `ExInterlockedXxxList`: what the functions return, and the lock that is theirs alone.
#![cfg(not(windows))]

mod support;

use core::ptr;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

#[test]
fn each_function_returns_the_neighbour_that_was_there() {
    let (head, lock) = (
        Object::<LIST_ENTRY>::default(),
        Object::<KSPIN_LOCK>::default(),
    );
    let entries: [Object<LIST_ENTRY>; 3] = Default::default();
    let [a, b, c] = entries.each_ref().map(Object::get);
    let (head, lock) = (head.get(), lock.get());
    let empty = LIST_ENTRY {
        Flink: head,
        Blink: head,
    };
    // SAFETY: The head is memory of this test.
    unsafe { head.write(empty) };
    let returned = [
        nt!(ExInterlockedRemoveHeadList(head, lock)),
        nt!(ExInterlockedInsertTailList(head, b, lock)),
        nt!(ExInterlockedInsertTailList(head, c, lock)),
        nt!(ExInterlockedInsertHeadList(head, a, lock)),
        nt!(ExInterlockedRemoveHeadList(head, lock)),
        nt!(ExInterlockedRemoveHeadList(head, lock)),
        nt!(ExInterlockedRemoveHeadList(head, lock)),
        nt!(ExInterlockedRemoveHeadList(head, lock)),
    ];
    let none = ptr::null_mut();
    assert_eq!(returned, [none, none, b, b, a, b, c, none]);
}

#[test]
fn a_lock_that_the_thread_holds_is_found() {
    let report = expect_bug_check(|| {
        let (head, lock) = (
            Object::<LIST_ENTRY>::default(),
            Object::<KSPIN_LOCK>::default(),
        );
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        nt!(ExInterlockedRemoveHeadList(head.get(), lock.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (0xC4, 0x1000));
}
