//! The kernel proper: IRQL, spin locks, dispatcher objects, DPCs, APC regions.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod apc;
pub mod dpc;
pub mod event;
pub mod irql;
pub mod mutex;
pub mod spinlock;
pub mod wait;
