//! What the end-to-end tests have in common: the tool's program, the hosts that it runs the driver
//! on, and a driver to send requests to.
//!
//! `cargo xtask test` names the images to test in `SYNCSTRESS_SYS` and `SYNCSTRESS_WDFLDR`, and the
//! program in `SYNCSTRESS_EXE`. Without the images the tests that need them are ignored; without the
//! program, the one that is built with these tests is taken.

// The hosts are those of Linux.
#![cfg(not(windows))]

mod driver;
mod host;
mod result;
pub mod server;

pub use driver::{driver, open};
pub use host::{Host, images, program};
pub use result::{Finished, Items, SHORT, SHORT_MILLISECONDS};
pub use server::Server;

/// Defines each test once and runs it on every host: in the modules `in_process` and `nthost`.
#[macro_export]
macro_rules! on_every_host {
    ($($(#[doc = $doc:literal])* fn $name:ident($host:ident) $body:block)*) => {
        $($(#[doc = $doc])* fn $name($host: $crate::Host) $body)*

        mod in_process {
            $(#[test]
            fn $name() {
                super::$name($crate::Host::InProcess);
            })*
        }

        mod nthost {
            $(#[test]
            #[cfg_attr(not(driver_images), ignore = "needs the driver's images: cargo xtask test")]
            fn $name() {
                super::$name($crate::Host::Nthost);
            })*
        }
    };
}
