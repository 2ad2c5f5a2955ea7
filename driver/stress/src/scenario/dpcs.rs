//! DPCs that contend for a spin lock, and the books of what they are the DPCs of.

use alloc::vec::Vec;
use core::time::Duration;

use syncstress_protocol::Role;
use wdk_sync::{Dispatch, Irql, Level, NonPagedArc, Passive, SpinLock, Status};

use super::{
    Stage,
    account::{self, Account},
    contenders::check_level,
    ledger::Ledger,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::run::{Count, Run, Tally};

/// How many DPCs count for themselves; where there are more, several count together.
pub const COUNTED_DPCS: u32 = 64;

/// One run in so many is one after which something queues itself again.
pub const AGAIN_EVERY: u64 = 8;

/// What the DPCs of a run share.
pub struct Dpcs {
    run: NonPagedArc<Run>,
    /// How many tallies of the run come before those of the DPCs.
    threads: usize,
    hold: Duration,
    accounts: Vec<Account>,
    protected: SpinLock<Protected>,
}

struct Protected {
    ledger: Ledger,
    first: Option<(usize, Violation)>,
    /// Nothing is to be queued again.
    is_closing: bool,
}

impl Dpcs {
    /// So many DPCs, each of which has the lock for so long.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(run: &NonPagedArc<Run>, count: u32, hold: Duration) -> Result<Self, Status> {
        let is_thread = |tally: &&Tally| tally.role() != Role::Dpc;
        Ok(Self {
            run: run.clone(),
            threads: run.tallies().iter().filter(is_thread).count(),
            hold,
            accounts: account::several(count)?,
            protected: SpinLock::new(Protected {
                ledger: Ledger::new(),
                first: None,
                is_closing: false,
            }),
        })
    }

    /// The books, one for each.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// What DPC `index` does, with `last` at its end for the how many-th time it runs, unless that is
    /// over.
    pub fn runs(&self, irql: &mut Irql<'_, Dispatch>, index: usize, last: impl FnOnce(u64)) {
        let dpc = self.threads.saturating_add(index % COUNTED_DPCS as usize);
        let (Some(account), Some(tally)) = (self.accounts.get(index), self.run.tallies().get(dpc))
        else {
            return;
        };
        let time = account.runs();
        if let Some(mut protected) = self.protected.try_lock_at_dpc_level(irql) {
            return self.change(&mut protected, index, tally, || last(time));
        }
        let mut protected = self.protected.lock_at_dpc_level(irql);
        tally.count(Count::Contended);
        self.change(&mut protected, index, tally, || last(time));
    }

    /// What a DPC does under the spin lock. The lock also orders what two runs of one DPC count.
    fn change(&self, protected: &mut Protected, index: usize, tally: &Tally, last: impl FnOnce()) {
        tally.count(Count::Passes);
        tally.count(Count::Acquisitions);
        let level = check_level();
        let changed = protected.ledger.change(|| stay_busy(self.hold));
        for violation in [level, changed].into_iter().filter_map(Result::err) {
            tally.count(Count::Failures);
            protected.first.get_or_insert((index, violation));
        }
        if !protected.is_closing {
            last();
        }
    }

    /// A thread takes the spin lock of the DPCs.
    pub fn visit(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before().raised_to(Dispatch::IRQL);
        let mut guard = self.protected.lock(irql);
        let (protected, irql) = guard.parts();
        worker.owns(irql, expected, |halfway| protected.ledger.change(halfway));
    }

    /// From now on no DPC does what it does last.
    pub fn close(&self, irql: &mut Irql<'_, Passive>) {
        self.protected.lock(irql).is_closing = true;
    }

    /// Tells what a DPC found first. None runs any more.
    pub fn tell(&self, stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) {
        if let Some((dpc, violation)) = self.protected.lock(irql).first {
            stage.log.note(format_args!("DPC {dpc}: {violation}"));
        }
    }
}
