//! The kernel proper: IRQL, spin locks, dispatcher objects, DPCs, APCs.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod alert;
pub mod apc;
pub mod bugcheck;
pub mod clock;
pub mod dpc;
pub mod event;
pub mod interrupt;
pub mod irql;
pub mod mutex;
pub mod processor;
pub mod queued_spinlock;
pub mod region;
pub mod semaphore;
pub mod spinlock;
pub mod timer;
pub mod wait;
