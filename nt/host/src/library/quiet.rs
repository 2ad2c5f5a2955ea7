//! What must not be when an image is unloaded: a timer or DPC in its data, and whatever is about to call
//! its code or is in it.
//!
//! Sources: the pages of the bug checks 0xC7 and 0xCE. Windows finds timers and DPCs in the memory as it
//! frees it, and the calls, or that it looks at a lookaside list, when they come; here all are found at once.

use std::ops::Range;

use nt_abi::bugcheck::{
    DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS, TIMER_OR_DPC_INVALID,
};

use crate::{
    bugcheck, dispatcher, dpc,
    ex::{self, lookaside::active, worker},
    io::remove_tags,
    ke::dpc::ddk::KeFlushQueuedDpcs,
    lock_order,
    thread::{self, Thread},
    verifier,
};

/// Stops the kernel if an image that lies at `range` is still in use after `routine`, its driver's last
/// one.
pub fn check(thread: &'static Thread, range: &Range<usize>, routine: &'static str) {
    // DPCs that are queued still run, as they do on Windows.
    // SAFETY: The calling thread is at `PASSIVE_LEVEL` and holds nothing.
    unsafe { KeFlushQueuedDpcs() };
    let range = range.start as u64..range.end as u64;
    let mut dispatcher = dispatcher::lock(thread);
    let timers = &dispatcher.state().timers;
    let (timer, called) = (timers.find_in(&range), timers.find_calling(&range));
    let resource = dispatcher.state().resources.find_in(&range);
    drop(dispatcher);
    if let Some(resource) = resource {
        let sentence =
            "The driver is unloaded while its image holds an ERESOURCE that was not deleted.";
        verifier::violation(
            0xD2,
            [resource, range.start, range.end - range.start],
            routine,
            sentence,
        );
    }
    if let Some(timer) = timer {
        freed(0, timer, &range, routine, "a timer that is set");
    }
    if let Some(dpc) = dpc::queued_in(&range) {
        freed(1, dpc, &range, routine, "a DPC that is queued");
    }
    if let Some(list) = active::find_in(&range).or_else(|| active::find_calling(&range)) {
        pending(
            list,
            routine,
            "a lookaside list in it, or that calls it, is not deleted",
        );
    }
    if let Some(address) = called {
        pending(address, routine, "a timer is set whose DPC calls it");
    }
    if let Some(address) = ex::timer::find_calling(&range) {
        pending(address, routine, "an EX_TIMER that calls it is not deleted");
    }
    if let Some(address) = ex::callback::find_calling(&range) {
        pending(address, routine, "a callback routine in it is registered");
    }
    let work = worker::pending_routines();
    if let Some(address) = work
        .into_iter()
        .find(|address| range.contains(&(*address as u64)))
    {
        pending(
            address as u64,
            routine,
            "a work item that calls it is queued or runs",
        );
    }
    let mut start = None;
    thread::each(|thread| {
        // A thread that has ended is signalled before it is off the list.
        let address = thread.start_routine();
        let runs = range.contains(&address) && thread.object.header.state() <= 0;
        start = start.or_else(|| runs.then_some(address));
    });
    if let Some(address) = start {
        pending(address, routine, "a system thread runs in it");
    }
    lock_order::forget(&range);
    remove_tags::forget(&range);
}

/// An object that the kernel uses lies in memory that is freed.
#[cold]
fn freed(kind: u64, object: u64, range: &Range<u64>, routine: &'static str, what: &str) -> ! {
    bugcheck::raise(
        TIMER_OR_DPC_INVALID,
        [kind, object, range.start, range.end],
        routine,
        format!("The driver is unloaded while its image holds {what}."),
    )
}

/// Code is about to be called that is not there any more.
#[cold]
fn pending(address: u64, routine: &'static str, why: &str) -> ! {
    /// As the parameter has it: the address is executed.
    const EXECUTE: u64 = 8;
    bugcheck::raise(
        DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
        [address, EXECUTE, address, 0],
        routine,
        format!("The driver is unloaded while {why}."),
    )
}
