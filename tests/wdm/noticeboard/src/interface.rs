//! What programs send: control codes, and the structures that go with them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Puts a [`Notice`] up, in place of one of its topic, and answers who waits for it.
pub const POST: u32 = buffered(0x800, WRITE);
/// Gives the [`Notice`] of a topic (`u32`); `STATUS_NOT_FOUND` if none is up.
pub const READ: u32 = buffered(0x801, READ_ACCESS);
/// Gives the next [`Notice`] of a topic that is put up, and waits for it as a [`Wait`] says;
/// `STATUS_IO_TIMEOUT` if none comes.
pub const AWAIT: u32 = buffered(0x802, READ_ACCESS);
/// Gives the [`Counts`].
pub const COUNT: u32 = buffered(0x803, READ_ACCESS);

const READ_ACCESS: u32 = 1;
const WRITE: u32 = 2;

/// `CTL_CODE` with `FILE_DEVICE_UNKNOWN` and `METHOD_BUFFERED`.
const fn buffered(function: u32, access: u32) -> u32 {
    0x22 << 16 | access << 14 | function << 2
}

/// A notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Notice {
    /// What it is about.
    pub topic: u32,
    /// For how many milliseconds it is up.
    pub lifetime: u32,
    /// What it says.
    pub text: [u8; 24],
}

/// What someone waits for.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Wait {
    /// The topic of the notice.
    pub topic: u32,
    /// For how many milliseconds.
    pub patience: u32,
}

/// What is on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counts {
    /// Notices that are up, those included that have expired and were not taken down yet.
    pub up: u32,
    /// Requests that wait.
    pub waiting: u32,
    /// Notices that were taken down because they had expired.
    pub expired: u32,
}
