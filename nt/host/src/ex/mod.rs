//! The executive: pool and exceptions.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "functions and parameters are as NT's bindings have them"
)]

pub mod exception;
pub mod pool;
