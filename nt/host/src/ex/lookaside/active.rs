//! The lookaside lists that are initialised and not deleted.
//!
//! A list that lies in pool or in an image is known until it is deleted, its memory is freed or the image is unloaded;
//! memory elsewhere, a stack for instance, comes and goes unseen, and may become a list again.

use core::ops::Range;
use std::collections::BTreeMap;

use nt_abi::PVOID;
use parking_lot::Mutex;

use crate::{Rules, address::to_usize, ex::pool, loader::registry, verifier};

/// The lists by address, each with its two routines.
static LISTS: Mutex<BTreeMap<u64, [u64; 2]>> = Mutex::new(BTreeMap::new());

/// Notes that a list is initialised. One that is there already is bug check 0xC4 (0xCA).
pub fn note(list: u64, routines: [PVOID; 2], function: &'static str) {
    let routines = routines.map(|routine| routine as u64);
    let was_there = LISTS.lock().insert(list, routines).is_some();
    let is_watched = || pool::contains(list) || registry::locate(to_usize(list)).is_some();
    if was_there && verifier::checks(Rules::LOCKS) && is_watched() {
        let sentence = "The lookaside list is initialised already, and was not deleted since.";
        verifier::violation(0xCA, [list, 0, 0], function, sentence);
    }
}

/// Notes that a list is deleted. One that is not there is bug check 0xC4 (0xCB).
pub fn remove(list: u64, function: &'static str) {
    let was_there = LISTS.lock().remove(&list).is_some();
    if !was_there && verifier::checks(Rules::LOCKS) {
        let sentence = "What is deleted is no lookaside list, or is one no longer.";
        verifier::violation(0xCB, [list, 0, 0], function, sentence);
    }
}

/// The lists that were not deleted.
pub fn left() -> Vec<u64> {
    LISTS.lock().keys().copied().collect()
}

/// The first list in a range of memory.
pub fn find_in(range: &Range<u64>) -> Option<u64> {
    let lists = LISTS.lock();
    lists.range(range.clone()).next().map(|(&list, _)| list)
}

/// A list with a routine in a range of memory.
pub fn find_calling(range: &Range<u64>) -> Option<u64> {
    let calls = |(&list, routines): (&u64, &[u64; 2])| {
        let mut routines = routines.iter();
        routines
            .any(|routine| range.contains(routine))
            .then_some(list)
    };
    LISTS.lock().iter().find_map(calls)
}

/// Forgets the lists in a range of memory, which is freed.
pub fn forget(range: &Range<u64>) {
    LISTS.lock().retain(|list, _| !range.contains(list));
}
