//! The wait algorithm: how waits begin, are satisfied by whoever signals, and end.

use core::{ops::Range, sync::atomic::Ordering::Relaxed};
use std::time::Instant;

use nt_abi::{
    NTSTATUS, STATUS_ABANDONED_WAIT_0, STATUS_ALERTED, STATUS_KERNEL_APC,
    STATUS_MUTANT_LIMIT_EXCEEDED, STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_USER_APC, object_type,
};

use parking_lot::MutexGuard;

use super::{Dispatcher, Header, Mutant, WAITING, WAITS, WaitBlock};
use crate::{
    apc, bugcheck, clock, deadlock, ex, explore, fault,
    hang::Watch,
    kernel,
    list::{Corrupt, ListEntry},
    thread::{self, Thread},
    verifier,
};

/// Whether a wait ends with the first object or needs all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum WaitKind {
    /// `WaitAll`.
    All = 0,
    /// `WaitAny`.
    Any = 1,
}

/// When a wait is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// Never.
    Never,
    /// At once: the wait is a try.
    Now,
    /// Then.
    At(Instant),
}

/// Waits for `objects`, with one of `blocks` for each, and returns what `KeWaitForMultipleObjects`
/// does.
pub fn wait(
    thread: &'static Thread,
    objects: &[&Header],
    blocks: &[WaitBlock],
    kind: WaitKind,
    deadline: Deadline,
) -> NTSTATUS {
    wait_alertable(thread, objects, blocks, kind, deadline, false)
}

/// As [`wait`], and an alert ends the wait if it is `alertable`, unless the objects allow it at once; so does an
/// APC for user mode (`STATUS_USER_APC`). Kernel APCs run meanwhile.
pub fn wait_alertable(
    thread: &'static Thread,
    objects: &[&Header],
    blocks: &[WaitBlock],
    kind: WaitKind,
    deadline: Deadline,
    alertable: bool,
) -> NTSTATUS {
    loop {
        let status = attempt(thread, objects, blocks, kind, (deadline, alertable));
        if status != STATUS_KERNEL_APC {
            return status;
        }
        apc::deliver(thread);
    }
}

/// Waits until the wait is over, or until a kernel APC interrupts it (`STATUS_KERNEL_APC`).
fn attempt(
    thread: &'static Thread,
    objects: &[&Header],
    blocks: &[WaitBlock],
    kind: WaitKind,
    (deadline, alertable): (Deadline, bool),
) -> NTSTATUS {
    let mut dispatcher = super::lock(thread);
    if let Some(status) = dispatcher.try_satisfy(objects, kind) {
        return status;
    }
    if alertable && thread.wait.alerted.swap(false, Relaxed) {
        return STATUS_ALERTED;
    }
    if alertable && apc::has_user(thread) {
        return STATUS_USER_APC;
    }
    if deadline == Deadline::Now {
        return STATUS_TIMEOUT;
    }
    if apc::is_deliverable(thread) {
        return STATUS_KERNEL_APC;
    }
    dispatcher.begin(objects, blocks, kind);
    thread.wait.alertable.store(alertable, Relaxed);
    dispatcher.sleep(deadline)
}

fn is_signalled_for(object: &Header, thread: &Thread) -> bool {
    object.state() > 0
        || object
            .as_mutant()
            .is_some_and(|mutant| mutant.is_owned_by(thread))
}

/// Does to `object` what a satisfied wait of `thread` does. Returns whether it is an abandoned mutex.
fn consume(object: &Header, thread: &Thread) -> bool {
    match object.kind() {
        object_type::SynchronizationEvent | object_type::SynchronizationTimer => {
            object.set_state(0);
        }
        object_type::Semaphore => object.set_state(object.state() - 1),
        object_type::Mutant => return object.as_mutant().is_some_and(|mutant| mutant.take(thread)),
        _ => {}
    }
    false
}

/// A mutex can be acquired so often and no more.
fn check_mutant_limit(object: &Header) {
    if object.kind() == object_type::Mutant && object.state() == i32::MIN {
        ex::exception::raise(STATUS_MUTANT_LIMIT_EXCEEDED, "KeWaitForSingleObject");
    }
}

const fn abandoned_status(abandoned: bool) -> NTSTATUS {
    if abandoned {
        STATUS_ABANDONED_WAIT_0
    } else {
        STATUS_SUCCESS
    }
}

