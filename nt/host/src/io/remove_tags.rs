//! Who has acquired which remove lock, by their tags: what Driver Verifier keeps beside each lock.
//!
//! Sources: the pages of the functions, and of bug check 0xC4 (0xD5, 0xD6, 0xD7).

use core::ops::Range;
use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{Rules, verifier};

/// The tags that each lock is acquired with, by the address of the lock.
static LOCKS: Mutex<BTreeMap<u64, Vec<u64>>> = Mutex::new(BTreeMap::new());

/// Notes that a lock is initialised; `was_initialized` says whether its memory looks as if it were already. One that
/// is known, too, is bug check 0xC4 (0xD7).
pub fn initialize(lock: u64, was_initialized: bool, function: &'static str) {
    if !verifier::checks(Rules::IO) {
        return;
    }
    let was_known = LOCKS.lock().insert(lock, Vec::new()).is_some();
    if was_known && was_initialized {
        let sentence = "The remove lock is initialised again, which it cannot be.";
        verifier::violation(0xD7, [lock, lock, 0], function, sentence);
    }
}

/// Notes that a lock is acquired.
pub fn acquire(lock: u64, tag: u64) {
    if let Some(tags) = LOCKS.lock().get_mut(&lock) {
        tags.push(tag);
    }
}

/// Takes the tag of an acquisition back, or says with which one the lock was acquired last, 0 if with none.
fn take(lock: u64, tag: u64) -> Result<(), u64> {
    LOCKS.lock().get_mut(&lock).map_or(Ok(()), |tags| {
        let found = tags.iter().rposition(|held| *held == tag);
        let at = found.ok_or_else(|| tags.last().copied().unwrap_or(0))?;
        tags.swap_remove(at);
        Ok(())
    })
}

/// Notes that a lock is released. A tag that it is not acquired with is bug check 0xC4 (0xD5).
pub fn release(lock: u64, tag: u64, function: &'static str) {
    if take(lock, tag).is_err() {
        let sentence = "The remove lock is not acquired with this tag.";
        verifier::violation(0xD5, [lock, tag, 0], function, sentence);
    }
}

/// Notes that a lock is released for the last time. A tag that it is not acquired with is bug check 0xC4 (0xD6).
pub fn release_last(lock: u64, tag: u64, function: &'static str) {
    if let Err(previous) = take(lock, tag) {
        let sentence = "The remove lock is not acquired with this tag.";
        verifier::violation(0xD6, [lock, tag, previous], function, sentence);
    }
}

/// Forgets the locks in a range of memory, which is freed.
pub fn forget(range: &Range<u64>) {
    LOCKS.lock().retain(|lock, _| !range.contains(lock));
}
