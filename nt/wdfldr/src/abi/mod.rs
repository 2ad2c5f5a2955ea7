//! The binary interface of KMDF 1.33: handles, structures, enumerations and statuses.
//!
//! Names and layouts are those of the framework's public headers (`wdf*.h`); each layout is held by a
//! static assertion. Enumerations are plain integers with constants: their values come from the
//! client and may be anything.
#![allow(
    clippy::struct_field_names,
    reason = "names are spelled as KMDF spells them"
)]

/// Holds the size and the field offsets of a structure.
macro_rules! layout {
    ($ty:ty, $size:literal $(, $field:ident: $offset:literal)* $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            $(assert!(core::mem::offset_of!($ty, $field) == $offset);)*
        };
    };
}

mod bind;
mod device;
mod handles;
mod interrupt;
mod io;
mod object;
mod power;
mod support;

pub use bind::*;
pub use device::*;
pub use handles::*;
pub use interrupt::*;
pub use io::*;
pub use object::*;
pub use power::*;
pub use support::*;
