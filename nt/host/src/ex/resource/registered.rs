//! The ERESOURCEs that are initialised.

use core::ops::Range;
use std::collections::{BTreeSet, HashSet};

use rustc_hash::FxBuildHasher;

/// Addresses of ERESOURCEs.
///
/// Every acquisition and release looks for one address, which takes as long for each of many; memory that
/// is freed looks for those in a range.
pub struct Registered {
    known: HashSet<u64, FxBuildHasher>,
    ordered: BTreeSet<u64>,
}

impl Registered {
    pub const fn new() -> Self {
        Self {
            known: HashSet::with_hasher(FxBuildHasher),
            ordered: BTreeSet::new(),
        }
    }

    /// False if it is there already.
    pub fn insert(&mut self, address: u64) -> bool {
        self.ordered.insert(address);
        self.known.insert(address)
    }

    pub fn remove(&mut self, address: u64) {
        self.ordered.remove(&address);
        self.known.remove(&address);
    }

    #[inline]
    pub fn contains(&self, address: u64) -> bool {
        self.known.contains(&address)
    }

    /// The first one in a range.
    pub fn find_in(&self, range: &Range<u64>) -> Option<u64> {
        self.ordered.range(range.clone()).next().copied()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.ordered.iter().copied()
    }
}
