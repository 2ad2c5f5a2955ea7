//! Rules of Driver Verifier that belong to no single kind of lock, or that every kind has to obey.
#![cfg(not(windows))]

mod support;

use core::time::Duration;

use nthost::{
    Config,
    ntddk::*,
    testing::{expect_bug_check, expect_bug_check_with, expect_bug_checks},
};
use support::{driver::complete, *};

fn event() -> Object<KEVENT> {
    let event = Object::default();
    nt!(KeInitializeEvent(event.get(), 0, FALSE));
    event
}

#[test]
fn waiting_above_dispatch_level() {
    let report = expect_bug_check(|| {
        let event = event();
        raise(CLOCK);
        wait(event.object(), Some(0));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x120));
}

#[test]
fn waiting_in_user_mode_for_an_object_on_the_stack() {
    let in_user_mode = |object| {
        let mut timeout = LARGE_INTEGER { QuadPart: MS };
        nt!(KeWaitForSingleObject(object, 0, 1, FALSE, &raw mut timeout))
    };
    assert_eq!(in_user_mode(event().object()), STATUS_TIMEOUT);
    let report = expect_bug_check(|| {
        let mut event = KEVENT::default();
        nt!(KeInitializeEvent(&raw mut event, 0, FALSE));
        in_user_mode((&raw mut event).cast());
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x123));
}

#[test]
fn waiting_in_user_mode_for_a_mutex() {
    let mutex = Object::<KMUTEX>::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    let one = expect_bug_check(|| {
        nt!(KeWaitForSingleObject(
            mutex.object(),
            0,
            1,
            FALSE,
            core::ptr::null_mut()
        ));
    });
    let several = expect_bug_check(|| {
        let event = event();
        let mut objects = vec![event.object(), mutex.object()];
        nt!(KeWaitForMultipleObjects(
            2,
            objects.as_mut_ptr(),
            _WAIT_TYPE::WaitAny,
            0,
            1,
            FALSE,
            core::ptr::null_mut(),
            core::ptr::null_mut()
        ));
    });
    for report in [one, several] {
        assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x6E74_0004));
    }
}

#[test]
fn initialising_a_lock_again_while_a_thread_holds_it() {
    let spin_lock = expect_bug_check(|| {
        let lock = Object::new(0);
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        nt!(KeInitializeSpinLock(lock.get()));
    });
    let mutex = expect_bug_check(|| {
        let mutex = Object::<KMUTEX>::default();
        nt!(KeInitializeMutex(mutex.get(), 0));
        wait(mutex.object(), None);
        on_system_thread(|| nt!(KeInitializeMutex(mutex.get(), 0)));
    });
    let fast_mutex = expect_bug_check(|| {
        let mutex = Object::<FAST_MUTEX>::default();
        nt!(KeInitializeGuardedMutex(mutex.get()));
        nt!(ExAcquireFastMutex(mutex.get()));
        nt!(KeInitializeGuardedMutex(mutex.get()));
    });
    for (report, noun) in [
        (spin_lock, "spin lock"),
        (mutex, "mutex"),
        (fast_mutex, "fast mutex"),
    ] {
        assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1005));
        assert!(report.rule.contains(noun), "{report}");
    }
}

const TAG: ULONG = u32::from_le_bytes(*b"test");

fn allocate(flags: POOL_FLAGS) -> PVOID {
    nt!(ExAllocatePool2(flags, 0x80, TAG))
}

#[test]
fn initialising_a_lock_twice() {
    type Initialize = fn(PVOID);
    let kinds: [(&str, Initialize); 3] = [
        ("spin lock", |lock| nt!(KeInitializeSpinLock(lock.cast()))),
        ("mutex", |lock| nt!(KeInitializeMutex(lock.cast(), 0))),
        ("fast mutex", |lock| {
            nt!(KeInitializeGuardedMutex(lock.cast()));
        }),
    ];
    let reports = expect_bug_checks(Config::default(), &kinds, |(_, initialize)| {
        let memory = allocate(POOL_FLAG_NON_PAGED);
        initialize(memory);
        initialize(memory);
    });
    for ((noun, _), report) in kinds.iter().zip(reports) {
        assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1005));
        assert!(report.rule.contains(noun), "{report}");
    }
}

