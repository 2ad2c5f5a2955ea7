//! What a pattern has to run on.

use core::time::Duration;

use syncstress_protocol::{HeldKind, HeldObject, HeldRole, HeldThread, MAX_HELD_THREADS, Text};
use wdk_sync::{Irql, NonPagedArc, Passive, Status};
use zerocopy::FromZeros;

use super::{Pattern, cast::Cast, registry::Entry};
use crate::run::Run;

/// A run of a pattern, as its supervisor has it.
pub struct Stage<'a> {
    run: &'a NonPagedArc<Run>,
    pattern: &'static Pattern,
}

impl<'a> Stage<'a> {
    /// The stage of `run`.
    pub const fn new(run: &'a NonPagedArc<Run>, pattern: &'static Pattern) -> Self {
        Self { run, pattern }
    }

    /// An object of this kind at this address, of which nothing else is known yet.
    pub fn object(&self, kind: HeldKind, address: usize) -> HeldObject {
        HeldObject {
            address: address as u64,
            kind: kind.to_wire(),
            pattern: Text::new(self.pattern.name),
            ..HeldObject::new_zeroed()
        }
    }

    /// How long the run takes.
    pub fn duration(&self) -> Duration {
        self.run.settings().duration()
    }

    /// Tells that `object` is held, keeps it so until the run ends, and lets everybody go.
    pub fn keep(
        &self,
        irql: &mut Irql<'_, Passive>,
        object: HeldObject,
        cast: &mut Cast,
    ) -> Result<(), Status> {
        let alive = Run::with_worker(self.run);
        self.run.show_held(irql, Some(Entry::new(object)?))?;
        self.run.wait_for_end(irql, self.duration());
        self.run.show_held(irql, None)?;
        cast.release(irql);
        drop(alive);
        Ok(())
    }
}

/// Adds threads, in the order in which they came.
#[must_use]
pub fn with_threads(mut object: HeldObject, threads: &[(HeldRole, u64, u32)]) -> HeldObject {
    const NOBODY: HeldThread = HeldThread {
        thread: 0,
        role: 0,
        count: 0,
    };
    let mut places = [NOBODY; MAX_HELD_THREADS as usize];
    for (place, &(role, thread, count)) in places.iter_mut().zip(threads) {
        *place = HeldThread {
            thread,
            role: role.to_wire(),
            count,
        };
    }
    object.threads = places;
    let count = u32::try_from(threads.len()).unwrap_or(u32::MAX);
    object.thread_count = count.min(MAX_HELD_THREADS);
    object
}
