//! The exported functions of the kernel, by which the loader binds the imports of an image.

use core::ffi::c_void;
use std::{collections::HashMap, sync::LazyLock};

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
        pub const EXPORTS: &[$crate::Export] = &[
            $($crate::Export {
                image: $image,
                name: stringify!($name),
                address: $name as *const core::ffi::c_void,
            },)*
        ];

        /// The functions of this module, for [`crate::ntddk`].
        #[doc(hidden)]
        pub mod ddk {
            pub use super::{$($name),*};
        }
    };
}
pub(crate) use exports;

/// Everything that the kernel exports, grouped by module.
#[must_use]
pub const fn all() -> &'static [&'static [Export]] {
    &[
        crate::cm::key::EXPORTS,
        crate::cm::value::EXPORTS,
        crate::ex::callback::EXPORTS,
        crate::ex::exception::EXPORTS,
        crate::ex::fast_mutex::EXPORTS,
        crate::ex::interlocked::EXPORTS,
        crate::ex::lookaside::EXPORTS,
        crate::ex::pool::EXPORTS,
        crate::ex::push_lock::EXPORTS,
        crate::ex::resource::EXPORTS,
        crate::ex::rundown::EXPORTS,
        crate::ex::shared_spinlock::EXPORTS,
        crate::ex::slist::EXPORTS,
        crate::ex::timer::EXPORTS,
        crate::ex::work::EXPORTS,
        crate::io::attach::EXPORTS,
        crate::io::build::EXPORTS,
        crate::io::call::EXPORTS,
        crate::io::cancel::EXPORTS,
        crate::io::complete::EXPORTS,
        crate::io::device::EXPORTS,
        crate::io::device_state::EXPORTS,
        crate::io::driver::EXPORTS,
        crate::io::interface::EXPORTS,
        crate::io::interrupt::EXPORTS,
        crate::io::name::EXPORTS,
        crate::io::namespace::EXPORTS,
        crate::io::open::EXPORTS,
        crate::io::packet::EXPORTS,
        crate::io::process::EXPORTS,
        crate::io::property::EXPORTS,
        crate::io::remove_lock::EXPORTS,
        crate::io::work_item::EXPORTS,
        crate::ke::alert::EXPORTS,
        crate::ke::apc::EXPORTS,
        crate::ke::bugcheck::EXPORTS,
        crate::ke::clock::EXPORTS,
        crate::ke::dpc::EXPORTS,
        crate::ke::event::EXPORTS,
        crate::ke::interrupt::EXPORTS,
        crate::ke::irql::EXPORTS,
        crate::ke::mutex::EXPORTS,
        crate::ke::processor::EXPORTS,
        crate::ke::queued_spinlock::EXPORTS,
        crate::ke::region::EXPORTS,
        crate::ke::semaphore::EXPORTS,
        crate::ke::spinlock::EXPORTS,
        crate::ke::timer::EXPORTS,
        crate::ke::wait::EXPORTS,
        crate::mm::address::EXPORTS,
        crate::mm::mdl::EXPORTS,
        crate::mm::routine::EXPORTS,
        crate::ob::EXPORTS,
        crate::ps::thread::EXPORTS,
        crate::ps::thread::VARIABLES,
        crate::rtl::ansi::EXPORTS,
        crate::rtl::crt::EXPORTS,
        crate::rtl::debug::EXPORTS,
        crate::rtl::guid::EXPORTS,
        crate::rtl::memory::EXPORTS,
        crate::rtl::number::EXPORTS,
        crate::rtl::unicode::EXPORTS,
        crate::rtl::version::EXPORTS,
    ]
}

/// The address of an export of the kernel or the HAL.
#[must_use]
pub fn find(name: &str) -> Option<*const c_void> {
    static BY_NAME: LazyLock<HashMap<&str, &Export>> = LazyLock::new(|| {
        all()
            .iter()
            .copied()
            .flatten()
            .map(|export| (export.name, export))
            .collect()
    });
    BY_NAME.get(name).map(|export| export.address)
}

/// Whether `image` is one that this kernel stands for, in any case.
#[must_use]
pub fn is_kernel(image: &str) -> bool {
    ["ntoskrnl.exe", "hal.dll"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(image))
}
