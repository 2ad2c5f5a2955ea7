//! syncstress.sys: the KMDF shell around the engine of `syncstress-stress`.
//!
//! | module | what the framework calls there |
//! |---|---|
//! | `driver_entry` | `DriverEntry`; unload, by the cleanup of the driver object |
//! | `device` | `EvtDriverDeviceAdd`: the device, its interface and its symbolic link |
//! | `file` | `EvtDeviceFileCreate`, `EvtFileCleanup`, `EvtFileClose`: one session per handle |
//! | `queue` | `EvtIoDeviceControl`: a request goes to its session |
//!
//! The rest makes that safe: `context` keeps Rust values in the contexts of framework objects, `wide`
//! holds strings as the kernel takes them, and `abi` has what the framework's headers do with macros.
#![no_std]

mod abi;
mod context;
mod device;
mod driver_entry;
mod file;
mod queue;
mod wide;

use wdk_alloc::WdkAllocator;
use wdk_panic as _;

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;
