//! The device object that a handle is of: what work items belong to.

use core::ffi::c_void;

/// A `DEVICE_OBJECT` of the driver, for the kernel and for nobody else.
#[derive(Clone, Copy)]
pub struct Device(*mut c_void);

// SAFETY: A device object belongs to no thread, and only the kernel looks at what is there.
unsafe impl Send for Device {}
// SAFETY: As above; shared, it gives its address alone.
unsafe impl Sync for Device {}

impl Device {
    /// The device object at `object`.
    ///
    /// # Safety
    ///
    /// `object` is a `DEVICE_OBJECT` of this driver, which stays until every session that was
    /// [opened](crate::Engine::open) with it was dropped. In a kernel that is linked to the driver and
    /// takes null for one, it may be null.
    #[must_use]
    pub const unsafe fn new(object: *mut c_void) -> Self {
        Self(object)
    }

    /// Where it is.
    pub(crate) const fn object(self) -> *mut c_void {
        self.0
    }
}
