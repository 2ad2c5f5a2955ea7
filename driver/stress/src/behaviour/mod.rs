//! Behaviour tests: what Microsoft's documentation says of a primitive, one function per sentence.
//!
//! A test reads as calls and the states that are expected after them, in [`check!`](crate::log). It
//! asserts order, counts and states; time only as a lower bound. It starts at `PASSIVE_LEVEL` in a
//! system thread, and ends there.

mod event;
mod fast_mutex;
mod mutex;
mod patience;
mod peer;
mod recursive_mutex;
mod region;
mod resource;
mod resource_waiters;
mod spin_lock;
mod thread;
mod timer;
mod timer_dpc;

use syncstress_protocol::Primitive;
use wdk_sync::{Irql, Passive, Status};

use crate::log::Log;

/// All tests, by file.
pub static TABLES: &[&[Test]] = &[
    spin_lock::TESTS,
    mutex::TESTS,
    recursive_mutex::TESTS,
    resource::TESTS,
    resource_waiters::TESTS,
    fast_mutex::TESTS,
    timer::TESTS,
    timer_dpc::TESTS,
    event::TESTS,
    region::TESTS,
    thread::TESTS,
];

/// A behaviour test, as it is listed.
pub struct Test {
    /// Stable over versions.
    pub id: u32,
    /// To type.
    pub name: &'static str,
    /// What it is about.
    pub primitive: Primitive,
    /// The documented behaviour, in one sentence.
    pub summary: &'static str,
    /// Carries it out. An error means that it could not be.
    pub run: fn(&mut Irql<'_, Passive>, &mut Log) -> Result<(), Status>,
}

/// The table of a file: `id function: "documented behaviour";`. A test is named by its function.
macro_rules! tests {
    ($primitive:ident, $prefix:literal; $($id:literal $function:ident: $summary:literal;)*) => {
        /// The tests of this file.
        pub const TESTS: &[$crate::behaviour::Test] = &[$(
            $crate::behaviour::Test {
                id: $id,
                name: concat!($prefix, ".", stringify!($function)),
                primitive: syncstress_protocol::Primitive::$primitive,
                summary: $summary,
                run: $function,
            },
        )*];
    };
}
use tests;
