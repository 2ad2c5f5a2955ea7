//! System worker threads.
//!
//! There are as many as have been needed at once, up to a limit, so that items which wait for each
//! other make progress; an idle one stays.

use std::collections::VecDeque;

use nt_abi::bugcheck::{APC_INDEX_MISMATCH, WORKER_THREAD_RETURNED_AT_BAD_IRQL};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    bugcheck, explore,
    irql::PASSIVE,
    ps,
    thread::{self, Origin},
};

/// More than this many run no items.
const MOST_THREADS: usize = 32;

struct Item {
    /// The address of the driver's routine.
    routine: usize,
    work: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    idle: usize,
    threads: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    items: VecDeque::new(),
    idle: 0,
    threads: 0,
});
static WAKE: Condvar = Condvar::new();
/// The routines that run now, for the check at unload.
static RUNNING: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The addresses of the routines that are queued or run.
pub fn pending_routines() -> Vec<usize> {
    let queued: Vec<_> = QUEUE.lock().items.iter().map(|item| item.routine).collect();
    RUNNING.lock().iter().copied().chain(queued).collect()
}

/// How many items are queued, and how many run.
pub fn load() -> (usize, usize) {
    let queued = QUEUE.lock().items.len();
    (queued, RUNNING.lock().len())
}

/// Has a worker thread do `work`, which calls the driver's routine at `routine`.
pub fn queue(routine: usize, work: impl FnOnce() + Send + 'static) {
    let mut queue = QUEUE.lock();
    queue.items.push_back(Item {
        routine,
        work: Box::new(work),
    });
    let start = queue.items.len() > queue.idle && queue.threads < MOST_THREADS;
    if start {
        queue.threads += 1;
    }
    drop(queue);
    if start && ps::thread::start(Origin::Kernel, "worker", work_forever).is_err() {
        // The host has no thread left: the items wait for the workers that there are.
        QUEUE.lock().threads -= 1;
    }
    WAKE.notify_one();
    explore::wake_workers();
}

fn work_forever() {
    loop {
        let mut queue = QUEUE.lock();
        let item = loop {
            if let Some(item) = queue.items.pop_front() {
                break item;
            }
            queue.idle += 1;
            if explore::is_on() {
                MutexGuard::unlocked(&mut queue, || {
                    explore::wait(explore::Wait::WorkItem, None);
                });
            } else {
                WAKE.wait(&mut queue);
            }
            queue.idle -= 1;
        };
        drop(queue);
        RUNNING.lock().push(item.routine);
        (item.work)();
        let mut running = RUNNING.lock();
        if let Some(at) = running.iter().position(|routine| *routine == item.routine) {
            running.swap_remove(at);
        }
        drop(running);
        check(item.routine);
    }
}

/// What a worker routine must leave as it was.
fn check(routine: usize) {
    const NAME: &str = "ExpWorkerThread";
    let thread = thread::current();
    let irql = thread.irql();
    if irql != PASSIVE {
        bugcheck::raise(
            WORKER_THREAD_RETURNED_AT_BAD_IRQL,
            [routine as u64, irql.into(), 0, 0],
            NAME,
            "The worker routine returned above PASSIVE_LEVEL.",
        );
    }
    if thread.apc_depth() != 0 || thread.object.special_apc_disable() != 0 {
        /// A worker routine, not a system call.
        const WORKER_ROUTINE: u64 = 1;
        let apc_disable = thread.object.combined_apc_disable();
        bugcheck::raise(
            APC_INDEX_MISMATCH,
            [routine as u64, 0, apc_disable, WORKER_ROUTINE],
            NAME,
            "The worker routine left a critical or guarded region entered, or holds a mutex.",
        );
    }
}
