//! Which Windows this kernel claims to be: Windows 10 22H2, which has every function of the WDK's
//! kernel interface that this kernel has, and stays below those of Windows 11.

use nt_abi::{
    BOOLEAN, NTSTATUS, PULONG, RTL_OSVERSIONINFOEXW, RTL_OSVERSIONINFOW, STATUS_SUCCESS, ULONG,
};

use super::pageable;
use crate::{irql::PASSIVE, thread, verifier};

pub const MAJOR: ULONG = 10;
pub const MINOR: ULONG = 0;
pub const BUILD: ULONG = 19045;
const VER_PLATFORM_WIN32_NT: ULONG = 2;
pub const VER_NT_WORKSTATION: u8 = 1;

/// Tells the version of the system. `PASSIVE_LEVEL`.
///
/// # Safety
///
/// `lpVersionInformation` must point to a structure of the size that its first field says. DDI:
/// `RtlGetVersion`.
pub unsafe extern "win64" fn RtlGetVersion(
    lpVersionInformation: *mut RTL_OSVERSIONINFOW,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlGetVersion);
    // SAFETY: Valid by the contract of this function.
    let information = unsafe { &mut *lpVersionInformation };
    information.dwMajorVersion = MAJOR;
    information.dwMinorVersion = MINOR;
    information.dwBuildNumber = BUILD;
    information.dwPlatformId = VER_PLATFORM_WIN32_NT;
    information.szCSDVersion[0] = 0;
    if information.dwOSVersionInfoSize as usize == size_of::<RTL_OSVERSIONINFOEXW>() {
        // SAFETY: The size says that the longer structure is there.
        let extended = unsafe { &mut *lpVersionInformation.cast::<RTL_OSVERSIONINFOEXW>() };
        extended.wServicePackMajor = 0;
        extended.wServicePackMinor = 0;
        extended.wSuiteMask = 0;
        extended.wProductType = VER_NT_WORKSTATION;
    }
    STATUS_SUCCESS
}

/// Tells the version of the system in its parts; returns whether it is a checked build: it is not.
/// `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Each pointer must be null or valid for a write. DDI: `PsGetVersion`.
pub unsafe extern "win64" fn PsGetVersion(
    MajorVersion: PULONG,
    MinorVersion: PULONG,
    BuildNumber: PULONG,
    _CSDVersion: nt_abi::PUNICODE_STRING,
) -> BOOLEAN {
    if thread::current().irql() > PASSIVE {
        let sentence = "IrqlPsPassive: IRQL must be PASSIVE_LEVEL.";
        verifier::rule(0x2001C, "PsGetVersion", sentence);
    }
    for (place, value) in [
        (MajorVersion, MAJOR),
        (MinorVersion, MINOR),
        (BuildNumber, BUILD),
    ] {
        if !place.is_null() {
            // SAFETY: Valid by the contract of this function.
            unsafe { place.write(value) };
        }
    }
    nt_abi::FALSE
}

crate::export::exports! { "ntoskrnl.exe"; RtlGetVersion, PsGetVersion }
