//! The IOCTL interface between `syncstress.sys` and whoever drives it.
//!
//! Every code is `METHOD_BUFFERED`. Every structure has a fixed little-endian layout without
//! padding; text is UTF-8. A session goes like this:
//!
//! 1. [`ioctl::QUERY_VERSION`] tells the protocol version and the [`Limits`] the driver enforces.
//! 2. [`ioctl::LIST_ITEMS`] and [`ioctl::LIST_PARAMETERS`] tell what can be run, so that a newer
//!    driver needs no newer tool.
//! 3. [`ioctl::START`] starts a run and returns at once; [`ioctl::PROGRESS`] watches it,
//!    [`ioctl::STOP`] asks it to end, [`ioctl::COLLECT`] takes its result and forgets it.
//! 4. Before that, [`ioctl::WORKERS`], [`ioctl::HISTOGRAM`] and [`ioctl::METRICS`] tell what it
//!    measures, page by page.
//!
//! [`ioctl::LIST_RUNS`] and [`ioctl::LIST_RUN_WORKERS`] show every handle how far the runs of all are.
//!
//! A run of a hold pattern keeps a lock or timer in a known state until it ends;
//! [`ioctl::QUERY_HELD`] tells which, and in what state.
//!
//! [`ioctl::QUERY_LOCK_WATCH`] tells what the driver knows of its own locks; lists follow from there.
//!
//! A run belongs to the file handle that started it, which alone can stop and collect it. Each handle has one run at a time, and a run
//! ends when its handle is closed.
#![no_std]

#[cfg(target_endian = "big")]
compile_error!("the structures of the protocol are little-endian in memory");

mod catalog;
mod hold;
pub mod ioctl;
mod locks;
mod measure;
mod run;
mod text;
mod version;

pub use catalog::{
    ItemDescriptor, ItemFlags, ItemKind, ListReply, ListRequest, ParameterDescriptor,
    ParameterFlags, Primitive, Unit,
};
pub use hold::{HeldFlags, HeldKind, HeldObject, HeldRole, HeldThread, MAX_HELD_THREADS};
pub use locks::{
    LockClass, LockFeatures, LockHolder, LockHolderFlags, LockOrder, LockProblem, LockReport,
    LockStatistics, LockTimes, LockWatch, SourceLine, TableUse,
};
pub use measure::{
    Bucket, HistogramKind, HistogramReply, HistogramRequest, Metric, PageRequest, WorkerDetail,
};
pub use run::{
    CollectReply, MAX_PARAMETERS, ParameterValue, Phase, Progress, Role, RunInfo, RunReference,
    StartRequest, Verdict, WorkerReport,
};
pub use text::Text;
pub use version::{
    DEVICE_INTERFACE_GUID, DOS_DEVICE_NAME, Limits, PROTOCOL_MAJOR, PROTOCOL_MINOR, VersionReply,
};

/// A wire number that names one of a closed set, with `from_wire` for the way back.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $value:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        $vis enum $name {
            $($(#[$variant_doc])* $variant = $value,)*
        }

        impl $name {
            /// Every member, in the order of their wire numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn to_wire(self) -> u32 {
                self as u32
            }

            /// The member with this number on the wire, if there is one.
            #[must_use]
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use wire_enum;