impl Dispatcher {
    /// Satisfies the wait of the calling thread at once, if the objects allow it.
    fn try_satisfy(&self, objects: &[&Header], kind: WaitKind) -> Option<NTSTATUS> {
        let thread = self.thread;
        match kind {
            WaitKind::Any => {
                let (key, object) = objects
                    .iter()
                    .zip(0..)
                    .find(|(object, _)| is_signalled_for(object, thread))
                    .map(|(object, key)| (key, object))?;
                check_mutant_limit(object);
                Some(abandoned_status(consume(object, thread)) + key)
            }
            WaitKind::All => {
                if objects.is_empty() || !objects.iter().all(|o| is_signalled_for(o, thread)) {
                    return None;
                }
                for object in objects {
                    check_mutant_limit(object);
                }
                let abandoned = objects
                    .iter()
                    .fold(false, |any, object| consume(object, thread) | any);
                Some(abandoned_status(abandoned))
            }
        }
    }

    /// Makes the calling thread wait on `object`, whether it is signalled or not. `STATUS_KERNEL_APC` if an APC
    /// must run before the wait can go on.
    pub fn wait_on(&mut self, object: &Header, deadline: Deadline) -> NTSTATUS {
        if apc::is_deliverable(self.thread) {
            return STATUS_KERNEL_APC;
        }
        let blocks = [WaitBlock::new()];
        self.begin(&[object], &blocks, WaitKind::Any);
        self.sleep(deadline)
    }

    /// Ends the wait of the thread that has waited longest for one object, whatever its state, and returns
    /// that thread.
    pub fn release_first(&self, object: &Header) -> Option<&Thread> {
        if object.waiters.is_empty() {
            return None;
        }
        // SAFETY: The entry is on the list of waiters, and the lock is held.
        let block = unsafe { WaitBlock::of_entry(object.waiters.next()) };
        // SAFETY: The block is in a wait, and the lock is held.
        let thread = unsafe { block.thread() };
        self.end(thread, STATUS_SUCCESS);
        Some(thread)
    }

    /// Puts the calling thread on the lists of the objects.
    fn begin(&self, objects: &[&Header], blocks: &[WaitBlock], kind: WaitKind) {
        let wait = &self.thread.wait;
        WAITS.fetch_add(1, Relaxed);
        wait.alertable.store(false, Relaxed);
        wait.status.store(WAITING, Relaxed);
        wait.blocks.store(blocks.as_ptr().cast_mut(), Relaxed);
        let mut count = 0;
        for (key, object) in (0_u16..).zip(objects) {
            let block = &blocks[usize::from(key)];
            let next = &blocks[(usize::from(key) + 1) % objects.len()];
            block.set(self.thread, object, key, kind as u8, next);
            // SAFETY: The block stays where it is until the wait is over, which takes it off; the
            // object is one that is alive, and its list belongs to the lock that is held.
            unsafe { object.waiters.insert_tail(&block.entry) };
            count += 1;
        }
        wait.count.store(count, Relaxed);
    }

    /// Sleeps until the wait of the calling thread is over.
    fn sleep(&mut self, deadline: Deadline) -> NTSTATUS {
        const FUNCTION: &str = "KeWaitForSingleObject";
        let thread = self.thread;
        thread
            .wait
            .endless
            .store(deadline == Deadline::Never, Relaxed);
        let is_endless = deadline == Deadline::Never;
        let next_look = || Instant::now() + deadlock::PATIENCE;
        let mut look = (is_endless && !explore::is_on()).then(next_look);
        if is_endless && explore::is_on() {
            // One thread runs at a time: what is so now stays so.
            deadlock::check(self, thread, FUNCTION);
        }
        let mut watch = None;
        loop {
            let status = thread.wait.status.load(Relaxed);
            if status != WAITING {
                return status;
            }
            let until = look.map_or(deadline, Deadline::At);
            if !self.doze(until) || thread.wait.status.load(Relaxed) != WAITING {
                continue;
            }
            if look.take().is_some() {
                let watch = watch.get_or_insert_with(|| {
                    deadlock::check(self, thread, FUNCTION);
                    Watch::new()
                });
                look = watch.look(self, thread, FUNCTION).then(next_look);
            } else {
                self.end(thread, STATUS_TIMEOUT);
            }
        }
    }

