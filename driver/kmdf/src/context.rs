//! Rust values in the contexts of framework objects.
//!
//! The framework gives each object memory of the size that a context type asks for, zeroed, with the
//! object's lifetime. A [`Slot`] is what is there: empty at first, since its state is zero then, and
//! with a value from when the driver puts one there until it takes it out.

use core::{
    cell::UnsafeCell,
    ffi::CStr,
    marker::PhantomData,
    mem::MaybeUninit,
    sync::atomic::{AtomicU32, Ordering},
};

use wdk_sys::{
    PCWDF_OBJECT_CONTEXT_TYPE_INFO, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT,
    call_unsafe_wdf_function_binding,
};

use crate::abi::size;

/// A context type: slots for values of type `T`. The framework knows it by its address.
pub struct ContextType<T> {
    /// For [`WDF_OBJECT_ATTRIBUTES`](wdk_sys::WDF_OBJECT_ATTRIBUTES).
    pub info: WDF_OBJECT_CONTEXT_TYPE_INFO,
    holds: PhantomData<fn() -> T>,
}

// SAFETY: Nobody writes to a context type, and its pointers are to statics.
unsafe impl<T> Sync for ContextType<T> {}

impl<T> ContextType<T> {
    /// The type `name`, to be kept in a static whose `info` is at `unique`.
    pub const fn new(name: &'static CStr, unique: PCWDF_OBJECT_CONTEXT_TYPE_INFO) -> Self {
        Self {
            info: WDF_OBJECT_CONTEXT_TYPE_INFO {
                Size: size::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
                ContextName: name.as_ptr(),
                ContextSize: size_of::<Slot<T>>(),
                UniqueType: unique,
                EvtDriverGetUniqueContextType: None,
            },
            holds: PhantomData,
        }
    }

    /// The slot of a framework object, if the object has a context of this type.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `WdfObjectGetTypedContextWorker`.
    ///
    /// # Safety
    ///
    /// `object` is a handle to an object that lives for `'a`.
    pub unsafe fn slot_of<'a>(&'static self, object: WDFOBJECT) -> Option<&'a Slot<T>>
    where
        T: 'a,
    {
        // SAFETY: The caller vouches for the handle; the type is a static.
        let context = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfObjectGetTypedContextWorker,
                object,
                &raw const self.info
            )
        };
        // SAFETY: A context of this type has the size of a slot, the alignment of pool, and lives as
        // long as its object. Zeroed, it is an empty slot; it is only ever used as one.
        unsafe { context.cast::<Slot<T>>().as_ref() }
    }
}

/// A place for a value.
#[repr(C)]
pub struct Slot<T> {
    state: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: A shared slot gives out `&T`, and takes and gives values of `T` to any thread.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// As the framework zeroes it.
const EMPTY: u32 = 0;
/// A value is being put there or taken out.
const CHANGING: u32 = 1;
/// A value is there.
const FULL: u32 = 2;

impl<T> Slot<T> {
    /// Puts a value there, or gives it back if there is one.
    pub fn put(&self, value: T) -> Result<(), T> {
        if !self.go(EMPTY, CHANGING) {
            return Err(value);
        }
        // SAFETY: Only this call changes the slot now, and nobody reads it before it is full.
        let place = unsafe { &mut *self.value.get() };
        place.write(value);
        self.state.store(FULL, Ordering::Release);
        Ok(())
    }

    /// The value, if one is there.
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        // SAFETY: The slot is full and stays so for the borrow, as `take` asks of its callers.
        let place = unsafe { &*self.value.get() };
        // SAFETY: A full slot has a value.
        Some(unsafe { place.assume_init_ref() })
    }

    /// Takes the value out.
    ///
    /// # Safety
    ///
    /// Nothing that [`get`](Self::get) gave is used any more.
    pub unsafe fn take(&self) -> Option<T> {
        if !self.go(FULL, CHANGING) {
            return None;
        }
        // SAFETY: Only this call changes the slot now, and by the contract nobody reads it.
        let place = unsafe { &*self.value.get() };
        // SAFETY: The slot was full, and is empty from now on.
        let value = unsafe { place.assume_init_read() };
        self.state.store(EMPTY, Ordering::Release);
        Some(value)
    }

    fn go(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }
}
