//! Shared ownership of a value in nonpaged pool.

use core::{
    fmt,
    marker::PhantomData,
    mem,
    ops::Deref,
    pin::Pin,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering, fence},
};

use pinned_init::{PinInit, pin_data, try_pin_init};

use crate::{NonPaged, Status};

/// A [`NonPaged`] value with several owners, freed by the last one: what
/// `alloc::sync::Arc` is elsewhere, but fallible, resident and for values that must not move.
///
/// A thread that outlives the function that started it holds its locks by one of these.
///
/// IRQL: creating and dropping, `<= DISPATCH_LEVEL`, or what the drop of the value asks for (a
/// [`Timer`](crate::Timer): `PASSIVE_LEVEL`). Cloning: any. Pages: `ExAllocatePool2`,
/// `ExFreePoolWithTag`.
///
/// ```
/// use wdk_sync::{Mutex, NonPagedArc, Thread};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let count = NonPagedArc::pin_init(Mutex::new(0u32))?;
/// let theirs = count.clone();
/// let thread = Thread::spawn(irql, move |irql| {
///     *theirs.lock(irql).expect("not owned by this thread") += 1;
/// })?;
/// thread.join(irql);
/// assert_eq!(*count.lock(irql).expect("not owned by this thread"), 1);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub struct NonPagedArc<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

#[pin_data]
struct Counted<T> {
    references: AtomicUsize,
    #[pin]
    value: T,
}

// SAFETY: Any owner gives out `&T`, which `T: Sync` allows from several threads, and any may be the
// one that drops the value, which `T: Send` allows on another thread.
unsafe impl<T: Send + Sync> Send for NonPagedArc<T> {}
// SAFETY: As for `Send`: a shared reference can be cloned into an owner.
unsafe impl<T: Send + Sync> Sync for NonPagedArc<T> {}

impl<T> NonPagedArc<T> {
    /// Allocates, and initialises the value in place.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted, or what the initialiser gives.
    pub fn pin_init<E>(init: impl PinInit<T, E>) -> Result<Self, Status>
    where
        Status: From<E>,
    {
        let counted = NonPaged::pin_init(try_pin_init!(Counted {
            references: AtomicUsize::new(1),
            value <- init,
        }? E))?;
        // SAFETY: The address of a value is not null. It is not taken from a reference, because the last
        // owner frees through it.
        let address = unsafe { NonNull::new_unchecked(counted.as_ptr()) };
        // The owners have it now.
        mem::forget(counted);
        Ok(Self {
            counted: address,
            owns: PhantomData,
        })
    }

    /// Allocates, and moves `value` there.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn new(value: T) -> Result<Self, Status> {
        Self::pin_init(value)
    }

    /// The value, pinned for good.
    #[must_use]
    pub fn as_pin(&self) -> Pin<&T> {
        // SAFETY: The value stays where it is until it is dropped there.
        unsafe { Pin::new_unchecked(&**self) }
    }

    const fn counted(&self) -> &Counted<T> {
        // SAFETY: This owner is counted, so the value is alive.
        unsafe { self.counted.as_ref() }
    }
}

impl<T> Clone for NonPagedArc<T> {
    fn clone(&self) -> Self {
        // The count cannot overflow: each owner that is forgotten costs its clone nothing but time,
        // and 2^64 of them take centuries.
        self.counted().references.fetch_add(1, Ordering::Relaxed);
        Self {
            counted: self.counted,
            owns: PhantomData,
        }
    }
}

impl<T> Deref for NonPagedArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for NonPagedArc<T> {
    fn drop(&mut self) {
        if self.counted().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What the other owners did with the value comes before its end.
        fence(Ordering::Acquire);
        // SAFETY: The address is of a `NonPaged` that was forgotten, and the last owner alone takes
        // it over.
        drop(unsafe { NonPaged::from_ptr(self.counted.as_ptr()) });
    }
}

impl<T: fmt::Debug> fmt::Debug for NonPagedArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
