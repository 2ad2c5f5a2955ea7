//! The I/O manager: driver, device and file objects, requests, and what Plug and Play needs.
//!
//! The structures have NT's layout and are in drivers' hands; what the kernel keeps beside them is its
//! own ([`object`]). A request goes from [`mod@file`] as an IRP ([`irp`], [`packet`]) to a driver
//! ([`call`]) and comes back ([`complete`]) to whoever sent it ([`request`]). [`pnp`] is the bus that
//! finds devices, [`namespace`] and [`interface`] are how they are found.
//!
//! `FUNCTIONS.md` beside this crate's manifest says which test states what a function does.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "functions, parameters and constants are as NT has them, and sizes are those of x64"
)]

pub mod attach;
pub mod build;
pub mod call;
pub mod cancel;
pub mod complete;
pub mod device;
pub mod device_state;
pub mod driver;
mod fields;
pub mod file;
pub mod interface;
pub mod interrupt;
mod irp;
pub mod name;
pub mod namespace;
pub mod object;
pub mod open;
pub mod packet;
pub mod pnp;
pub mod process;
pub mod property;
pub mod remove_lock;
pub mod remove_tags;
mod request;
pub mod resource;
mod rules;
mod turn;
mod violation;
pub mod work_item;

pub use rules::{Rule, dispatch_level, passive_level};

/// The functions of this component, for [`crate::ntddk`].
pub mod ddk {
    pub use super::{
        attach::ddk::*, build::ddk::*, call::ddk::*, cancel::ddk::*, complete::ddk::*,
        device::ddk::*, device_state::ddk::*, driver::ddk::*, interface::ddk::*, interrupt::ddk::*,
        name::ddk::*, namespace::ddk::*, open::ddk::*, packet::ddk::*, process::ddk::*,
        property::ddk::*, remove_lock::ddk::*, work_item::ddk::*,
    };
}