    /// Lets go of the lock until somebody wakes the calling thread, or until `deadline`, which is then
    /// true. Does not return if a bug check has stopped the kernel.
    pub fn doze(&mut self, deadline: Deadline) -> bool {
        let wake = &self.thread.wake;
        let timed_out = match deadline {
            _ if explore::is_on() => self.doze_in_schedule(deadline),
            Deadline::At(at) => wake.wait_until(&mut self.guard, at).timed_out(),
            Deadline::Never | Deadline::Now => {
                wake.wait(&mut self.guard);
                false
            }
        };
        if let Some(delay) = fault::delay() {
            MutexGuard::unlocked(&mut self.guard, || std::thread::sleep(delay));
        }
        if kernel::is_dead() {
            super::abandon(self.thread);
            bugcheck::leave(self.thread);
        }
        timed_out
    }

    /// Ends the wait of `thread`, if an alert may, and otherwise the next one that it may.
    pub fn alert(&self, thread: &Thread) {
        let wait = &thread.wait;
        if wait.status.load(Relaxed) == WAITING && wait.alertable.load(Relaxed) {
            self.end(thread, STATUS_ALERTED);
        } else {
            wait.alerted.store(true, Relaxed);
        }
    }

    /// Ends the wait that `thread` may be in for the APC that was queued to it: for a kernel APC the wait is
    /// taken up again when it has run.
    pub fn interrupt_wait(&self, thread: &Thread) {
        let wait = &thread.wait;
        if wait.status.load(Relaxed) != WAITING {
            return;
        }
        if apc::is_deliverable(thread) {
            self.end(thread, STATUS_KERNEL_APC);
        } else if wait.alertable.load(Relaxed) && apc::has_user(thread) {
            self.end(thread, STATUS_USER_APC);
        }
    }

    /// As [`doze`](Self::doze), when threads run one at a time.
    fn doze_in_schedule(&mut self, deadline: Deadline) -> bool {
        let thread = self.thread;
        let reason = if thread.wait.count.load(Relaxed) == 0 {
            explore::Wait::Work
        } else {
            explore::Wait::Driver
        };
        let deadline = match deadline {
            Deadline::At(at) => Some(clock::units_at(at)),
            Deadline::Never | Deadline::Now => None,
        };
        thread.in_dispatcher.store(false, Relaxed);
        let end = MutexGuard::unlocked(&mut self.guard, || explore::wait(reason, deadline));
        thread.in_dispatcher.store(true, Relaxed);
        if end == explore::End::Deadlock && !kernel::is_dead() {
            deadlock::nothing_runs(self, thread, "KeWaitForSingleObject");
        }
        end == explore::End::TimedOut
    }

    /// Ends the wait of `thread`.
    fn end(&self, thread: &Thread, status: NTSTATUS) {
        for block in waiting_blocks(thread) {
            // SAFETY: The blocks of a wait are linked until it ends, and the lock is held.
            unsafe { block.entry.remove() }.unwrap_or_else(Corrupt::stop);
        }
        thread.wait.count.store(0, Relaxed);
        thread.wait.status.store(status, Relaxed);
        if !core::ptr::eq(thread, self.thread) {
            thread.wake_up();
        }
    }

    /// Sets the signal state and satisfies the waits that it allows, first come first.
    pub fn signal(&self, object: &Header, state: i32) {
        object.set_state(state);
        self.satisfy_waiters(object);
    }

    /// Satisfies the waits that the state of `object` allows.
    pub fn satisfy_waiters(&self, object: &Header) {
        let head: *const ListEntry = &raw const object.waiters;
        let mut entry = object.waiters.next();
        while object.state() > 0 && !core::ptr::eq(entry, head) {
            // SAFETY: The entry is on the list of waiters, and the lock is held.
            let block = unsafe { WaitBlock::of_entry(entry) };
            entry = block.entry.next();
            // SAFETY: The block is in a wait, and the lock is held.
            let thread = unsafe { block.thread() };
            if block.kind() == WaitKind::Any as u8 {
                let status = abandoned_status(consume(object, thread)) + i32::from(block.key());
                self.end(thread, status);
            } else if !self.satisfy_all(thread) {
                continue;
            }
            // The wait that is over may have had further blocks on this very list: start over.
            entry = object.waiters.next();
        }
    }

    /// Satisfies a wait for all objects if all are signalled now.
    fn satisfy_all(&self, thread: &Thread) -> bool {
        let objects = || {
            let object_of = |block: &'_ WaitBlock| {
                // SAFETY: The block is in a wait, and the lock is held.
                unsafe { block.object() }
            };
            waiting_blocks(thread).iter().map(object_of)
        };
        if !objects().all(|object| is_signalled_for(object, thread)) {
            return false;
        }
        let abandoned = objects().fold(false, |any, object| consume(object, thread) | any);
        self.end(thread, abandoned_status(abandoned));
        true
    }
}

