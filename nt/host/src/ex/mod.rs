//! The executive: pool, exceptions and worker threads.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod exception;
pub mod pool;
pub mod worker;
