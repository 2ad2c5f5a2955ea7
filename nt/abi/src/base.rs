//! Scalars, strings, lists and other types that every component of NT uses.

use core::ffi::c_void;

pub type BOOLEAN = u8;
pub type CCHAR = i8;
pub type CHAR = i8;
pub type UCHAR = u8;
pub type CSHORT = i16;
pub type SHORT = i16;
pub type USHORT = u16;
pub type WCHAR = u16;
pub type LONG = i32;
pub type ULONG = u32;
pub type LOGICAL = ULONG;
pub type LONGLONG = i64;
pub type ULONGLONG = u64;
pub type ULONG64 = u64;
pub type LONG_PTR = i64;
pub type ULONG_PTR = u64;
pub type SIZE_T = u64;
pub type NTSTATUS = i32;
pub type ACCESS_MASK = ULONG;
pub type PVOID = *mut c_void;
pub type HANDLE = PVOID;
pub type PHANDLE = *mut HANDLE;
pub type PULONG = *mut ULONG;
pub type PWSTR = *mut WCHAR;
pub type PCWSTR = *const WCHAR;

pub const FALSE: BOOLEAN = 0;
pub const TRUE: BOOLEAN = 1;

pub const PAGE_SIZE: usize = 0x1000;

#[repr(C)]
#[derive(Clone, Copy)]
pub union LARGE_INTEGER {
    pub QuadPart: LONGLONG,
}
pub type PLARGE_INTEGER = *mut LARGE_INTEGER;
layout!(LARGE_INTEGER, 8);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LIST_ENTRY {
    pub Flink: *mut LIST_ENTRY,
    pub Blink: *mut LIST_ENTRY,
}
pub type PLIST_ENTRY = *mut LIST_ENTRY;
layout!(LIST_ENTRY, 0x10, Flink: 0, Blink: 8);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SINGLE_LIST_ENTRY {
    pub Next: *mut SINGLE_LIST_ENTRY,
}
pub type PSINGLE_LIST_ENTRY = *mut SINGLE_LIST_ENTRY;
layout!(SINGLE_LIST_ENTRY, 8);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UNICODE_STRING {
    pub Length: USHORT,
    pub MaximumLength: USHORT,
    pub Buffer: PWSTR,
}
pub type PUNICODE_STRING = *mut UNICODE_STRING;
pub type PCUNICODE_STRING = *const UNICODE_STRING;
layout!(UNICODE_STRING, 0x10, Length: 0, MaximumLength: 2, Buffer: 8);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ANSI_STRING {
    pub Length: USHORT,
    pub MaximumLength: USHORT,
    pub Buffer: *mut CHAR,
}
pub type PANSI_STRING = *mut ANSI_STRING;
layout!(ANSI_STRING, 0x10, Length: 0, MaximumLength: 2, Buffer: 8);

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}
layout!(GUID, 0x10, Data1: 0, Data2: 4, Data3: 6, Data4: 8);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OBJECT_ATTRIBUTES {
    pub Length: ULONG,
    pub RootDirectory: HANDLE,
    pub ObjectName: PUNICODE_STRING,
    pub Attributes: ULONG,
    pub SecurityDescriptor: PVOID,
    pub SecurityQualityOfService: PVOID,
}
pub type POBJECT_ATTRIBUTES = *mut OBJECT_ATTRIBUTES;
layout!(OBJECT_ATTRIBUTES, 0x30, RootDirectory: 8, ObjectName: 0x10, Attributes: 0x18);

pub const OBJ_INHERIT: ULONG = 0x2;
pub const OBJ_PERMANENT: ULONG = 0x10;
pub const OBJ_EXCLUSIVE: ULONG = 0x20;
pub const OBJ_VALID_ATTRIBUTES: ULONG = 0x1FF2;
pub const OBJ_CASE_INSENSITIVE: ULONG = 0x40;
pub const OBJ_KERNEL_HANDLE: ULONG = 0x200;