/// The blocks of the wait that `thread` is in. The caller holds the dispatcher lock.
fn waiting_blocks(thread: &Thread) -> &[WaitBlock] {
    let blocks = thread.wait.blocks.load(Relaxed);
    let count = thread.wait.count.load(Relaxed) as usize;
    if count == 0 {
        return &[];
    }
    // SAFETY: A thread in a wait keeps that many blocks there until the wait ends.
    unsafe { core::slice::from_raw_parts(blocks, count) }
}

/// Ends `thread`: the mutexes that it owns are abandoned, and its object is signalled for those who wait for it.
pub fn end_thread(thread: &'static Thread) {
    verifier::check_thread_end(thread);
    abandon_mutexes(thread);
    apc::run_down(thread);
    let dispatcher = super::lock(thread);
    dispatcher.signal(&thread.object.header, 1);
}

fn abandon_mutexes(thread: &'static Thread) {
    let mutants = &thread.object.mutants;
    if mutants.is_empty() {
        return;
    }
    let dispatcher = super::lock(thread);
    while !mutants.is_empty() {
        // SAFETY: What is on the list are mutexes that the thread owns, and the lock is held.
        let mutant = unsafe { Mutant::of_entry(mutants.next()) };
        mutant.abandon(thread);
        dispatcher.satisfy_waiters(&mutant.header);
    }
    drop(dispatcher);
}

/// How often the mutexes that `thread`, the calling one, owns have turned APCs off.
pub fn apcs_off_by_mutexes(thread: &'static Thread) -> i32 {
    let lock = super::lock(thread);
    let head = &thread.object.mutants;
    let (mut count, mut entry) = (0, head.next());
    while !core::ptr::eq(entry, head) {
        // SAFETY: What is on the list are mutexes that the thread owns, and the lock is held.
        count += unsafe { Mutant::of_entry(entry) }.apcs_off();
        // SAFETY: As above.
        entry = unsafe { &*entry }.next();
    }
    drop(lock);
    count
}

/// The address of a mutex that `thread`, the calling one, owns.
pub fn first_mutex(thread: &'static Thread) -> u64 {
    let _dispatcher = super::lock(thread);
    // SAFETY: What is on the list are mutexes that the thread owns, and the lock is held.
    core::ptr::from_ref(unsafe { Mutant::of_entry(thread.object.mutants.next()) }) as u64
}

/// The address of a mutex in a range of memory that some thread owns, and that thread's.
pub fn owned_mutex_in(caller: &'static Thread, range: &Range<u64>) -> Option<(u64, u64)> {
    let _dispatcher = super::lock(caller);
    let mut found = None;
    thread::each(|owner| {
        let head = &owner.object.mutants;
        let mut entry = head.next();
        while owner.object.header.is_waitable() && !core::ptr::eq(entry, head) {
            if range.contains(&(entry as u64)) {
                // SAFETY: What is on the list are mutexes that the thread owns; the lock is held.
                let mutex = core::ptr::from_ref(unsafe { Mutant::of_entry(entry) });
                found = Some((mutex as u64, owner.address()));
            }
            // SAFETY: As above.
            entry = unsafe { &*entry }.next();
        }
    });
    found
}

/// The object that `thread` waits for, if it does for good and nobody but the owners of mutexes and the threads
/// whose end it waits for can end its wait; these; and whether one of them is enough. The caller holds the dispatcher
/// lock.
pub fn keepers(thread: &Thread) -> Option<(u64, Vec<u64>, bool)> {
    let blocks = waiting_blocks(thread);
    if !thread.wait.endless.load(Relaxed) {
        return None;
    }
    let owned = blocks.iter().filter_map(|block| {
        // SAFETY: The block is in a wait, and the lock is held.
        let object = unsafe { block.object() };
        let address = core::ptr::from_ref(object) as u64;
        if object.kind() == object_type::Thread {
            return Some((address, address));
        }
        let owner = object.as_mutant()?.owner();
        (!owner.is_null()).then_some((address, owner as u64))
    });
    let (objects, owners): (Vec<_>, Vec<_>) = owned.unzip();
    let needs_all = blocks.iter().any(|b| b.kind() == WaitKind::All as u8);
    let is_kept = needs_all || owners.len() == blocks.len();
    let first = objects.first().filter(|_| is_kept)?;
    Some((*first, owners, !needs_all))
}
