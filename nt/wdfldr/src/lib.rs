//! WDFLDR.SYS: a runtime for KMDF 1.33 drivers, as a PE driver of its own.
//!
//! A KMDF driver is linked with a small entry library that binds it to the framework: it calls
//! [`loader::WdfVersionBind`] and gets the table of the framework's 458 functions. Here that is this
//! crate: one image that is loader and framework in one, which runs where Microsoft's does not, in
//! nthost and in Wine. What is not implemented stops the system with `WDF_VIOLATION` and its name.
//!
//! The modules follow the framework's objects: [`object`] is what all have in common, [`client`] a
//! bound driver, [`device`], [`queue`], [`request`] and [`file`] the way of a request, [`interrupt`] what
//! the device itself begins, [`callback_lock`] what runs one at a time. [`kernel`] is
//! the only door to the kernel. Sources: the reference pages of the functions (`wdf*/nf-wdf*.md`), and
//! the public headers and sources of the framework for layouts and statuses.
// On a Windows machine there is Microsoft's, and nothing here to build.
#![cfg(any(not(windows), openkit))]
#![cfg_attr(windows, no_std)]
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::upper_case_acronyms,
    reason = "names are spelled as KMDF and NT spell them"
)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the crate is an image: its modules are for its own readers"
)]

extern crate alloc;

mod abi;
mod callback_lock;
mod client;
mod collection;
mod device;
mod dpc;
mod driver;
mod file;
mod interrupt;
mod io_target;
mod kernel;
pub mod loader;
mod lookaside;
mod memory;
mod object;
mod queue;
mod registry_key;
mod request;
mod resources;
mod string;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod timer;
mod violation;
mod work_item;
