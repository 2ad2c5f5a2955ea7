//! `LIST_ENTRY` as the kernel itself uses it: in memory that driver code and debuggers see.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A [`nt_abi::LIST_ENTRY`] of which both links are atomic, because its memory is shared with code
/// that this kernel does not control. What orders the accesses is the lock that owns the list.
#[repr(C)]
pub struct ListEntry {
    flink: AtomicPtr<Self>,
    blink: AtomicPtr<Self>,
}

const _: () = assert!(size_of::<ListEntry>() == size_of::<nt_abi::LIST_ENTRY>());

impl ListEntry {
    /// An entry that is on no list and is no list.
    pub const fn unlinked() -> Self {
        Self {
            flink: AtomicPtr::new(ptr::null_mut()),
            blink: AtomicPtr::new(ptr::null_mut()),
        }
    }

    const fn address(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }

    /// Makes this the head of an empty list (`InitializeListHead`).
    pub fn initialize(&self) {
        self.flink.store(self.address(), Ordering::Relaxed);
        self.blink.store(self.address(), Ordering::Relaxed);
    }

    /// Makes the links null, which they are not on any list.
    pub fn unlink(&self) {
        self.flink.store(ptr::null_mut(), Ordering::Release);
        self.blink.store(ptr::null_mut(), Ordering::Release);
    }

    /// Whether the links hold anything: false in memory that was zeroed and never initialised.
    pub fn is_linked(&self) -> bool {
        !self.flink.load(Ordering::Relaxed).is_null()
            && !self.blink.load(Ordering::Relaxed).is_null()
    }

    /// Whether the list that this is the head of has no entry (`IsListEmpty`).
    pub fn is_empty(&self) -> bool {
        self.flink.load(Ordering::Relaxed) == self.address()
    }

    /// The entry after this one.
    pub fn next(&self) -> *mut Self {
        self.flink.load(Ordering::Relaxed)
    }

    /// The entry before this one.
    pub fn previous(&self) -> *mut Self {
        self.blink.load(Ordering::Relaxed)
    }

    /// Whether both neighbours point back here: what Windows checks before it unlinks an entry.
    ///
    /// # Safety
    ///
    /// The neighbours must be list entries that are alive.
    unsafe fn is_consistent(&self) -> bool {
        // SAFETY: The caller promises that the next entry is alive.
        let next = unsafe { &*self.flink.load(Ordering::Relaxed) };
        // SAFETY: The caller promises that the previous entry is alive.
        let previous = unsafe { &*self.blink.load(Ordering::Relaxed) };
        next.blink.load(Ordering::Relaxed) == self.address()
            && previous.flink.load(Ordering::Relaxed) == self.address()
    }

    /// Appends `entry` to the list that this is the head of (`InsertTailList`).
    ///
    /// # Safety
    ///
    /// Both must stay where they are while they are linked, the list's entries must be alive, and the
    /// caller must hold the lock of the list.
    pub unsafe fn insert_tail(&self, entry: &Self) {
        let last = self.blink.load(Ordering::Relaxed);
        entry.flink.store(self.address(), Ordering::Relaxed);
        entry.blink.store(last, Ordering::Relaxed);
        // SAFETY: The last entry of a list is alive, by the contract of this function.
        unsafe { &*last }
            .flink
            .store(entry.address(), Ordering::Relaxed);
        self.blink.store(entry.address(), Ordering::Relaxed);
    }

    /// Puts `entry` first on the list that this is the head of (`InsertHeadList`).
    ///
    /// # Safety
    ///
    /// As for [`Self::insert_tail`].
    pub unsafe fn insert_head(&self, entry: &Self) {
        let first = self.flink.load(Ordering::Relaxed);
        entry.flink.store(first, Ordering::Relaxed);
        entry.blink.store(self.address(), Ordering::Relaxed);
        // SAFETY: The first entry of a list is alive, by the contract of this function.
        unsafe { &*first }
            .blink
            .store(entry.address(), Ordering::Relaxed);
        self.flink.store(entry.address(), Ordering::Relaxed);
    }

    /// Unlinks this entry (`RemoveEntryList`) and leaves it as an empty list.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the neighbours do not point back here, and then nothing is changed.
    ///
    /// # Safety
    ///
    /// It must be linked, its neighbours alive, and the caller must hold the lock of the list.
    pub unsafe fn remove(&self) -> Result<(), Corrupt> {
        // SAFETY: The neighbours are alive by the contract of this function.
        if !unsafe { self.is_consistent() } {
            return Err(Corrupt(self.address() as u64));
        }
        let next = self.flink.load(Ordering::Relaxed);
        let previous = self.blink.load(Ordering::Relaxed);
        // SAFETY: The neighbours are alive by the contract of this function.
        unsafe { &*previous }.flink.store(next, Ordering::Relaxed);
        // SAFETY: As above.
        unsafe { &*next }.blink.store(previous, Ordering::Relaxed);
        self.initialize();
        Ok(())
    }
}

/// A list entry whose neighbours do not point back to it.
#[must_use]
#[derive(Debug)]
pub struct Corrupt(u64);

impl Corrupt {
    /// Stops the kernel as Windows does when it finds such an entry: bug check 0x139 (3). No lock but
    /// that of the dispatcher may be held.
    pub fn stop(self) {
        crate::bugcheck::raise(
            nt_abi::bugcheck::KERNEL_SECURITY_CHECK_FAILURE,
            [3, 0, self.0, 0],
            "RemoveEntryList",
            "A list of the kernel is corrupt: the neighbours of an entry do not point back to it.",
        );
    }
}
