//! The memory manager, as far as an image without paging needs one: MDLs, and looking up the kernel's
//! own exports.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "functions, parameters and constants are as NT has them, and sizes are those of x64"
)]

pub mod address;
pub mod mdl;
pub mod pageable;
pub mod routine;

/// The functions of this component, for [`crate::ntddk`].
pub mod ddk {
    pub use super::{address::ddk::*, mdl::ddk::*, routine::ddk::*};
}
