//! What may be done with the pages of an image.

use object::pe::{IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_READ, IMAGE_SCN_MEM_WRITE, SectionFlags};
use region::Protection;

/// The access that a section asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

impl Access {
    /// Read-only, as headers are.
    pub const READ: Self = Self {
        read: true,
        write: false,
        execute: false,
    };

    pub const fn of_section(characteristics: SectionFlags) -> Self {
        Self {
            read: characteristics.0 & IMAGE_SCN_MEM_READ.0 != 0,
            write: characteristics.0 & IMAGE_SCN_MEM_WRITE.0 != 0,
            execute: characteristics.0 & IMAGE_SCN_MEM_EXECUTE.0 != 0,
        }
    }

    /// The protection of the pages. Code is never writable, as with HVCI (memory integrity), where
    /// a section that asks for both loses one: here it stays executable.
    pub const fn protection(self) -> Protection {
        match self {
            Self { execute: true, .. } => Protection::READ_EXECUTE,
            Self { write: true, .. } => Protection::READ_WRITE,
            Self { read: true, .. } => Protection::READ,
            Self { .. } => Protection::NONE,
        }
    }
}
