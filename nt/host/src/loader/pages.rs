//! Pages of the host, owned.

use std::fmt;
use std::ops::Range;

use region::{Allocation, Protection};

/// Pages with one owner, which may be any thread.
pub struct Pages {
    allocation: Allocation,
}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the raw pointers in it belong to no thread"
)]
// SAFETY: The value owns its pages and nothing else; what is mapped belongs to the process, not to
// the thread that asked for it. (`Allocation` is not `Send` only because it stores a raw pointer.)
unsafe impl Send for Pages {}
// SAFETY: A shared `Pages` gives out addresses and nothing more.
unsafe impl Sync for Pages {}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pages").field(&self.range()).finish()
    }
}

impl Pages {
    /// Zeroed pages wherever there is room.
    pub fn new(size: usize, access: Protection) -> Result<Self, region::Error> {
        region::alloc(size, access).map(|allocation| Self { allocation })
    }

    /// The first byte.
    pub fn start(&self) -> *mut u8 {
        self.allocation.as_ptr::<u8>().cast_mut()
    }

    /// The addresses.
    pub fn range(&self) -> Range<usize> {
        self.allocation.as_range()
    }
}
