//! Memory that may be paged out: paged pool, and the sections of images whose names begin with `PAGE`.
//!
//! As Driver Verifier's "Force IRQL Checking" does, it is paged out whenever a thread goes to
//! `DISPATCH_LEVEL`: its pages cannot be accessed then. Who touches it below `DISPATCH_LEVEL` has it paged in
//! by the page fault; who does so at `DISPATCH_LEVEL` stops the kernel. What a thread below `DISPATCH_LEVEL`
//! has paged in again is there for all, until the next one goes to `DISPATCH_LEVEL`.

use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use region::Protection;

use crate::{Rules, verifier};

/// A range of pages that may be paged out.
struct Pageable {
    end: usize,
    /// What may be done with it while it is in.
    access: Protection,
    /// How often it was locked in memory.
    locks: usize,
}

/// All ranges, by their first address.
struct Ranges {
    all: BTreeMap<usize, Pageable>,
    /// Those that are in and not locked.
    resident: BTreeSet<usize>,
}

static RANGES: Mutex<Ranges> = Mutex::new(Ranges {
    all: BTreeMap::new(),
    resident: BTreeSet::new(),
});

/// How many ranges are in and not locked. Going to `DISPATCH_LEVEL` costs one look at this when there is none.
static RESIDENT: AtomicUsize = AtomicUsize::new(0);

/// Whether pageable memory is really paged out.
pub fn is_on() -> bool {
    verifier::checks(Rules::IRQL)
}

/// Makes a range of whole pages pageable, to which this is the access while it is in.
pub fn add(range: &Range<usize>, access: Protection) {
    let mut ranges = RANGES.lock();
    let pageable = Pageable {
        end: range.end,
        access,
        locks: 0,
    };
    ranges.all.insert(range.start, pageable);
    ranges.resident.insert(range.start);
    RESIDENT.store(ranges.resident.len(), Relaxed);
}

/// Forgets the ranges that begin in a range, which is about to be unmapped.
pub fn remove(range: &Range<usize>) {
    let mut ranges = RANGES.lock();
    ranges.all.retain(|start, _| !range.contains(start));
    ranges.resident.retain(|start| !range.contains(start));
    RESIDENT.store(ranges.resident.len(), Relaxed);
}

/// Whether an address may be paged out.
pub fn contains(address: usize) -> bool {
    RANGES.lock().at(address).is_some()
}

/// Whether an address may be paged out and is not locked in memory.
pub fn is_unlocked(address: usize) -> bool {
    let ranges = RANGES.lock();
    ranges
        .at(address)
        .is_some_and(|(_, range)| range.locks == 0)
}

/// Whether an address is paged out.
pub fn is_out(address: usize) -> bool {
    RANGES.lock().is_out(address)
}

/// Pages everything out that is in. A thread that goes to `DISPATCH_LEVEL` calls this.
#[inline]
pub fn page_out() {
    if RESIDENT.load(Relaxed) != 0 {
        page_out_all();
    }
}

#[cold]
fn page_out_all() {
    let mut ranges = RANGES.lock();
    for start in core::mem::take(&mut ranges.resident) {
        if let Some(range) = ranges.all.get(&start) {
            range.protect(start, Protection::NONE);
        }
    }
    RESIDENT.store(0, Relaxed);
}

/// Pages an address in that was accessed below `DISPATCH_LEVEL`. False if the access is not to be had that way.
pub fn page_in(address: usize, access: Protection) -> bool {
    let mut ranges = RANGES.lock();
    let Some((start, range)) = ranges.at(address) else {
        return false;
    };
    if !range.access.contains(access) {
        return false;
    }
    range.protect(start, range.access);
    if range.locks == 0 {
        ranges.resident.insert(start);
        RESIDENT.store(ranges.resident.len(), Relaxed);
    }
    true
}

/// Locks what lies in a range in memory, until [`unlock`] undoes it.
pub fn lock(range: &Range<usize>) {
    RANGES.lock().count_locks(range, |locks| locks + 1);
}

/// Undoes one [`lock`].
pub fn unlock(range: &Range<usize>) {
    RANGES
        .lock()
        .count_locks(range, |locks| locks.saturating_sub(1));
}

impl Ranges {
    /// The range that an address lies in, and its start.
    fn at(&self, address: usize) -> Option<(usize, &Pageable)> {
        let (start, range) = self.all.range(..=address).next_back()?;
        (address < range.end).then_some((*start, range))
    }

    fn is_out(&self, address: usize) -> bool {
        self.at(address)
            .is_some_and(|(start, range)| range.locks == 0 && !self.resident.contains(&start))
    }

    /// Changes how often the ranges that touch a range are locked.
    fn count_locks(&mut self, range: &Range<usize>, change: impl Fn(usize) -> usize) {
        for (&start, pageable) in self.all.range_mut(..range.end) {
            if pageable.end <= range.start {
                continue;
            }
            pageable.locks = change(pageable.locks);
            pageable.protect(start, pageable.access);
            if pageable.locks == 0 {
                self.resident.insert(start);
            } else {
                self.resident.remove(&start);
            }
        }
        RESIDENT.store(self.resident.len(), Relaxed);
    }
}

impl Pageable {
    /// Changes the access to the range, which begins at `start`.
    fn protect(&self, start: usize, access: Protection) {
        let address = crate::address::pointer::<u8>(start as u64);
        // SAFETY: Whoever added the range owns these pages and removes it before they go. Nothing but code of
        // drivers, and functions of this kernel on behalf of it, accesses them, and has a fault resolved.
        let protected = unsafe { region::protect(address, self.end - start, access) };
        debug_assert!(protected.is_ok(), "{protected:?}");
    }
}
