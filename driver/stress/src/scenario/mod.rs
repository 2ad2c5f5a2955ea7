//! Stress scenarios: many threads on one primitive, its invariant checked on every pass.
//!
//! Every pass of every worker goes the same way. It first tries the lock, so that contention is seen;
//! when the try fails, it waits, and the wait is timed. While it has the lock it checks that the IRQL
//! and the APC state are those that the primitive documents, that the [`Ledger`](ledger::Ledger) is
//! whole, and, halfway through changing it, that nobody else is there. Afterwards IRQL and APC state
//! must be what they were before. One pass in eight takes the lock without a try, so that the
//! uncontended path of the waiting function runs as well; these are not counted as contended, and a
//! part of them is timed and stands for the others. Where no function tries, a wait of more than a
//! microsecond counts as one that found the lock taken.
//!
//! A violation is counted where it was seen, and the first one of each worker is described in the
//! log.

mod account;
mod apc_mutex;
mod broken_lock;
mod busted;
mod busted_list;
mod contenders;
#[cfg(feature = "lockdep")]
mod deadly_embrace;
mod dpc;
mod dpcs;
#[cfg(not(feature = "lockdep"))]
mod embrace;
mod ex_timer;
mod hand_off;
mod harness;
mod interlocked_list;
mod ledger;
mod mutex;
mod mutex_multiple;
mod next_owner;
mod nodes;
mod phases;
mod polling;
mod priority_inversion;
mod push_lock;
mod queued_spin_lock;
mod recursive_mutex;
mod resource;
mod rundown;
mod rw_spin_lock;
mod s_list;
mod semaphore;
mod spin_lock;
mod stage;
mod stint;
mod thread;
mod timer;
mod timer_accuracy;
mod timer_periodic;
mod timer_storm;
mod violation;
mod wait_multiple;
mod work_item;
mod worker;

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, Passive, Status};

pub use self::{stage::Stage, worker::stay_busy};
use crate::settings::{Parameter, Settings};

/// All scenarios, in the order in which they are listed.
pub static TABLE: &[&Scenario] = &[
    &spin_lock::SCENARIO,
    &mutex::SCENARIO,
    &recursive_mutex::SCENARIO,
    &resource::SCENARIO,
    &apc_mutex::FAST,
    &timer::SCENARIO,
    &queued_spin_lock::SCENARIO,
    &rw_spin_lock::SCENARIO,
    &apc_mutex::GUARDED,
    &push_lock::SCENARIO,
    &rundown::SCENARIO,
    &semaphore::SCENARIO,
    &hand_off::SCENARIO,
    &wait_multiple::SCENARIO,
    &mutex_multiple::SCENARIO,
    &timer_accuracy::SCENARIO,
    &priority_inversion::SCENARIO,
    #[cfg(not(feature = "lockdep"))]
    &embrace::SCENARIO,
    &timer_periodic::SCENARIO,
    &next_owner::SCENARIO,
    &phases::SCENARIO,
    &polling::SCENARIO,
    &ex_timer::SCENARIO,
    &s_list::SCENARIO,
    &interlocked_list::SCENARIO,
    &work_item::SCENARIO,
    &dpc::SCENARIO,
    &thread::SCENARIO,
    &broken_lock::SCENARIO,
    &busted::READER,
    &hand_off::BUSTED,
    &busted::IRQL,
    &busted::REGION,
    &busted_list::SCENARIO,
    &work_item::BUSTED,
    &thread::BUSTED,
    #[cfg(feature = "lockdep")]
    &deadly_embrace::SCENARIO,
];

/// A scenario, as it is listed.
pub struct Scenario {
    /// Stable over versions.
    pub id: u32,
    /// To type.
    pub name: &'static str,
    /// What it is about.
    pub primitive: Primitive,
    /// Bits of [`ItemFlags`](syncstress_protocol::ItemFlags).
    pub flags: u32,
    /// One sentence.
    pub summary: &'static str,
    /// What it takes.
    pub parameters: &'static [Parameter],
    /// Who takes part, for given parameters.
    pub crew: fn(&Settings) -> Crew,
    /// Carries it through and gives the contention as the primitive counts it.
    pub run: fn(&mut Stage<'_>, &mut Irql<'_, Passive>) -> Result<u64, Status>,
}

/// Who takes part in a run: so many of each role.
#[derive(Clone, Copy)]
pub struct Crew([(Role, u32); 3]);

impl Crew {
    /// Threads that all do the same.
    pub const fn of(role: Role, threads: u32) -> Self {
        Self([(role, threads), (Role::Reader, 0), (Role::Dpc, 0)])
    }

    /// With threads of another role.
    #[must_use]
    pub const fn with(mut self, role: Role, threads: u32) -> Self {
        self.0[1] = (role, threads);
        self
    }

    /// With DPCs, which are no threads.
    #[must_use]
    pub const fn with_dpcs(mut self, dpcs: u32) -> Self {
        self.0[2] = (Role::Dpc, dpcs);
        self
    }

    /// How many threads there are.
    pub fn threads(&self) -> u32 {
        let threads = self.0.iter().filter(|(role, _)| *role != Role::Dpc);
        threads.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The role of each, threads before DPCs.
    pub fn members(&self) -> impl Iterator<Item = Role> {
        let groups = self.0.into_iter();
        groups.flat_map(|(role, count)| core::iter::repeat_n(role, count as usize))
    }
}

impl Default for Crew {
    /// Nobody.
    fn default() -> Self {
        Self::of(Role::Writer, 0)
    }
}
