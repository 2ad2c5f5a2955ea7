//! APCs to other threads: those that wait, those that run, and those that end.
#![cfg(not(windows))]

mod support;

use core::ptr;
use std::{
    sync::{
        atomic::{AtomicI32, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::{apc::*, *};

/// A host thread that says which thread it is and then runs `body`.
fn on_thread<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    body: impl FnOnce() -> T + Send + 'scope,
) -> (PKTHREAD, thread::ScopedJoinHandle<'scope, T>) {
    let (tell, told) = mpsc::channel();
    let handle = scope.spawn(move || {
        tell.send(me() as usize).expect("the test listens");
        body()
    });
    let thread = told.recv().expect("the thread tells");
    (ptr::with_exposed_provenance_mut(thread), handle)
}

fn event() -> Object<KEVENT> {
    let event = Object::default();
    nt!(KeInitializeEvent(event.get(), 1, FALSE));
    event
}

fn set(event: &Object<KEVENT>) {
    nt!(KeSetEvent(event.get(), 0, FALSE));
}

/// Lets the other thread go on until `done`.
fn until(done: impl Fn() -> bool) {
    while !done() {
        thread::yield_now();
    }
}

/// Until somebody waits for the event.
fn until_waited_for(event: &Object<KEVENT>) {
    let head = event.get().wrapping_byte_add(8) as usize;
    until(|| event.read().Header.WaitListHead.Flink as usize != head);
}

#[test]
fn a_thread_that_waits_runs_them_and_waits_on() {
    let (log, event, done) = (Log::default(), event(), event());
    thread::scope(|scope| {
        let (thread, waiter) = on_thread(scope, || {
            let status = wait(event.object(), None);
            log.add("end of the wait", Normal);
            status
        });
        until_waited_for(&event);
        let wake = || set(&done);
        let apcs = [
            special(
                Probe {
                    in_kernel: Some(&wake),
                    ..probe(&log, "special")
                },
                thread,
            ),
            ordinary(
                Probe {
                    in_normal: Some(&wake),
                    ..probe(&log, "normal")
                },
                thread,
            ),
        ];
        for apc in &apcs {
            insert(apc);
            assert_eq!(wait(done.object(), None), STATUS_SUCCESS);
            // SAFETY: The routine has stored the thread before it set the event.
            assert_eq!(unsafe { &*apc.get() }.ran_on.load(SeqCst), thread);
        }
        until_waited_for(&event);
        set(&event);
        assert_eq!(waiter.join().expect("no panic"), STATUS_SUCCESS);
    });
    let mut expected = BOTH.to_vec();
    expected.push(Ran("end of the wait", Normal, PASSIVE));
    assert_eq!(log.take(), expected);
}

#[test]
fn a_pulse_is_missed_while_an_apc_interrupts_the_wait() {
    let (log, pulsed, begun, go_on) = (Log::default(), event(), event(), event());
    thread::scope(|scope| {
        let (thread, waiter) = on_thread(scope, || wait(pulsed.object(), None));
        until_waited_for(&pulsed);
        let body = || {
            set(&begun);
            assert_eq!(wait(go_on.object(), None), STATUS_SUCCESS);
        };
        let apc = special(
            Probe {
                in_kernel: Some(&body),
                ..probe(&log, "special")
            },
            thread,
        );
        insert(&apc);
        assert_eq!(wait(begun.object(), None), STATUS_SUCCESS);
        nt!(KePulseEvent(pulsed.get(), 0, FALSE));
        set(&go_on);
        until_waited_for(&pulsed);
        assert!(!waiter.is_finished());
        set(&pulsed);
        assert_eq!(waiter.join().expect("no panic"), STATUS_SUCCESS);
    });
}

#[test]
fn a_thread_that_waits_at_apc_level_or_in_a_region_runs_them_later() {
    let (log, event) = (Log::default(), event());
    thread::scope(|scope| {
        let (thread, waiter) = on_thread(scope, || {
            raise(APC);
            assert_eq!(wait(event.object(), None), STATUS_SUCCESS);
            assert!(log.is_empty());
            lower(PASSIVE);
            let at_apc_level = log.take();
            nt!(KeEnterCriticalRegion());
            assert_eq!(wait(event.object(), None), STATUS_SUCCESS);
            let in_region = log.take();
            nt!(KeLeaveCriticalRegion());
            (at_apc_level, in_region, log.take())
        });
        let apcs = [
            special(probe(&log, "special"), thread),
            ordinary(probe(&log, "normal"), thread),
        ];
        until_waited_for(&event);
        insert(&apcs[0]);
        set(&event);
        until_waited_for(&event);
        assert_eq!((insert(&apcs[1]), insert(&apcs[0])), (TRUE, TRUE));
        until(|| !log.is_empty());
        until_waited_for(&event);
        set(&event);
        let (at_apc_level, in_region, after) = waiter.join().expect("no panic");
        assert_eq!(at_apc_level, [SPECIAL]);
        assert_eq!(in_region, [SPECIAL]);
        assert_eq!(after, NORMAL);
    });
}

#[test]
fn one_that_waits_for_a_resource_runs_special_ones_and_gets_it_after() {
    let (log, resource) = (Log::default(), Object::<ERESOURCE>::default());
    nt!(ExInitializeResourceLite(resource.get()));
    let acquire = || {
        nt!(ExEnterCriticalRegionAndAcquireResourceExclusive(
            resource.get()
        ))
    };
    let release = || nt!(ExReleaseResourceAndLeaveCriticalRegion(resource.get()));
    acquire();
    thread::scope(|scope| {
        let (thread, waiter) = on_thread(scope, || {
            acquire();
            release();
        });
        until(|| nt!(ExGetExclusiveWaiterCount(resource.get())) == 1);
        let apc = special(probe(&log, "special"), thread);
        insert(&apc);
        until(|| !log.is_empty());
        release();
        waiter.join().expect("no panic");
    });
    assert_eq!(log.take(), [SPECIAL]);
    nt!(ExDeleteResourceLite(resource.get()));
}

#[test]
fn a_thread_that_runs_gets_them_when_it_calls_the_kernel() {
    let (log, ready) = (Log::default(), AtomicI32::new(0));
    thread::scope(|scope| {
        let (thread, runner) = on_thread(scope, || {
            until(|| ready.load(SeqCst) == 1);
            assert!(log.is_empty());
            nt!(KeQueryInterruptTime());
            log.take()
        });
        let apc = special(probe(&log, "special"), thread);
        insert(&apc);
        ready.store(1, SeqCst);
        assert_eq!(runner.join().expect("no panic"), [SPECIAL]);
    });
}

#[test]
fn a_system_thread_runs_normal_ones_when_it_leaves_its_critical_region_at_its_end() {
    let log = Log::default();
    let apc = Object::new(probe(&log, "normal"));
    on_system_thread(|| {
        initialize(&apc, me(), Some(normal), 0);
        assert_eq!(insert(&apc), TRUE);
        assert!(log.is_empty());
    });
    assert_eq!(log.take(), NORMAL);
}

#[test]
fn one_for_user_mode_ends_waits_that_are_alertable_and_is_run_down() {
    let (log, event) = (Log::default(), event());
    let apc = thread::scope(|scope| {
        let (thread, waiter) = on_thread(scope, || {
            let wait = |alertable| {
                let mut timeout = LARGE_INTEGER { QuadPart: MS };
                nt!(KeWaitForSingleObject(
                    event.object(),
                    0,
                    1,
                    alertable,
                    &raw mut timeout
                ))
            };
            let ended = nt!(KeWaitForSingleObject(
                event.object(),
                0,
                1,
                TRUE,
                ptr::null_mut()
            ));
            nt!(KeEnterCriticalRegion());
            let in_region = wait(TRUE);
            nt!(KeLeaveCriticalRegion());
            [ended, wait(FALSE), wait(TRUE), in_region]
        });
        let apc = Object::new(probe(&log, "user"));
        initialize(&apc, thread, Some(normal), 1);
        until_waited_for(&event);
        assert_eq!(insert(&apc), TRUE);
        assert_eq!(
            waiter.join().expect("no panic"),
            [
                STATUS_USER_APC,
                STATUS_TIMEOUT,
                STATUS_USER_APC,
                STATUS_TIMEOUT
            ]
        );
        until(|| !log.is_empty());
        apc
    });
    assert_eq!(log.take(), [Ran("user", Rundown, PASSIVE)]);
    drop(apc);
}

unsafe extern "win64" fn thread_routine(_: PVOID) {
    assert_eq!(irql(), PASSIVE);
}

#[test]
fn a_thread_that_has_ended_takes_none() {
    let log = Log::default();
    let mut handle = ptr::null_mut();
    let mut object = ptr::null_mut();
    nt!(PsCreateSystemThread(
        &raw mut handle,
        THREAD_ALL_ACCESS,
        ptr::null_mut(),
        ptr::null_mut(),
        ptr::null_mut(),
        Some(thread_routine),
        ptr::null_mut()
    ));
    let kind = PsThreadType.get();
    nt!(ObReferenceObjectByHandle(
        handle,
        SYNCHRONIZE,
        kind,
        0,
        &raw mut object,
        ptr::null_mut()
    ));
    assert_eq!(wait(object, None), STATUS_SUCCESS);
    assert_eq!(
        insert(&special(probe(&log, "special"), object.cast())),
        FALSE
    );
    assert!(log.is_empty());
    nt!(ObfDereferenceObject(object));
    nt!(ZwClose(handle));
}

/// Changes the count behind the kernel's back.
fn change_kernel_apc_disable(change: i16) {
    // SAFETY: The running thread's object is there, and its count is changed by it alone.
    let count = unsafe { &mut (*me()).KernelApcDisable };
    *count += change;
}

#[test]
fn ending_the_thread_while_it_holds_one_back() {
    let report = expect_bug_check(|| {
        on_system_thread(|| {
            let log = Log::default();
            let last = ordinary(probe(&log, "last"), me());
            let body = || {
                insert(&last);
                change_kernel_apc_disable(-1);
                nt!(PsTerminateSystemThread(STATUS_SUCCESS));
            };
            let apc = ordinary(
                Probe {
                    in_normal: Some(&body),
                    ..probe(&log, "normal")
                },
                me(),
            );
            raise(APC);
            insert(&apc);
            // Only an unbalanced call brings a normal APC to a system thread that runs.
            change_kernel_apc_disable(1);
            lower(PASSIVE);
        });
    });
    assert_eq!(report.code, bugcheck::KERNEL_APC_PENDING_DURING_EXIT);
    assert_ne!(report.parameters[0], 0, "the address of the APC");
}
