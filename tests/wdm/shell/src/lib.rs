//! What a small WDM driver has around its own code.
//!
//! - [`Request`]: an IRP as a value, completed once, or pended so that it can be cancelled.
//! - [`create_device`], [`delete_device`]: a device with a name that programs open, and with a value in
//!   its extension.
#![no_std]

mod device;
mod request;

pub use device::{create_device, delete_device, extension};
pub use request::{Pended, Request};
