//! The handle table: type-stable slots that hold an object's reference count.
//!
//! A handle names a slot and the generation in which it was given out. The reference count lives in
//! the slot, not in the object, and slots are never freed while the framework is in use: looking up
//! a handle, however stale, touches no freed memory and takes no lock.

#![allow(
    clippy::cast_possible_truncation,
    reason = "handles and states are words of two halves, which are taken apart here"
)]

use crate::kernel::NoMemory;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Chunk `k` holds `FIRST_CHUNK << k` slots.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = 18;
/// The end of the list of free slots.
const NONE: u32 = u32::MAX;
/// The low bits of every handle, which no pointer to an object has.
const MARK: usize = 0b11;

/// One entry of the table.
pub struct Slot<T> {
    /// The generation in the high half, the reference count in the low half.
    state: AtomicU64,
    object: AtomicPtr<T>,
    next_free: AtomicU32,
    index: u32,
}

impl<T> Slot<T> {
    /// The position in the table.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The handle of this slot in its current generation.
    pub fn handle(&self) -> usize {
        let generation = self.state.load(Ordering::Relaxed) >> 32;
        encode(self.index, generation)
    }

    /// The object in the slot; null when there is none.
    pub fn object(&self) -> *mut T {
        self.object.load(Ordering::Acquire)
    }

    /// Puts an object in with one reference, which belongs to the caller.
    pub fn publish(&self, object: NonNull<T>) {
        self.object.store(object.as_ptr(), Ordering::Release);
        self.state.fetch_add(1, Ordering::Release);
    }

    /// Adds a reference by right of one that the caller holds.
    pub fn reference(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops a reference; returns whether it was the last.
    pub fn release(&self) -> bool {
        let state = self.state.fetch_sub(1, Ordering::AcqRel);
        (state & u64::from(u32::MAX)) == 1
    }

    /// The number of references, which may change at any time.
    #[cfg(test)]
    pub fn references(&self) -> u32 {
        (self.state.load(Ordering::Relaxed) & u64::from(u32::MAX)) as u32
    }

    /// Adds a reference if the slot holds an object, of this generation where one is given.
    fn acquire(&self, generation: Option<u64>) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
                let alive = state & u64::from(u32::MAX) != 0;
                let current = generation.is_none_or(|wanted| wanted == state >> 32);
                (alive && current).then(|| state + 1)
            })
            .is_ok()
    }
}

const fn encode(index: u32, generation: u64) -> usize {
    ((generation as usize) << 32) | ((index as usize) << 2) | MARK
}

/// The slots that are free, to be guarded by a lock.
pub struct FreeSlots {
    head: u32,
    unused: u32,
    taken: u32,
}

impl FreeSlots {
    pub const fn new() -> Self {
        Self {
            head: NONE,
            unused: 0,
            taken: 0,
        }
    }

    /// The number of slots in use.
    pub const fn taken(&self) -> u32 {
        self.taken
    }
}

/// The table. Slots are taken and given back under the lock of its [`FreeSlots`].
pub struct SlotTable<T> {
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
}

/// The chunk of an index and the position in it.
const fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl<T> SlotTable<T> {
    pub const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS],
        }
    }

    /// The slot at an index, if its chunk exists.
    fn slot(&self, index: u32) -> Option<NonNull<Slot<T>>> {
        let (chunk, position) = locate(index as usize);
        let start = NonNull::new(self.chunks.get(chunk)?.load(Ordering::Acquire))?;
        // SAFETY: `locate` yields positions inside the chunk that it names.
        Some(unsafe { start.add(position) })
    }

    /// Takes a free slot, without an object yet.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn take(&self, free: &mut FreeSlots) -> Result<NonNull<Slot<T>>, NoMemory> {
        if let Some(slot) = self.slot(free.head) {
            // SAFETY: Slots live until `reset`, which the caller's lock excludes.
            let entry = unsafe { slot.as_ref() };
            free.head = entry.next_free.load(Ordering::Relaxed);
            free.taken += 1;
            return Ok(slot);
        }
        let (chunk, _) = locate(free.unused as usize);
        let place = self.chunks.get(chunk).ok_or(NoMemory)?;
        if place.load(Ordering::Relaxed).is_null() {
            place.store(new_chunk(chunk)?.as_ptr(), Ordering::Release);
        }
        let slot = self.slot(free.unused).ok_or(NoMemory)?;
        free.unused += 1;
        free.taken += 1;
        Ok(slot)
    }

    /// Gives back a slot whose last reference is gone; its handles are stale from here on.
    pub fn give_back(free: &mut FreeSlots, slot: &Slot<T>) {
        slot.object.store(core::ptr::null_mut(), Ordering::Relaxed);
        // Generations wrap around after 2^30 uses of a slot and skip 0, so that no handle is null.
        let generation = ((slot.state.load(Ordering::Relaxed) >> 32) + 1) & 0x3FFF_FFFF;
        slot.state.store(generation.max(1) << 32, Ordering::Release);
        slot.next_free.store(free.head, Ordering::Relaxed);
        free.head = slot.index;
        free.taken -= 1;
    }

    /// Looks up a handle and adds a reference to what it names.
    pub fn acquire(&self, handle: usize) -> Option<NonNull<Slot<T>>> {
        if handle & MARK != MARK {
            return None;
        }
        let slot = self.slot(((handle & 0xFFFF_FFFF) >> 2) as u32)?;
        // SAFETY: Slots live as long as the table is in use.
        unsafe { slot.as_ref() }
            .acquire(Some((handle >> 32) as u64))
            .then_some(slot)
    }

    /// Adds a reference to the object at an index.
    pub fn acquire_index(&self, index: u32) -> Option<NonNull<Slot<T>>> {
        let slot = self.slot(index)?;
        // SAFETY: As above.
        unsafe { slot.as_ref() }.acquire(None).then_some(slot)
    }

    /// Frees the memory of the table when no slot is in use.
    ///
    /// # Safety
    /// Nobody looks up handles at the same time.
    pub unsafe fn reset(&self, free: &mut FreeSlots) {
        if free.taken != 0 {
            return;
        }
        *free = FreeSlots::new();
        for (chunk, place) in self.chunks.iter().enumerate() {
            let start = place.swap(core::ptr::null_mut(), Ordering::AcqRel);
            if start.is_null() {
                continue;
            }
            let length = FIRST_CHUNK << chunk;
            let slots = core::ptr::slice_from_raw_parts_mut(start, length);
            // SAFETY: The chunk came from `new_chunk`, a boxed slice of exactly this length, and
            // nobody refers to its slots any more.
            drop(unsafe { Box::from_raw(slots) });
        }
    }
}

