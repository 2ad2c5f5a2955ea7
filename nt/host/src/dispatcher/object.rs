//! Dispatcher objects in the memory of their owners, with atomic fields.
//!
//! Drivers own the memory, and inline functions of the WDK headers read it without any lock
//! (`KeReadStateEvent`), hence the atomics; what orders the accesses is the dispatcher lock.

use core::{
    mem::offset_of,
    sync::atomic::{
        AtomicI32, AtomicPtr, AtomicU8, AtomicU16,
        Ordering::{self, Relaxed},
    },
};

use nt_abi::{DISPATCHER_HEADER, KMUTANT, KWAIT_BLOCK, LONG, object_type};

use crate::{
    list::{Corrupt, ListEntry},
    thread::Thread,
};

/// A [`DISPATCHER_HEADER`].
#[repr(C)]
pub struct Header {
    kind: AtomicU8,
    signalling: AtomicU8,
    size: AtomicU8,
    /// `DpcActive` of a mutex: how many of its owner's acquisitions were at `DISPATCH_LEVEL`, at most 255.
    dpc_active: AtomicU8,
    state: AtomicI32,
    /// The wait blocks of those who wait.
    pub waiters: ListEntry,
}

const _: () = {
    assert!(size_of::<Header>() == size_of::<DISPATCHER_HEADER>());
    assert!(offset_of!(Header, state) == offset_of!(DISPATCHER_HEADER, SignalState));
    assert!(offset_of!(Header, waiters) == offset_of!(DISPATCHER_HEADER, WaitListHead));
};

impl Header {
    /// A header that [`Self::initialize`] must make one when it has its place.
    pub const fn uninitialized() -> Self {
        Self {
            kind: AtomicU8::new(0),
            signalling: AtomicU8::new(0),
            size: AtomicU8::new(0),
            dpc_active: AtomicU8::new(0),
            state: AtomicI32::new(0),
            waiters: ListEntry::unlinked(),
        }
    }

    /// Makes this the header of an object of `kind` (see [`object_type`]) and `size` bytes.
    pub fn initialize(&self, kind: u8, size: usize, state: LONG) {
        self.kind.store(kind, Relaxed);
        self.signalling.store(0, Relaxed);
        // `Size` counts 32 bit words; that of a thread does not fit, on Windows either.
        self.size.store((size / 4).to_le_bytes()[0], Relaxed);
        self.dpc_active.store(0, Relaxed);
        self.state.store(state, Relaxed);
        self.waiters.initialize();
    }

    /// What the object is: see [`object_type`].
    pub fn kind(&self) -> u8 {
        self.kind.load(Relaxed)
    }

    /// The signal state. Acquire, for those who look without the lock.
    pub fn state(&self) -> LONG {
        self.state.load(Ordering::Acquire)
    }

    /// Changes the signal state without satisfying any wait.
    pub fn set_state(&self, state: LONG) {
        self.state.store(state, Ordering::Release);
    }

    /// Whether this is an object that was initialised and that can be waited for.
    pub fn is_waitable(&self) -> bool {
        self.waiters.is_linked()
            && matches!(
                self.kind(),
                object_type::NotificationEvent
                    | object_type::SynchronizationEvent
                    | object_type::Mutant
                    | object_type::Process
                    | object_type::Semaphore
                    | object_type::Thread
                    | object_type::NotificationTimer
                    | object_type::SynchronizationTimer
            )
    }

    /// The object as a mutex, if it is one.
    pub fn as_mutant(&self) -> Option<&Mutant> {
        if self.kind() != object_type::Mutant {
            return None;
        }
        // SAFETY: An object of this kind is a KMUTANT, whose header this is; its owner vouched for
        // the whole of it by calling KeInitializeMutex.
        Some(unsafe { &*core::ptr::from_ref(self).cast::<Mutant>() })
    }
}

/// A [`KMUTANT`].
#[repr(C)]
pub struct Mutant {
    /// The state is 1 when free, 0 when owned, and less by one for each further acquisition.
    pub header: Header,
    /// On the owner's list.
    pub entry: ListEntry,
    owner: AtomicPtr<Thread>,
    abandoned: AtomicU8,
    apc_disable: AtomicU8,
}

