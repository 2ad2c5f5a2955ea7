//! Executive work items.
#![cfg(not(windows))]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

/// What a work item's routine is given.
struct Task {
    runs: AtomicU32,
    done: Object<KEVENT>,
    item: Object<WORK_QUEUE_ITEM>,
}

impl Task {
    fn new(routine: unsafe extern "win64" fn(PVOID)) -> &'static Self {
        let task: &Self = Box::leak(Box::new(Self {
            runs: AtomicU32::new(0),
            done: Object::default(),
            item: Object::default(),
        }));
        nt!(KeInitializeEvent(task.done.get(), 0, FALSE));
        task.item.write(WORK_QUEUE_ITEM {
            WorkerRoutine: Some(routine),
            Parameter: core::ptr::from_ref(task).cast_mut().cast(),
            ..Default::default()
        });
        task
    }

    fn queue(&self) {
        nt!(ExQueueWorkItem(
            self.item.get(),
            _WORK_QUEUE_TYPE::DelayedWorkQueue
        ));
    }

    fn wait(&self) {
        assert_eq!(wait(self.done.object(), None), STATUS_SUCCESS);
    }
}

unsafe extern "win64" fn run_thrice(task: PVOID) {
    assert_eq!(
        (irql(), nt!(KeAreApcsDisabled())),
        (PASSIVE, TRUE),
        "on a system thread"
    );
    // SAFETY: The test keeps the task until it is done.
    let task = unsafe { &*task.cast::<Task>() };
    if task.runs.fetch_add(1, Ordering::Relaxed) < 2 {
        task.queue();
    } else {
        nt!(KeSetEvent(task.done.get(), 0, FALSE));
    }
}

unsafe extern "win64" fn raise_and_return(_: PVOID) {
    raise(APC);
}

unsafe extern "win64" fn wait_and_return(task: PVOID) {
    // SAFETY: The test keeps the task until it is done.
    unsafe { &*task.cast::<Task>() }.wait();
}

#[test]
fn an_item_runs_and_may_be_queued_again_by_its_routine() {
    let task = Task::new(run_thrice);
    let old = raise(DISPATCH);
    task.queue();
    lower(old);
    task.wait();
    assert_eq!(task.runs.load(Ordering::Relaxed), 3);
}

#[test]
fn items_that_wait_do_not_keep_others_from_running() {
    let waiting = [(); 10].map(|()| Task::new(wait_and_return));
    for task in &waiting {
        task.queue();
    }
    let task = Task::new(run_thrice);
    task.queue();
    task.wait();
    for task in &waiting {
        nt!(KeSetEvent(task.done.get(), 0, FALSE));
    }
}

#[test]
fn returning_above_passive_level() {
    let report = expect_bug_check(|| {
        let task = Task::new(raise_and_return);
        task.queue();
        task.wait();
    });
    assert_eq!(
        (report.code, report.parameters[1]),
        (bugcheck::WORKER_THREAD_RETURNED_AT_BAD_IRQL, 1)
    );
}

/// An item in pool whose routine nobody runs, since the one before it does not return.
fn queued_in_pool(flags: POOL_FLAGS) -> PWORK_QUEUE_ITEM {
    let item: PWORK_QUEUE_ITEM = nt!(ExAllocatePool2(flags, 0x20, 1)).cast();
    // SAFETY: The block is that large, and zeroed.
    unsafe { (*item).WorkerRoutine = Some(wait_and_return) };
    nt!(ExQueueWorkItem(item, _WORK_QUEUE_TYPE::DelayedWorkQueue));
    item
}

/// Keeps every worker thread there can be from running another item.
fn keep_workers() {
    for _ in 0..64 {
        Task::new(wait_and_return).queue();
    }
}

#[test]
fn freeing_one_that_is_queued() {
    let report = expect_bug_check(|| {
        keep_workers();
        nt!(ExFreePool(queued_in_pool(POOL_FLAG_NON_PAGED).cast()));
    });
    let [code, item, start, end] = report.parameters;
    assert_eq!((report.code, code), (bugcheck::WORKER_INVALID, 0));
    assert_eq!((item, end), (start, start + 0x20));
}

#[test]
fn queueing_one_twice() {
    let report = expect_bug_check(|| {
        keep_workers();
        let item = queued_in_pool(POOL_FLAG_NON_PAGED);
        nt!(ExQueueWorkItem(item, _WORK_QUEUE_TYPE::CriticalWorkQueue));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[2]),
        (bugcheck::WORKER_INVALID, 1, 0)
    );
}

#[test]
fn one_in_pageable_memory() {
    let report = expect_bug_check(|| {
        queued_in_pool(POOL_FLAG_PAGED);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x131));
}

#[test]
fn queueing_one_that_is_none() {
    let report = expect_bug_check(|| {
        let item = Object::<WORK_QUEUE_ITEM>::default();
        nt!(ExQueueWorkItem(item.get(), 0));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::WORKER_INVALID, 7)
    );
}

#[test]
fn queueing_to_a_queue_that_there_is_not() {
    let report = expect_bug_check(|| {
        let task = Task::new(run_thrice);
        nt!(ExQueueWorkItem(task.item.get(), 7));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[2]),
        (bugcheck::WORKER_INVALID, 6, 7)
    );
}
