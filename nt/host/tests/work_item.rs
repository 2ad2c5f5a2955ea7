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

#[test]
fn queueing_one_that_is_none() {
    let report = expect_bug_check(|| {
        let item = Object::<WORK_QUEUE_ITEM>::default();
        nt!(ExQueueWorkItem(item.get(), 0));
    });
    assert_eq!(report.code, bugcheck::WORKER_INVALID);
}
