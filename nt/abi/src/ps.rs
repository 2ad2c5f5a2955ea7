//! Processes and threads.

use crate::{HANDLE, PVOID, ULONG};

pub type PKSTART_ROUTINE = Option<unsafe extern "win64" fn(StartContext: PVOID)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct CLIENT_ID {
    pub UniqueProcess: HANDLE,
    pub UniqueThread: HANDLE,
}
pub type PCLIENT_ID = *mut CLIENT_ID;
layout!(CLIENT_ID, 0x10);

pub const THREAD_ALL_ACCESS: ULONG = 0x001F_FFFF;
pub const SYNCHRONIZE: ULONG = 0x0010_0000;
