//! Which protocol a driver speaks, and the limits that it enforces.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Changes when an old tool can no longer talk to a new driver.
pub const PROTOCOL_MAJOR: u16 = 1;
/// Changes when something was added that an old tool need not know.
pub const PROTOCOL_MINOR: u16 = 3;

/// The device interface class, in the parts of a `GUID`: `{5b0c8a5e-2f4f-4d0b-9a57-7e6f1f6d3c21}`.
pub const DEVICE_INTERFACE_GUID: (u32, u16, u16, [u8; 8]) = (
    0x5b0c_8a5e,
    0x2f4f,
    0x4d0b,
    [0x9a, 0x57, 0x7e, 0x6f, 0x1f, 0x6d, 0x3c, 0x21],
);

/// The name under `\DosDevices\` and `\\.\`.
pub const DOS_DEVICE_NAME: &str = "SyncStress";

/// What the driver says of itself.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct VersionReply {
    /// [`PROTOCOL_MAJOR`] of the driver.
    pub protocol_major: u16,
    /// [`PROTOCOL_MINOR`] of the driver.
    pub protocol_minor: u16,
    /// The driver's own version: major, minor, patch.
    pub driver_version: [u16; 3],
    /// Zero.
    pub reserved: u16,
    /// Active processors, as the kernel counts them.
    pub processors: u32,
    /// How many items [`ioctl::LIST_ITEMS`](crate::ioctl::LIST_ITEMS) lists.
    pub items: u32,
    /// What the driver refuses to go beyond.
    pub limits: Limits,
}

/// Limits that the driver publishes and enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Limits {
    /// Worker threads in one run.
    pub threads_per_run: u32,
    /// Worker threads in all runs together.
    pub threads_total: u32,
    /// Runs at a time, over all handles.
    pub runs: u32,
    /// Length of a run, in seconds.
    pub seconds_per_run: u32,
    /// Bytes of log that a run keeps.
    pub log_bytes: u32,
    /// Zero.
    pub reserved: u32,
}
