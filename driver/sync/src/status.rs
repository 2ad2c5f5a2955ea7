//! NTSTATUS as a type.

use core::fmt;

use crate::AlreadyOwned;

/// A status code of NT.
///
/// ```
/// use wdk_sync::Status;
///
/// assert_eq!(Status::from_raw(0).ok(), Ok(()));
/// assert_eq!(Status::INSUFFICIENT_RESOURCES.ok(), Err(Status::INSUFFICIENT_RESOURCES));
/// // A wait that ran out of time has succeeded, for NT.
/// assert!(Status::TIMEOUT.is_success());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
#[must_use = "a status tells whether the call did what it should"]
pub struct Status(i32);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $nt:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self(i32::from_ne_bytes(u32::to_ne_bytes($value)));)*

            /// The name in `ntstatus.h`, for those that this crate knows.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($nt),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// The call did what it should.
    SUCCESS = 0x0000_0000, "STATUS_SUCCESS";
    /// A mutex was acquired whose owner had ended. A success code.
    ABANDONED = 0x0000_0080, "STATUS_ABANDONED";
    /// An alertable user-mode wait ended for an APC. A success code.
    USER_APC = 0x0000_00C0, "STATUS_USER_APC";
    /// An alertable wait ended because the thread was alerted. A success code.
    ALERTED = 0x0000_0101, "STATUS_ALERTED";
    /// A wait ran out of time. A success code.
    TIMEOUT = 0x0000_0102, "STATUS_TIMEOUT";
    /// It is still being worked on.
    DEVICE_BUSY = 0x8000_0011, "STATUS_DEVICE_BUSY";
    /// A size does not fit the request.
    INFO_LENGTH_MISMATCH = 0xC000_0004, "STATUS_INFO_LENGTH_MISMATCH";
    /// A value is out of range or unknown.
    INVALID_PARAMETER = 0xC000_000D, "STATUS_INVALID_PARAMETER";
    /// The device does not know this request.
    INVALID_DEVICE_REQUEST = 0xC000_0010, "STATUS_INVALID_DEVICE_REQUEST";
    /// The output buffer cannot hold the answer.
    BUFFER_TOO_SMALL = 0xC000_0023, "STATUS_BUFFER_TOO_SMALL";
    /// A published limit would be passed.
    QUOTA_EXCEEDED = 0xC000_0044, "STATUS_QUOTA_EXCEEDED";
    /// Pool or another resource of the system ran out.
    INSUFFICIENT_RESOURCES = 0xC000_009A, "STATUS_INSUFFICIENT_RESOURCES";
    /// This build of the driver cannot do it.
    NOT_SUPPORTED = 0xC000_00BB, "STATUS_NOT_SUPPORTED";
    /// The device is going away.
    DELETE_PENDING = 0xC000_0056, "STATUS_DELETE_PENDING";
    /// The thread would wait for itself.
    POSSIBLE_DEADLOCK = 0xC000_0194, "STATUS_POSSIBLE_DEADLOCK";
    /// Nothing by that name or number.
    NOT_FOUND = 0xC000_0225, "STATUS_NOT_FOUND";
    /// The object is not in a state for this request.
    INVALID_DEVICE_STATE = 0xC000_0184, "STATUS_INVALID_DEVICE_STATE";
}

impl Status {
    /// A status as the kernel gave it.
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// The status as the kernel takes it.
    #[must_use]
    pub const fn into_raw(self) -> i32 {
        self.0
    }

    /// `NT_SUCCESS`: success and informational codes. A wait that timed out is one of them: ask a
    /// [`WaitStatus`](crate::WaitStatus) whether something was acquired.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// `Err` with the status unless [`is_success`](Self::is_success).
    ///
    /// # Errors
    ///
    /// The status itself.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }
}

impl From<AlreadyOwned> for Status {
    fn from(_: AlreadyOwned) -> Self {
        Self::POSSIBLE_DEADLOCK
    }
}

impl From<core::convert::Infallible> for Status {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:08X})", self.0),
            None => write!(f, "NTSTATUS 0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Status {}
