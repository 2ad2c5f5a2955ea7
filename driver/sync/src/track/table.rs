//! A table of fixed size that only grows, so that it is read without a lock at any IRQL.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use super::{TableAt, Writer, offset};

/// Up to `N` entries. One that was added stays where it is and is never changed but by itself.
pub struct Table<T, const N: usize> {
    used: AtomicUsize,
    lost: AtomicU32,
    slots: [UnsafeCell<MaybeUninit<T>>; N],
}

// SAFETY: Entries are shared between threads, and written where no reader looks yet by the one
// writer at a time.
unsafe impl<T: Send + Sync, const N: usize> Sync for Table<T, N> {}

impl<T, const N: usize> Table<T, N> {
    /// An empty table.
    pub const fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            lost: AtomicU32::new(0),
            slots: [const { UnsafeCell::new(MaybeUninit::uninit()) }; N],
        }
    }

    /// Where it is, for a debugger.
    pub const fn place(&'static self) -> TableAt {
        TableAt {
            used: (&raw const self.used).cast(),
            first: self.slots.as_ptr().cast(),
            stride: offset(size_of::<T>()),
            capacity: offset(N),
        }
    }

    /// Adds an entry and gives its index. A full table counts what it has no room for.
    pub fn push(&self, _writer: &mut Writer, entry: T) -> Option<usize> {
        let index = self.used.load(Ordering::Relaxed);
        let Some(slot) = self.slots.get(index) else {
            self.lose();
            return None;
        };
        // SAFETY: There is one writer, and no reader looks beyond `used`.
        unsafe { (*slot.get()).write(entry) };
        self.used.store(index + 1, Ordering::Release);
        Some(index)
    }

    /// Counts something that was to be added and was not.
    pub fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether nothing more can be added.
    #[cfg(feature = "lockdep")]
    pub fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= N
    }

    /// The entry of this index.
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.used.load(Ordering::Acquire) {
            return None;
        }
        let slot = self.slots.get(index)?;
        // SAFETY: Nobody writes below `used` any more.
        let slot = unsafe { &*slot.get() };
        // SAFETY: Everything below `used` was initialised before `used` told of it.
        Some(unsafe { slot.assume_init_ref() })
    }

    /// All entries that are there by now.
    pub fn iter(&self) -> impl Iterator<Item = &T> + use<'_, T, N> {
        let used = self.used.load(Ordering::Acquire);
        (0..used).filter_map(|index| self.get(index))
    }

    /// How full the table is.
    pub fn fill(&self) -> Fill {
        Fill {
            used: self.used.load(Ordering::Relaxed),
            capacity: N,
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Entries that are there.
    pub used: usize,
    /// Entries that there can be.
    pub capacity: usize,
    /// How often there was no room. What would have been there is unknown to what is reported.
    pub lost: u32,
}
