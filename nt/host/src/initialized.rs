//! Locks that are initialised, so that it is seen when one is again: bug check 0xC4 (0x1005).
//!
//! A lock is known by its address, in pool or in an image. Pool that is freed, also to a list of free blocks, and an
//! image that is unloaded are forgotten; memory elsewhere, a stack for instance, comes and goes unseen and is not
//! watched.

use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::{
    Rules,
    address::to_usize,
    ex::pool,
    loader::registry,
    verifier::{self, checks},
};

static LOCKS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// How many there are. To recycle memory costs one look at this when there is none.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Notes that the lock at an address is initialised. One that is already stops the kernel.
pub fn note(lock: u64, noun: &str, function: &'static str) {
    if !checks(Rules::LOCKS) {
        return;
    }
    if !pool::contains(lock) && registry::locate(to_usize(lock)).is_none() {
        return;
    }
    let mut locks = LOCKS.lock();
    let is_new = locks.insert(lock);
    COUNT.store(locks.len(), Relaxed);
    drop(locks);
    if !is_new {
        let sentence =
            format!("The {noun} is initialised already, and its memory was not freed since.");
        verifier::violation(0x1005, [lock, 0, 0], function, sentence);
    }
}

/// Forgets the locks in a range of memory, which is freed.
pub fn forget(range: &Range<u64>) {
    if COUNT.load(Relaxed) != 0 {
        let mut locks = LOCKS.lock();
        while let Some(&lock) = locks.range(range.clone()).next() {
            locks.remove(&lock);
        }
        COUNT.store(locks.len(), Relaxed);
    }
}

/// Forgets the locks in the block of pool that begins at an address, which goes to a list of free blocks.
pub fn forget_block(address: u64) {
    if COUNT.load(Relaxed) != 0
        && let Some(size) = pool::size_of_block(address)
    {
        forget(&(address..address + size));
    }
}
