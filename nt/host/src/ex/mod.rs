//! The executive: pool, ERESOURCEs and other locks, work items, exceptions.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod callback;
pub mod exception;
pub mod fast_mutex;
pub mod interlocked;
pub mod lookaside;
pub mod pool;
pub mod push_lock;
pub mod resource;
pub mod rundown;
pub mod shared_spinlock;
pub mod slist;
pub mod special_pool;
pub mod timer;
pub mod work;
pub mod worker;
