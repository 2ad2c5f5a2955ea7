//! System threads: how they begin, how they end, and what must not be left behind.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

#[test]
fn a_system_thread_runs_at_passive_level_inside_of_a_critical_region() {
    let seen = Object::new((HIGH, FALSE, FALSE));
    on_system_thread(|| {
        seen.write((
            irql(),
            nt!(KeAreApcsDisabled()),
            nt!(KeAreAllApcsDisabled()),
        ));
    });
    assert_eq!(seen.read(), (PASSIVE, TRUE, FALSE));
}

#[test]
fn terminating_leaves_the_start_routine() {
    let steps = AtomicU32::new(0);
    on_system_thread(|| {
        steps.fetch_add(1, Ordering::Relaxed);
        nt!(PsTerminateSystemThread(STATUS_SUCCESS));
        steps.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(steps.into_inner(), 1);
}

#[test]
fn only_a_system_thread_can_terminate_itself() {
    assert_eq!(
        nt!(PsTerminateSystemThread(STATUS_SUCCESS)),
        STATUS_INVALID_PARAMETER
    );
}

#[test]
fn each_thread_has_an_object_of_its_own() {
    let mine = nt!(PsGetCurrentThread());
    assert_eq!(mine, nt!(KeGetCurrentThread()));
    let mine = mine as usize;
    thread::scope(|scope| {
        scope.spawn(|| assert_ne!(nt!(PsGetCurrentThread()) as usize, mine));
    });
    // What the inline function of the WDK headers reads: the thread in the processor control block.
    let inline: usize;
    // SAFETY: The kernel keeps the GS segment of every thread that called in.
    unsafe {
        core::arch::asm!("mov {}, gs:[0x188]", out(reg) inline, options(nostack, readonly));
    }
    assert_eq!(inline, mine);
}

#[test]
fn sixty_four_threads() {
    let count = AtomicU32::new(0);
    let handles: Vec<_> = (0..64)
        .map(|_| {
            start_system_thread(|| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    handles.into_iter().for_each(join);
    assert_eq!(count.into_inner(), 64);
}

#[test]
fn a_handle_can_be_waited_for() {
    let event = Object::<KEVENT>::default();
    nt!(KeInitializeEvent(event.get(), 0, FALSE));
    let handle = start_system_thread(|| {
        wait(event.object(), None);
    });
    let mut timeout = LARGE_INTEGER { QuadPart: MS };
    let status = nt!(ZwWaitForSingleObject(handle, FALSE, &raw mut timeout));
    assert_eq!(status, STATUS_TIMEOUT);
    nt!(KeSetEvent(event.get(), 0, FALSE));
    let status = nt!(ZwWaitForSingleObject(handle, FALSE, core::ptr::null_mut()));
    assert_eq!(status, STATUS_SUCCESS);
    nt!(ZwClose(handle));
}

#[test]
fn ending_with_a_spin_lock() {
    let report = expect_bug_check(|| {
        let lock = Object::new(0);
        on_system_thread(|| {
            nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100A));
    assert_eq!(report.parameters[1], report.thread.address);
}

#[test]
fn ending_with_a_mutex() {
    let report = expect_bug_check(|| {
        let mutex = Object::<KMUTEX>::default();
        nt!(KeInitializeMutex(mutex.get(), 0));
        on_system_thread(|| {
            wait(mutex.object(), None);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100A));
}

#[test]
fn ending_inside_of_a_critical_region() {
    let report = expect_bug_check(|| on_system_thread(|| nt!(KeEnterCriticalRegion())));
    assert_eq!(report.code, bugcheck::KERNEL_APC_PENDING_DURING_EXIT);
}

#[test]
fn ending_above_passive_level() {
    let report = expect_bug_check(|| {
        on_system_thread(|| {
            raise(APC);
        });
    });
    assert_eq!(
        (report.code, report.parameters[2]),
        (bugcheck::KERNEL_APC_PENDING_DURING_EXIT, 1)
    );
}

#[test]
fn asking_for_the_end_above_passive_level() {
    let report = expect_bug_check(|| {
        on_system_thread(|| {
            raise(APC);
            nt!(PsTerminateSystemThread(STATUS_SUCCESS));
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x2001C));
}

#[test]
fn a_handle_that_is_not_open() {
    let report = expect_bug_check(|| {
        let handle = start_system_thread(|| ());
        join(handle);
        nt!(ZwClose(handle));
    });
    assert_eq!(report.code, bugcheck::INVALID_KERNEL_HANDLE);
}
