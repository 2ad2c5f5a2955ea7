//! What a bug check does to the threads that are in the kernel.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nthost::{bugcheck, ntddk::*, testing::expect_bug_check, with_recovery};
use support::*;

#[test]
fn a_panic_in_rust_code_says_where_it_was() {
    let report = expect_bug_check(|| {
        let file = "src/sample.rs";
        let code = u32::from_be_bytes(*b"RPNC");
        let name = file.as_ptr().expose_provenance() as u64;
        nt!(KeBugCheckEx(code, name, file.len() as u64, 12, 34));
    });
    assert_eq!(report.rule, "A panic in Rust code, at src/sample.rs:12:34.");
}

#[test]
fn every_thread_that_came_in_through_the_library_comes_back_with_the_same_report() {
    let report = expect_bug_check(|| {
        let (event, lock) = (Object::<KEVENT>::default(), Object::new(0));
        nt!(KeInitializeEvent(event.get(), 0, FALSE));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let come_back = [
                // One that sleeps, one that spins, one that calls in again and again.
                scope.spawn(|| {
                    with_recovery(|| assert_eq!(wait(event.object(), None), STATUS_SUCCESS))
                }),
                scope.spawn(|| {
                    with_recovery(|| {
                        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
                        sleep(20);
                        nt!(KeBugCheckEx(0x1234_5678, 1, 2, 3, 4));
                    })
                }),
                scope.spawn(|| {
                    sleep(5);
                    with_recovery(|| {
                        assert_eq!(nt!(KeAcquireSpinLockRaiseToDpc(lock.get())), PASSIVE);
                    })
                }),
                scope.spawn(|| {
                    with_recovery(|| {
                        while !done.load(Ordering::Relaxed) {
                            irql();
                        }
                    })
                }),
            ];
            for thread in come_back {
                let report = thread
                    .join()
                    .expect("no panic")
                    .expect_err("the kernel is dead");
                assert_eq!(report.code, 0x1234_5678);
            }
            done.store(true, Ordering::Relaxed);
            let report = with_recovery(|| ()).expect_err("the kernel stays dead");
            assert_eq!(bugcheck::report().as_deref(), Some(&*report));
        });
        // Report to the test: this call finds the kernel dead.
        irql();
    });
    assert_eq!(
        (report.code, report.parameters),
        (0x1234_5678, [1, 2, 3, 4])
    );
}

#[test]
fn the_first_bug_check_wins() {
    let report = expect_bug_check(|| {
        let first = AtomicBool::new(true);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let code = if first.swap(false, Ordering::Relaxed) {
                        1
                    } else {
                        sleep_then(2)
                    };
                    drop(with_recovery(|| nt!(KeBugCheck(code))));
                });
            }
        });
        irql();
    });
    assert_eq!(report.code, 1);
}

fn sleep_then(code: ULONG) -> ULONG {
    sleep(10);
    code
}

#[test]
fn a_panic_goes_through() {
    let result = std::panic::catch_unwind(|| with_recovery(|| panic!("as it should")));
    let message = result.expect_err("the panic goes on").downcast::<&str>();
    assert_eq!(message.ok().as_deref(), Some(&"as it should"));
    assert_eq!(with_recovery(irql).expect("the kernel lives"), PASSIVE);
}

#[test]
fn a_report_says_what_happened() {
    let report = expect_bug_check(|| {
        let lock = Object::new(0);
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
    });
    let text = report.to_string();
    for part in [
        "*** STOP: 0x000000C4 (0x1000, 0x",
        "DRIVER_VERIFIER_DETECTED_VIOLATION",
        "KeAcquireSpinLock: The thread holds the spin lock already",
        "about the lock 0x",
        "IRQL 2\n        holds the spin lock 0x",
        "look up: bug check 0xC4 (DRIVER_VERIFIER_DETECTED_VIOLATION), parameter 1 = 0x1000; KeAcquireSpinLock",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