#[test]
fn memory_that_is_used_again_is_another_lock() {
    let list = Object::<[u64; 2]>::new([0; 2]);
    let list: PSLIST_HEADER = list.get().cast();
    nt!(InitializeSListHead(list));
    let memory = allocate(POOL_FLAG_NON_PAGED);
    for _ in 0..2 {
        nt!(KeInitializeMutex(memory.cast(), 0));
        nt!(ExpInterlockedPushEntrySList(list, memory.cast()));
        assert_eq!(nt!(ExpInterlockedPopEntrySList(list)).cast(), memory);
    }
    nt!(ExFreePool(memory));
    for _ in 0..4 {
        let memory = allocate(POOL_FLAG_NON_PAGED);
        nt!(KeInitializeMutex(memory.cast(), 0));
        nt!(ExFreePool(memory));
    }
}

#[test]
fn objects_in_pageable_memory() {
    let kinds: [fn(PVOID); 7] = [
        |object| nt!(KeInitializeSpinLock(object.cast())),
        |object| nt!(KeInitializeMutex(object.cast(), 0)),
        |object| nt!(KeInitializeEvent(object.cast(), 0, FALSE)),
        |object| nt!(KeInitializeSemaphore(object.cast(), 0, 1)),
        |object| nt!(KeInitializeTimer(object.cast())),
        |object| nt!(KeInitializeGuardedMutex(object.cast())),
        |object| {
            nt!(ExInitializeResourceLite(object.cast()));
        },
    ];
    let reports = expect_bug_checks(Config::default(), &kinds, |initialize| {
        initialize(allocate(POOL_FLAG_PAGED));
    });
    for report in reports {
        assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xE1));
    }
}

#[test]
fn freeing_the_memory_of_a_spin_lock_that_is_held() {
    let report = expect_bug_check(|| {
        let memory = allocate(POOL_FLAG_NON_PAGED);
        nt!(KeAcquireSpinLockRaiseToDpc(memory.cast()));
        nt!(ExFreePool(memory));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100B));
    assert_eq!(report.parameters[2], report.thread.address);
}

