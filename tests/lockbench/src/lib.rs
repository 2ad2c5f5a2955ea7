//! lockbench.sys: each lock of wdk-sync beside the raw calls of the kernel, and beside the crate
//! `wdk-mutex` where that has the lock.
//!
//! - `cargo xtask bench locks` measures: it loads the driver and asks for runs of one lock in one way
//!   (`interface`).
//! - `cargo xtask bench asm` disassembles: each pair of functions (`pair`) is exported from the image.
//!
//! A module per mechanism has its pairs; `subjects` has the locks.
#![no_std]
#![allow(
    clippy::expl_impl_clone_on_copy,
    reason = "the expansion of pin_data has one, for structures without parameters"
)]
#![expect(
    clippy::inline_always,
    reason = "what is measured is to be in the loop, and what is compared in the function"
)]

mod driver;
mod event;
mod fast_mutex;
mod guarded_mutex;
mod interface;
mod interrupt;
mod mutex;
mod pair;
mod push_lock;
mod queued_spin_lock;
mod resource;
mod rundown;
mod rw_spin_lock;
mod spin_lock;
mod subjects;

use wdk_alloc::WdkAllocator;
use wdk_panic as _;

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;
