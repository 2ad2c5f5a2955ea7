//! Addresses of objects that the kernel or the client owns.

/// An address that is stored and passed on between threads, as all kernel objects may be. Whoever
/// follows it argues why the object is still there.
#[derive(Debug)]
pub struct Ptr<T>(pub *mut T);

impl<T> Ptr<T> {
    pub const NULL: Self = Self(core::ptr::null_mut());

    pub const fn is_null(self) -> bool {
        self.0.is_null()
    }
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ptr<T> {}
impl<T> PartialEq for Ptr<T> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

// SAFETY: Kernel objects are addressed from any thread; the address itself carries no rights.
unsafe impl<T> Send for Ptr<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Ptr<T> {}
