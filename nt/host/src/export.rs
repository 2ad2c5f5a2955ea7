//! The exported functions of the kernel, by which the loader binds the imports of an image.

use core::ffi::c_void;

/// A function (or variable) that the kernel exports.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// The image that exports it on Windows, as an import table spells it: `ntoskrnl.exe`.
    pub image: &'static str,
    /// The exported name.
    pub name: &'static str,
    /// The address that an import is bound to.
    pub address: *const c_void,
}

// SAFETY: An export is an address and two names; nothing is ever reached through it but by the
// code that it is bound into, under the rules of the function itself.
unsafe impl Send for Export {}
// SAFETY: As for `Send`: the value is never changed.
unsafe impl Sync for Export {}

/// Declares the exports of a module, `EXPORTS`, and the module `ddk` that [`crate::ntddk`] takes the
/// same functions from.
macro_rules! exports {
    ($image:literal; $($name:ident),* $(,)?) => {
        /// The functions of this module, for the import tables of drivers.
        pub(crate) const EXPORTS: &[$crate::Export] = &[
            $($crate::Export {
                image: $image,
                name: stringify!($name),
                address: $name as *const core::ffi::c_void,
            },)*
        ];

        /// The functions of this module, for [`crate::ntddk`].
        pub(crate) mod ddk {
            pub use super::{$($name),*};
        }
    };
}
pub(crate) use exports;

/// Everything that the kernel exports, grouped by module.
#[must_use]
pub const fn all() -> &'static [&'static [Export]] {
    &[
        crate::ex::exception::EXPORTS,
        crate::ex::pool::EXPORTS,
        crate::ke::apc::EXPORTS,
        crate::ke::dpc::EXPORTS,
        crate::ke::event::EXPORTS,
        crate::ke::irql::EXPORTS,
        crate::ke::mutex::EXPORTS,
        crate::ke::spinlock::EXPORTS,
        crate::ke::wait::EXPORTS,
        crate::ob::EXPORTS,
        crate::ps::thread::EXPORTS,
        crate::ps::thread::VARIABLES,
    ]
}
