//! The x64 binary interface of the NT kernel: types, constants, status codes and bug check codes.
//!
//! Names and layouts are NT's own, as the WDK headers declare them and as `wdk-sys` spells them, so
//! that code written against `wdk-sys` meets the same names here. Every layout that is known is held
//! by a static assertion on its size and on the offsets of its fields.
//!
//! Callbacks and exported functions use [`extern "win64"`], the calling convention of x64 Windows, on
//! whatever operating system this is compiled.
//!
//! Sources: the structure pages of `windows-driver-docs-ddi` (`wdm/ns-wdm-*.md`), and for opaque
//! structures the offsets that public symbols show.
#![no_std]
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::use_self,
    clippy::pub_underscore_fields,
    clippy::module_name_repetitions,
    reason = "names are spelled as NT spells them, and NT's pages document them"
)]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("nt-abi describes the x64 interface of NT: build it for an x86_64 target");

/// Holds size and field offsets of a structure, and gives it the all-zero default that `wdk-sys`
/// structures have.
macro_rules! layout {
    ($ty:ty, $size:literal $(, $field:ident: $offset:literal)* $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            $(assert!(core::mem::offset_of!($ty, $field) == $offset);)*
        };
        impl Default for $ty {
            fn default() -> Self {
                // SAFETY: Only structures of integers, raw pointers and optional function
                // pointers use this macro; all of them are valid when every byte is zero.
                unsafe { core::mem::zeroed() }
            }
        }
    };
}

mod base;
pub mod bugcheck;
mod cm;
mod ex;
mod interrupt;
mod io;
mod ke;
mod pnp;
mod ps;
mod rtl;
mod status;

pub use base::*;
pub use cm::*;
pub use ex::*;
pub use interrupt::*;
pub use io::*;
pub use ke::*;
pub use pnp::*;
pub use ps::*;
pub use rtl::*;
pub use status::*;