unsafe extern "win64" fn enters_a_region(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {
    // What a region does to the count, which the functions for regions refuse at this IRQL.
    let thread = nt!(KeGetCurrentThread());
    // SAFETY: The running thread's object is there, and nobody else changes the count.
    unsafe { (*thread).KernelApcDisable -= 1 };
}

#[test]
fn the_dpc_of_a_timer_that_changes_the_apc_disable_count() {
    let report = expect_bug_check(|| {
        let (timer, dpc) = (Object::<KTIMER>::default(), Object::<KDPC>::default());
        nt!(KeInitializeTimer(timer.get()));
        let none = core::ptr::null_mut();
        nt!(KeInitializeDpc(dpc.get(), Some(enters_a_region), none));
        let now = LARGE_INTEGER { QuadPart: -1 };
        nt!(KeSetTimer(timer.get(), now, dpc.get()));
        wait(timer.object(), None);
        nt!(KeFlushQueuedDpcs());
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::TIMER_OR_DPC_INVALID, 5)
    );
}

/// A kernel that does not wait long.
fn impatient() -> Config {
    Config {
        dispatch_limit: Duration::from_millis(200),
        ..Config::default()
    }
}

/// Stays where it is until another thread stops the kernel.
fn linger() {
    loop {
        sleep(10);
        irql();
    }
}

#[test]
fn holding_a_spin_lock_too_long() {
    let report = expect_bug_check_with(impatient(), || {
        let lock = Object::new(0);
        nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        linger();
    });
    assert_eq!(report.code, bugcheck::DPC_WATCHDOG_VIOLATION);
    assert_eq!(report.parameters[..2], [1, 12], "12 ticks are 187.5 ms");
    assert!(report.rule.contains("with the spin lock at 0x"), "{report}");
}

unsafe extern "win64" fn lingers(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {
    linger();
}

#[test]
fn a_dpc_that_takes_too_long() {
    let report = expect_bug_check_with(impatient(), || {
        let dpc = Object::<KDPC>::default();
        let none = core::ptr::null_mut();
        nt!(KeInitializeDpc(dpc.get(), Some(lingers), none));
        nt!(KeInsertQueueDpc(dpc.get(), none, none));
        nt!(KeFlushQueuedDpcs());
    });
    assert_eq!(report.code, bugcheck::DPC_WATCHDOG_VIOLATION);
    assert_eq!(report.parameters[..3], [0, 12, 12]);
}

#[test]
fn going_to_dispatch_level_again_and_again_is_not_too_long() {
    let body = || {
        let end = std::time::Instant::now() + Duration::from_millis(600);
        while std::time::Instant::now() < end {
            let old = raise(DISPATCH);
            sleep(5);
            lower(old);
        }
        nt!(KeBugCheckEx(0xE2, 1, 2, 3, 4));
    };
    let report = expect_bug_check_with(impatient(), body);
    assert_eq!(report.code, 0xE2, "the one that the test asks for");
}

unsafe extern "win64" fn enters_at_completion(
    _device: PDEVICE_OBJECT,
    _irp: PIRP,
    _context: PVOID,
) -> NTSTATUS {
    nt!(KeEnterCriticalRegion());
    STATUS_MORE_PROCESSING_REQUIRED
}

#[test]
fn a_completion_routine_that_stays_in_a_critical_region() {
    let report = expect_bug_check(|| {
        let irp = nt!(IoAllocateIrp(1, FALSE));
        // SAFETY: The IRP belongs to this test.
        let packet = unsafe { &mut *irp };
        packet.CurrentLocation -= 1;
        packet.CurrentStackLocation = packet.CurrentStackLocation.wrapping_sub(1);
        // SAFETY: An IRP of one location has it there.
        let location = unsafe { &mut *packet.CurrentStackLocation };
        location.CompletionRoutine = Some(enters_at_completion);
        location.Control = SL_INVOKE_ON_SUCCESS;
        complete(irp, STATUS_SUCCESS, 0);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xFB));
}

/// Memory that looks like an object whose last reference is gone: its header, all zeros, and its body.
fn gone() -> (Object<[u64; 8]>, PVOID) {
    let object = Object::new([0; 8]);
    // The header has 0x30 bytes, and its first field is the reference count.
    let body = object.get().cast::<u64>().wrapping_add(6).cast();
    (object, body)
}

#[test]
fn an_object_that_is_gone_is_referenced_and_dereferenced() {
    let report = expect_bug_check(|| {
        let (_memory, body) = gone();
        nt!(ObfReferenceObject(body));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[2]),
        (VERIFIER, 0x3F, 1)
    );
    let report = expect_bug_check(|| {
        let (_memory, body) = gone();
        nt!(ObfDereferenceObject(body));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[2]),
        (VERIFIER, 0x3F, u64::MAX)
    );
}

#[test]
fn the_tests_of_the_table_exist() {
    let table = include_str!("../VERIFIER.md");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.split('|').nth(3).expect("three columns");
        let mut source = String::new();
        for word in tests.split([' ', ',']) {
            if word.contains(".rs") {
                source = std::fs::read_to_string(folder.join(word)).expect(word);
            } else if let Some(name) = word.strip_prefix('`') {
                let name = name.trim_end_matches('`');
                assert!(source.contains(&format!("\nfn {name}() ")), "{name}");
                named += 1;
            }
        }
    }
    assert!(named > 60, "{named}");
}
