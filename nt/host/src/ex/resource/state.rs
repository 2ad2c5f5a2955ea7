//! An ERESOURCE in its documented layout: its owners and those who wait for it.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicI16, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use nt_abi::{ERESOURCE, OWNER_ENTRY, PERESOURCE, ResourceOwnedExclusive, object_type};

use crate::{
    dispatcher::{Dispatcher, Header},
    list::ListEntry,
    thread::Thread,
    verifier,
};

/// An [`OWNER_ENTRY`]: an owner, and how often it has acquired the resource.
#[repr(C)]
pub struct Owner {
    /// The thread, or an owner pointer, of which both low bits are set; 0 if the entry is free.
    id: AtomicU64,
    /// The count above three bits of flags; in the first entry of a table, the size of the table.
    count: AtomicU32,
    padding: u32,
}

const _: () = {
    assert!(size_of::<Owner>() == size_of::<OWNER_ENTRY>());
    assert!(offset_of!(Owner, count) == offset_of!(OWNER_ENTRY, OwnerCount));
};

/// `OwnerCount` begins at this bit.
const COUNT_SHIFT: u32 = 3;

impl Owner {
    const fn free() -> Self {
        Self {
            id: AtomicU64::new(0),
            count: AtomicU32::new(0),
            padding: 0,
        }
    }

    pub fn id(&self) -> u64 {
        self.id.load(Relaxed)
    }

    /// How often the owner has acquired the resource.
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed) >> COUNT_SHIFT
    }

    pub fn set(&self, id: u64, count: u32) {
        self.id.store(id, Relaxed);
        self.count.store(count << COUNT_SHIFT, Relaxed);
    }

    /// Counts one more acquisition.
    pub fn add(&self) {
        self.set(self.id(), self.count() + 1);
    }
}

/// An [`ERESOURCE`] with atomic fields. All but [`Self::at`] is for those who hold the dispatcher lock.
#[repr(C)]
pub struct ExecutiveResource {
    /// On the list of all resources.
    pub list: ListEntry,
    table: AtomicPtr<Owner>,
    active_count: AtomicI16,
    flag: AtomicU16,
    shared_waiters: AtomicPtr<Header>,
    exclusive_waiters: AtomicPtr<Header>,
    /// The exclusive owner, or the first of those who share it.
    first: Owner,
    active_entries: AtomicU32,
    contention: AtomicU32,
    shared_waiting: AtomicU32,
    exclusive_waiting: AtomicU32,
    reserved: AtomicU64,
    address: AtomicU64,
    spin_lock: AtomicU64,
}

const _: () = {
    assert!(size_of::<ExecutiveResource>() == size_of::<ERESOURCE>());
    assert!(offset_of!(ExecutiveResource, table) == offset_of!(ERESOURCE, OwnerTable));
    assert!(offset_of!(ExecutiveResource, active_count) == offset_of!(ERESOURCE, ActiveCount));
    assert!(
        offset_of!(ExecutiveResource, exclusive_waiters) == offset_of!(ERESOURCE, ExclusiveWaiters)
    );
    assert!(offset_of!(ExecutiveResource, first) == offset_of!(ERESOURCE, OwnerEntry));
    assert!(offset_of!(ExecutiveResource, contention) == offset_of!(ERESOURCE, ContentionCount));
    assert!(
        offset_of!(ExecutiveResource, exclusive_waiting)
            == offset_of!(ERESOURCE, NumberOfExclusiveWaiters)
    );
    assert!(offset_of!(ExecutiveResource, spin_lock) == offset_of!(ERESOURCE, SpinLock));
};

/// Which of the two queues of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Several at once.
    Shared,
    /// One alone.
    Exclusive,
}

/// The entries of an owner table when it is first needed, and by how many it grows.
const TABLE_STEP: usize = 4;

