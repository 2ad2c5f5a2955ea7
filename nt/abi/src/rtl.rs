//! The run-time library.

use crate::{UCHAR, ULONG, USHORT, WCHAR};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RTL_OSVERSIONINFOW {
    pub dwOSVersionInfoSize: ULONG,
    pub dwMajorVersion: ULONG,
    pub dwMinorVersion: ULONG,
    pub dwBuildNumber: ULONG,
    pub dwPlatformId: ULONG,
    pub szCSDVersion: [WCHAR; 128],
}
pub type PRTL_OSVERSIONINFOW = *mut RTL_OSVERSIONINFOW;
layout!(RTL_OSVERSIONINFOW, 0x114, dwPlatformId: 0x10, szCSDVersion: 0x14);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RTL_OSVERSIONINFOEXW {
    pub dwOSVersionInfoSize: ULONG,
    pub dwMajorVersion: ULONG,
    pub dwMinorVersion: ULONG,
    pub dwBuildNumber: ULONG,
    pub dwPlatformId: ULONG,
    pub szCSDVersion: [WCHAR; 128],
    pub wServicePackMajor: USHORT,
    pub wServicePackMinor: USHORT,
    pub wSuiteMask: USHORT,
    pub wProductType: UCHAR,
    pub wReserved: UCHAR,
}
layout!(RTL_OSVERSIONINFOEXW, 0x11C, wServicePackMajor: 0x114, wProductType: 0x11A);
