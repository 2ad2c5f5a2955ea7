//! What is held, for a debugger: a table that is found in the driver's image by the bytes that it begins
//! with, and that `tests/windbg/syncstress.js` reads.
//!
//! | offset | what |
//! |---|---|
//! | 00 | `syncstress held1` |
//! | 10 | the size of the table, in bytes |
//! | 14 | how many places there are |
//! | 18 | the size of a [`HeldObject`] |
//! | 20 | the places: each the address of a [`HeldObject`], or null |

use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use syncstress_protocol::HeldObject;
use wdk_sync::{NonPaged, Status};

use crate::limits::RUNS;

/// The table.
#[repr(C)]
struct Registry {
    magic: [u8; 16],
    size: u32,
    places: u32,
    object_size: u32,
    reserved: u32,
    objects: [AtomicPtr<HeldObject>; RUNS as usize],
}

#[expect(clippy::cast_possible_truncation, reason = "a few hundred bytes")]
static REGISTRY: Registry = Registry {
    magic: *b"syncstress held1",
    size: size_of::<Registry>() as u32,
    places: RUNS,
    object_size: size_of::<HeldObject>() as u32,
    reserved: 0,
    objects: [const { AtomicPtr::new(ptr::null_mut()) }; RUNS as usize],
};

/// An object that is in the table until this is dropped.
pub struct Entry {
    object: NonPaged<HeldObject>,
    place: &'static AtomicPtr<HeldObject>,
}

impl Entry {
    /// Puts `object` into the table.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`]; [`Status::QUOTA_EXCEEDED`] if there is no room, which there is
    /// for every run.
    pub fn new(object: HeldObject) -> Result<Self, Status> {
        let object = NonPaged::new(object)?;
        let address = ptr::from_ref(&*object).cast_mut();
        let take = |place: &&AtomicPtr<HeldObject>| {
            place
                .compare_exchange(
                    ptr::null_mut(),
                    address,
                    Ordering::Release,
                    Ordering::Relaxed,
                )
                .is_ok()
        };
        let place = REGISTRY.objects.iter().find(take);
        let place = place.ok_or(Status::QUOTA_EXCEEDED)?;
        Ok(Self { object, place })
    }

    /// The object.
    pub fn object(&self) -> HeldObject {
        *self.object
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Before the object is freed. A debugger that stops the system between the two sees neither.
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