const _: () = {
    assert!(size_of::<Mutant>() == size_of::<KMUTANT>());
    assert!(offset_of!(Mutant, entry) == offset_of!(KMUTANT, MutantListEntry));
    assert!(offset_of!(Mutant, owner) == offset_of!(KMUTANT, OwnerThread));
    assert!(offset_of!(Mutant, apc_disable) == offset_of!(KMUTANT, ApcDisable));
};

impl Mutant {
    /// Makes this a free mutex that turns normal kernel APCs off for its owner.
    pub fn initialize(&self) {
        self.header
            .initialize(object_type::Mutant, size_of::<KMUTANT>(), 1);
        self.entry.initialize();
        self.owner.store(core::ptr::null_mut(), Relaxed);
        self.abandoned.store(0, Relaxed);
        self.apc_disable.store(1, Relaxed);
    }

    /// The owning thread, or null.
    pub fn owner(&self) -> *mut Thread {
        self.owner.load(Relaxed)
    }

    /// Whether `thread` owns the mutex.
    pub fn is_owned_by(&self, thread: &Thread) -> bool {
        core::ptr::eq(self.owner(), thread)
    }

    /// Whether `thread`, its owner, has acquired the mutex on the side of `DISPATCH_LEVEL` on which it is now, and not
    /// released it since. True of one that was acquired more often at `DISPATCH_LEVEL` than is counted.
    pub fn was_acquired_on_side_of(&self, thread: &Thread) -> bool {
        let at_dispatch = self.header.dpc_active.load(Relaxed);
        if thread.is_at_dispatch() || at_dispatch == u8::MAX {
            return at_dispatch != 0;
        }
        self.header.state() <= -LONG::from(at_dispatch)
    }

    /// Whether its owner ended while it owned it, and nobody has acquired it since.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed) != 0
    }

    /// How often its owner has APCs off for it: once, however often it was acquired.
    pub fn apcs_off(&self) -> i32 {
        self.apc_disable.load(Relaxed).into()
    }

    /// Gives the mutex, which is free or its own, to `thread`. Returns whether it had been abandoned.
    pub fn take(&self, thread: &Thread) -> bool {
        let state = self.header.state() - 1;
        self.header.set_state(state);
        if thread.is_at_dispatch() {
            let at_dispatch = self.header.dpc_active.load(Relaxed).saturating_add(1);
            self.header.dpc_active.store(at_dispatch, Relaxed);
        }
        if state != 0 {
            return false;
        }
        thread
            .object
            .add_kernel_apc_disable(-i16::from(self.apc_disable.load(Relaxed)));
        self.owner
            .store(core::ptr::from_ref(thread).cast_mut(), Relaxed);
        // SAFETY: The thread's list holds the mutexes that it owns, which cannot be freed while
        // they are owned; the caller holds the dispatcher lock.
        unsafe { thread.object.mutants.insert_tail(&self.entry) };
        self.abandoned.swap(0, Relaxed) != 0
    }

    /// Undoes one acquisition by `thread`, its owner, on this side of `DISPATCH_LEVEL`. Returns the state that it had.
    pub fn put(&self, thread: &Thread) -> LONG {
        let previous = self.header.state();
        self.header.set_state(previous + 1);
        let at_dispatch = self.header.dpc_active.load(Relaxed);
        if thread.is_at_dispatch() && at_dispatch != u8::MAX {
            self.header.dpc_active.store(at_dispatch - 1, Relaxed);
        }
        if previous == 0 {
            self.free(thread);
        }
        previous
    }

    /// Frees the mutex however often `thread`, which ends, has acquired it.
    pub fn abandon(&self, thread: &Thread) {
        self.abandoned.store(1, Relaxed);
        self.header.set_state(1);
        self.free(thread);
    }

    fn free(&self, thread: &Thread) {
        self.header.dpc_active.store(0, Relaxed);
        self.owner.store(core::ptr::null_mut(), Relaxed);
        // SAFETY: It was put on its owner's list when it was taken, and its neighbours there are
        // mutexes that the thread owns; the caller holds the dispatcher lock.
        unsafe { self.entry.remove() }.unwrap_or_else(Corrupt::stop);
        thread
            .object
            .add_kernel_apc_disable(i16::from(self.apc_disable.load(Relaxed)));
    }

    /// The mutex whose `MutantListEntry` is at `entry`.
    ///
    /// # Safety
    ///
    /// `entry` must be on a thread's list of mutexes.
    pub unsafe fn of_entry<'a>(entry: *mut ListEntry) -> &'a Self {
        let mutant = entry
            .wrapping_byte_sub(offset_of!(Self, entry))
            .cast::<Self>();
        // SAFETY: What is on such a list is the `entry` of a mutex that is owned, hence alive.
        unsafe { &*mutant }
    }
}

