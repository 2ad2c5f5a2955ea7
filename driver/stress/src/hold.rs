//! Hold patterns: a lock or timer that is kept in a known state, for whoever looks at it in a debugger.
//!
//! A pattern makes an object, has system threads own it and wait for it, tells what it made
//! ([`Stage::keep`]), and lets everybody go when the run ends: owners first, in the order in which they
//! came, then those who waited.

mod cast;
mod fast_mutex;
mod mutex;
mod registry;
mod resource;
mod stage;
mod timer;

use syncstress_protocol::Primitive;
use wdk_sync::{Irql, Passive, Status};

pub use self::{registry::Entry, stage::Stage};
use crate::settings::Parameter;

/// All patterns, by file.
pub static TABLES: &[&[Pattern]] = &[
    resource::PATTERNS,
    mutex::PATTERNS,
    fast_mutex::PATTERNS,
    timer::PATTERNS,
];

/// What every pattern takes.
pub static PARAMETERS: &[Parameter] = &[Parameter::seconds_until_stopped()];

/// A pattern, as it is listed.
pub struct Pattern {
    /// Stable over versions.
    pub id: u32,
    /// To type.
    pub name: &'static str,
    /// What it holds.
    pub primitive: Primitive,
    /// The state, in one sentence.
    pub summary: &'static str,
    /// Holds it until the run ends. An error means that it could not be.
    pub run: fn(&mut Stage<'_>, &mut Irql<'_, Passive>) -> Result<(), Status>,
}

/// The table of a file: `id "name" function: "state";`.
macro_rules! patterns {
    ($primitive:ident; $($id:literal $name:literal $function:ident: $summary:literal;)*) => {
        /// The patterns of this file.
        pub const PATTERNS: &[$crate::hold::Pattern] = &[$(
            $crate::hold::Pattern {
                id: $id,
                name: $name,
                primitive: syncstress_protocol::Primitive::$primitive,
                summary: $summary,
                run: $function,
            },
        )*];
    };
}
use patterns;
