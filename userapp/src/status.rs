//! NTSTATUS values as a person reads them.

use std::fmt;

use serde::{Serialize, Serializer};

/// An NTSTATUS.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NtStatus(pub i32);

macro_rules! statuses {
    ($($name:ident = $value:literal, $meaning:literal;)*) => {
        impl NtStatus {
            $(
                #[doc = concat!("`STATUS_", stringify!($name), "`: ", $meaning, ".")]
                pub const $name: Self = Self(i32::from_ne_bytes(u32::to_ne_bytes($value)));
            )*

            /// Its name and what it means here, where it is one that the protocol uses.
            const fn known(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$name => Some((concat!("STATUS_", stringify!($name)), $meaning)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000, "success";
    DEVICE_BUSY = 0x8000_0011, "the run goes on, or another one is under way";
    UNSUCCESSFUL = 0xC000_0001, "it did not succeed";
    NOT_IMPLEMENTED = 0xC000_0002, "the driver does not implement this";
    INFO_LENGTH_MISMATCH = 0xC000_0004, "a buffer does not have the size that its content says";
    INVALID_PARAMETER = 0xC000_000D, "a value is outside its range or names nothing";
    NO_SUCH_DEVICE = 0xC000_000E, "there is no such device";
    INVALID_DEVICE_REQUEST = 0xC000_0010, "the driver does not know this request";
    ACCESS_DENIED = 0xC000_0022, "access is denied";
    BUFFER_TOO_SMALL = 0xC000_0023, "a buffer is too small";
    OBJECT_NAME_NOT_FOUND = 0xC000_0034, "there is no object of this name";
    QUOTA_EXCEEDED = 0xC000_0044, "a limit of the driver is reached; `syncstress info` names them";
    INSUFFICIENT_RESOURCES = 0xC000_009A, "the driver could not allocate what it needs";
    DEVICE_NOT_READY = 0xC000_00A3, "the device is not started";
    NOT_SUPPORTED = 0xC000_00BB, "the system does not support this";
    INVALID_DEVICE_STATE = 0xC000_0184, "the device is in no state for this request";
    DELETE_PENDING = 0xC000_0056, "the device is going away";
    CANCELLED = 0xC000_0120, "the request was cancelled";
    NOT_FOUND = 0xC000_0225, "there is no such entry";
}

/// The facility of NTSTATUS values that carry a Win32 error code (`FACILITY_NTWIN32`), as an error.
const FACILITY_NTWIN32_ERROR: u32 = 0xC007_0000;

impl NtStatus {
    /// The `NTSTATUS_FROM_WIN32` macro.
    #[must_use]
    pub const fn from_win32(code: u32) -> Self {
        Self((FACILITY_NTWIN32_ERROR | (code & 0xFFFF)).cast_signed())
    }

    /// The `NT_SUCCESS` macro.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = self;
        match self.known() {
            Some((name, meaning)) => write!(f, "{name} ({value:#010X}): {meaning}"),
            None if value.cast_unsigned() & 0xFFFF_0000 == FACILITY_NTWIN32_ERROR => {
                write!(f, "Win32 error {}", value & 0xFFFF)
            }
            None => write!(f, "NTSTATUS {value:#010X}"),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NtStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_statuses_have_names_and_others_numbers() {
        let busy = NtStatus::DEVICE_BUSY.to_string();
        assert!(
            busy.starts_with("STATUS_DEVICE_BUSY (0x80000011): "),
            "{busy}"
        );
        assert_eq!(NtStatus(0x102).to_string(), "NTSTATUS 0x00000102");
        assert_eq!(NtStatus::from_win32(31).to_string(), "Win32 error 31");
    }

    #[test]
    fn errors_and_warnings_are_no_success() {
        assert!(NtStatus::SUCCESS.is_success());
        assert!(NtStatus(0x102).is_success());
        assert!(!NtStatus::DEVICE_BUSY.is_success());
        assert!(!NtStatus::INVALID_PARAMETER.is_success());
    }
}