impl ExecutiveResource {
    /// The resource at an address that a driver gives; one that is not aligned is bug check 0xC4 (0x3D).
    ///
    /// # Safety
    ///
    /// `resource` must point to memory for an ERESOURCE that stays where it is.
    pub unsafe fn at<'a>(resource: PERESOURCE, function: &'static str) -> &'a Self {
        if !resource.is_aligned() {
            let sentence = "The resource is not aligned.";
            verifier::violation(0x3D, [0, 0, resource as u64], function, sentence);
        }
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { &*resource.cast::<Self>() }
    }

    pub fn key(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    /// Makes this a free resource, of which nothing but its memory is known.
    pub fn clear(&self) {
        self.list.initialize();
        self.table.store(ptr::null_mut(), Relaxed);
        self.shared_waiters.store(ptr::null_mut(), Relaxed);
        self.exclusive_waiters.store(ptr::null_mut(), Relaxed);
        self.reserved.store(0, Relaxed);
        self.address.store(0, Relaxed);
        self.spin_lock.store(0, Relaxed);
        self.reset();
    }

    /// Forgets owners, waiters and contention, and keeps the memory that was given to the resource.
    pub fn reset(&self) {
        self.owners().for_each(|owner| owner.set(0, 0));
        self.active_count.store(0, Relaxed);
        self.flag.store(0, Relaxed);
        self.active_entries.store(0, Relaxed);
        self.contention.store(0, Relaxed);
        self.shared_waiting.store(0, Relaxed);
        self.exclusive_waiting.store(0, Relaxed);
    }

    /// Frees the memory that was given to the resource.
    pub fn free_memory(&self) {
        let table = self.table.swap(ptr::null_mut(), Relaxed);
        if !table.is_null() {
            free_table(table);
        }
        for waiters in [&self.shared_waiters, &self.exclusive_waiters] {
            let header = waiters.swap(ptr::null_mut(), Relaxed);
            if !header.is_null() {
                // SAFETY: `queue` leaked this box, and nobody waits on a resource that is deleted.
                drop(unsafe { Box::from_raw(header) });
            }
        }
    }

    /// Checks that the resource is initialised; if not, bug check 0xC4 (0x1002).
    pub fn check(&self, dispatcher: &mut Dispatcher, function: &'static str) {
        if !dispatcher.state().resources.contains(self.key()) {
            verifier::violation(
                0x1002,
                [self.key(), 0, 0],
                function,
                "The object is not an ERESOURCE that was initialised.",
            );
        }
    }

    /// The owner table after its first entry, which holds its size.
    fn table(&self) -> &[Owner] {
        let table = self.table.load(Relaxed);
        // SAFETY: A table stays where it is until it is replaced under the lock that the caller holds.
        let Some(head) = (unsafe { table.as_ref() }) else {
            return &[];
        };
        let size = head.count.load(Relaxed) as usize;
        // SAFETY: The first entry holds the size of the table.
        let entries = unsafe { core::slice::from_raw_parts(table, size) };
        &entries[1..]
    }

    /// All entries, used and free.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        core::iter::once(&self.first).chain(self.table())
    }

    /// The entry of an owner.
    pub fn owner(&self, id: u64) -> Option<&Owner> {
        self.owners().find(|owner| owner.id() == id)
    }

    /// The exclusive owner, or the first of those who share it.
    pub const fn first(&self) -> &Owner {
        &self.first
    }

    pub fn table_address(&self) -> u64 {
        self.table.load(Relaxed) as u64
    }

    pub fn is_free(&self) -> bool {
        self.active_entries.load(Relaxed) == 0
    }

    pub fn is_exclusive(&self) -> bool {
        self.flag.load(Relaxed) & ResourceOwnedExclusive != 0
    }

    pub fn is_exclusively_owned_by(&self, id: u64) -> bool {
        self.is_exclusive() && self.first.id() == id
    }

    pub fn set_exclusive(&self, exclusive: bool) {
        let flag = self.flag.load(Relaxed) & !ResourceOwnedExclusive;
        self.flag.store(
            flag | if exclusive { ResourceOwnedExclusive } else { 0 },
            Relaxed,
        );
    }

    /// Records an owner that has none yet.
    pub fn add_owner(&self, id: u64, count: u32) {
        match self.owners().find(|owner| owner.id() == 0) {
            Some(entry) => entry.set(id, count),
            None => self.grow_table().set(id, count),
        }
        self.count_owners(1);
    }

    /// Forgets an owner.
    pub fn remove_owner(&self, owner: &Owner) {
        owner.set(0, 0);
        self.count_owners(-1);
    }

    fn count_owners(&self, change: i16) {
        let count = self.active_count.load(Relaxed) + change;
        self.active_count.store(count, Relaxed);
        self.active_entries
            .store(u32::from(count.unsigned_abs()), Relaxed);
    }

    /// Makes the owner table larger, and returns its first free entry.
    fn grow_table(&self) -> &Owner {
        let old = self.table();
        let size = old.len() + 1 + TABLE_STEP;
        let mut entries: Vec<Owner> = (0..size).map(|_| Owner::free()).collect();
        let table_size = u32::try_from(size).unwrap_or(u32::MAX);
        entries[0].count = AtomicU32::new(table_size);
        for (new, old) in entries[1..].iter().zip(old) {
            new.set(old.id(), old.count());
        }
        let free = old.len();
        let table = Box::into_raw(entries.into_boxed_slice()).cast::<Owner>();
        let old = self.table.swap(table, Relaxed);
        if !old.is_null() {
            free_table(old);
        }
        &self.table()[free]
    }

    pub fn contention(&self) -> u32 {
        self.contention.load(Relaxed)
    }

    pub fn add_contention(&self) {
        self.contention.fetch_add(1, Relaxed);
    }

    /// How many wait.
    pub fn waiting(&self, access: Access) -> u32 {
        self.counter(access).load(Relaxed)
    }

    /// Whether somebody waits who can be admitted: not one who runs an APC meanwhile, who will ask again.
    pub fn has_waiter(&self, access: Access) -> bool {
        self.waiting(access) != 0 && !self.queue(access).waiters.is_empty()
    }

    pub fn add_waiting(&self, access: Access) {
        self.counter(access).fetch_add(1, Relaxed);
    }

    pub fn remove_waiting(&self, access: Access) {
        self.counter(access).fetch_sub(1, Relaxed);
    }

    const fn counter(&self, access: Access) -> &AtomicU32 {
        match access {
            Access::Shared => &self.shared_waiting,
            Access::Exclusive => &self.exclusive_waiting,
        }
    }

    /// What threads wait on, made when it is first needed: never signalled, since who releases the
    /// resource ends the waits itself.
    pub fn queue(&self, access: Access) -> &Header {
        let (slot, kind) = match access {
            Access::Shared => (&self.shared_waiters, object_type::Semaphore),
            Access::Exclusive => (&self.exclusive_waiters, object_type::SynchronizationEvent),
        };
        if slot.load(Relaxed).is_null() {
            let header = Box::leak(Box::new(Header::uninitialized()));
            header.initialize(kind, size_of::<Header>(), 0);
            slot.store(header, Relaxed);
        }
        // SAFETY: It is not null, and lives until the resource is deleted.
        unsafe { &*slot.load(Relaxed) }
    }

    /// The thread or owner pointer to report as the one who holds the resource.
    pub fn some_owner(&self) -> u64 {
        self.owners()
            .map(Owner::id)
            .find(|&id| id != 0)
            .unwrap_or(0)
    }
}

/// Frees a table that [`ExecutiveResource::grow_table`] made.
fn free_table(table: *mut Owner) {
    // SAFETY: The first entry of a table is there, and holds its size.
    let size = unsafe { &*table }.count.load(Relaxed) as usize;
    // SAFETY: It was a boxed slice of that size, and nobody else refers to it.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(table, size)) });
}

/// A thread as the owner of a resource.
pub fn id_of(thread: &Thread) -> u64 {
    thread.address()
}