/// The slots of chunk `k`, as a leaked boxed slice.
fn new_chunk<T>(chunk: usize) -> Result<NonNull<Slot<T>>, NoMemory> {
    let length = FIRST_CHUNK << chunk;
    let first = FIRST_CHUNK * ((1 << chunk) - 1);
    let mut slots = Vec::new();
    slots.try_reserve_exact(length).map_err(|_| NoMemory)?;
    for index in first..first + length {
        slots.push(Slot {
            state: AtomicU64::new(1 << 32),
            object: AtomicPtr::new(core::ptr::null_mut()),
            next_free: AtomicU32::new(NONE),
            index: index as u32,
        });
    }
    // The capacity is exact, so that boxing it moves nothing.
    NonNull::new(Box::leak(slots.into_boxed_slice()).as_mut_ptr()).ok_or(NoMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &SlotTable<u32>, free: &mut FreeSlots, value: &mut u32) -> usize {
        let slot = table.take(free).unwrap();
        // SAFETY: The table is not reset while the test uses the slot.
        let slot = unsafe { slot.as_ref() };
        slot.publish(NonNull::from(value));
        slot.handle()
    }

    #[test]
    fn a_handle_is_good_until_the_last_reference_goes() {
        let (table, mut free, mut value) = (SlotTable::new(), FreeSlots::new(), 7);
        let handle = put(&table, &mut free, &mut value);
        let slot = table.acquire(handle).expect("alive");
        // SAFETY: The table is not reset while the test uses the slot.
        let slot = unsafe { slot.as_ref() };
        assert_eq!(slot.references(), 2);
        assert!(!slot.release());
        assert!(slot.release());
        assert!(table.acquire(handle).is_none(), "no reference is left");
        SlotTable::give_back(&mut free, slot);
        assert!(table.acquire(handle).is_none(), "the generation is over");
        let again = put(&table, &mut free, &mut value);
        assert_ne!(again, handle, "the slot is reused under another handle");
        assert!(table.acquire(handle).is_none());
        assert!(table.acquire(again).is_some());
    }

    #[test]
    fn invented_handles_name_nothing() {
        let (table, mut free, mut value) = (SlotTable::new(), FreeSlots::new(), 7);
        let handle = put(&table, &mut free, &mut value);
        for wrong in [
            0,
            1,
            usize::MAX,
            handle ^ 1,
            handle + 4,
            handle + (1 << 32),
            0xFFFF_F800_0000_0003,
        ] {
            assert!(table.acquire(wrong).is_none(), "{wrong:#x}");
        }
    }

    #[test]
    fn the_table_grows_and_gives_everything_back() {
        let (table, mut free, mut value) = (SlotTable::new(), FreeSlots::new(), 7);
        let handles: Vec<usize> = (0..1000)
            .map(|_| put(&table, &mut free, &mut value))
            .collect();
        assert_eq!(free.taken(), 1000);
        for &handle in &handles {
            let slot = table.acquire(handle).expect("alive");
            // SAFETY: The table is not reset before the end of the test.
            let slot = unsafe { slot.as_ref() };
            assert!(!slot.release());
            assert!(slot.release());
            SlotTable::give_back(&mut free, slot);
        }
        assert_eq!(free.taken(), 0);
        // SAFETY: The test is the only user of the table.
        unsafe { table.reset(&mut free) };
        assert!(table.acquire(handles[0]).is_none());
    }
}