/// A [`KWAIT_BLOCK`]: one object that a thread waits for.
#[repr(C)]
pub struct WaitBlock {
    /// On the object's list of waiters.
    pub entry: ListEntry,
    thread: AtomicPtr<Thread>,
    object: AtomicPtr<Header>,
    next: AtomicPtr<Self>,
    key: AtomicU16,
    kind: AtomicU8,
    block_state: AtomicU8,
    spare: AtomicI32,
}

const _: () = {
    assert!(size_of::<WaitBlock>() == size_of::<KWAIT_BLOCK>());
    assert!(offset_of!(WaitBlock, thread) == offset_of!(KWAIT_BLOCK, Thread));
    assert!(offset_of!(WaitBlock, key) == offset_of!(KWAIT_BLOCK, WaitKey));
};

impl WaitBlock {
    /// A block that is in no wait.
    pub const fn new() -> Self {
        Self {
            entry: ListEntry::unlinked(),
            thread: AtomicPtr::new(core::ptr::null_mut()),
            object: AtomicPtr::new(core::ptr::null_mut()),
            next: AtomicPtr::new(core::ptr::null_mut()),
            key: AtomicU16::new(0),
            kind: AtomicU8::new(0),
            block_state: AtomicU8::new(0),
            spare: AtomicI32::new(0),
        }
    }

    /// Fills the block in for the `key`th object of a wait.
    pub fn set(&self, thread: &Thread, object: &Header, key: u16, kind: u8, next: &Self) {
        self.thread
            .store(core::ptr::from_ref(thread).cast_mut(), Relaxed);
        self.object
            .store(core::ptr::from_ref(object).cast_mut(), Relaxed);
        self.next
            .store(core::ptr::from_ref(next).cast_mut(), Relaxed);
        self.key.store(key, Relaxed);
        self.kind.store(kind, Relaxed);
    }

    /// The block whose list entry is at `entry`.
    ///
    /// # Safety
    ///
    /// `entry` must be on an object's list of waiters, and the caller must hold the dispatcher lock.
    pub unsafe fn of_entry<'a>(entry: *mut ListEntry) -> &'a Self {
        const { assert!(offset_of!(Self, entry) == 0) };
        // SAFETY: What is on such a list are the entries of wait blocks, of threads that wait.
        unsafe { &*entry.cast::<Self>() }
    }

    /// The thread that waits.
    ///
    /// # Safety
    ///
    /// The block must be in a wait, and the caller must hold the dispatcher lock.
    pub unsafe fn thread<'a>(&self) -> &'a Thread {
        // SAFETY: A thread that waits is alive.
        unsafe { &*self.thread.load(Relaxed) }
    }

    /// The object that is waited for.
    ///
    /// # Safety
    ///
    /// As for [`Self::thread`].
    pub unsafe fn object<'a>(&self) -> &'a Header {
        // SAFETY: An object that is waited for is alive; to free it would be the driver's error.
        unsafe { &*self.object.load(Relaxed) }
    }

    /// The index of the object in its wait.
    pub fn key(&self) -> u16 {
        self.key.load(Relaxed)
    }

    /// `WaitAll` or `WaitAny`.
    pub fn kind(&self) -> u8 {
        self.kind.load(Relaxed)
    }
}
