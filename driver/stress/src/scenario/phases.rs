//! Readers and writers by turns: how many readers come in between two writers, and how many writers
//! in a row while readers wait.
//!
//! A lock that lets every reader join those that are inside starves writers; one that does not makes
//! readers wait for each writer. The figures tell which one a lock is, and the waits of both sorts say
//! what it costs them.

use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    AtMost, Dispatch, Irql, Level, NonPagedArc, Passive, PushLock, Resource, RwSpinLock, Status,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::{
    measure::Ticks,
    settings::{Parameter, ParameterId, parameters},
    thread_state::ThreadState,
};

pub static SCENARIO: Scenario = Scenario {
    id: 21,
    name: "rw-phases",
    primitive: Primitive::Resource,
    flags: 0,
    summary: "Readers between two writers, writers in a row. 0 ERESOURCE, 1 EX_PUSH_LOCK, \
              2 EX_SPIN_LOCK.",
    parameters: parameters![
        Parameter::threads_beside(1, 2),
        Parameter::readers(1, 6),
        Parameter::new(ParameterId::Which, 0, 2, 0),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let which = stage.settings().get(ParameterId::Which);
    let subject = NonPagedArc::pin_init(try_pin_init!(Locks {
        which,
        resource <- Resource::new(Phases::new()),
        push <- PushLock::new(Phases::new()),
        spin: RwSpinLock::new(Phases::new()),
    }? Status))?;
    let result = torture(stage, irql, &subject);
    let told = match which {
        0 => subject
            .resource
            .with_exclusive(irql, |phases, _| phases.told()),
        1 => Ok(subject.push.with_exclusive(irql, |phases, _| phases.told())),
        _ => Ok(subject.spin.with_exclusive(irql, |phases, _| phases.told())),
    };
    match told {
        Ok(told) => told.put(stage),
        Err(_) => stage.log.fail(format_args!("{}", Violation::WrongOwner)),
    }
    result.map(|()| subject.resource.contention_count().into())
}

/// One lock of every sort, of which the run uses one.
#[pin_data]
struct Locks {
    which: u64,
    #[pin]
    resource: Resource<Phases>,
    #[pin]
    push: PushLock<Phases>,
    spin: RwSpinLock<Phases>,
}

impl Torture for Locks {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let since = worker.waits_untried();
        let before = worker.before();
        let in_region = before.without_normal_apcs();
        let raised = before.raised_to(Dispatch::IRQL);
        match (self.which, worker.role()) {
            (0, role) => {
                let done = if role == Role::Writer {
                    self.resource.with_exclusive(irql, |phases, irql| {
                        write(phases, irql, in_region, since, worker);
                    })
                } else {
                    self.resource.with_shared(irql, |phases, irql| {
                        read(phases, irql, in_region, since, worker);
                    })
                };
                if done.is_err() {
                    worker.found(Violation::WrongOwner);
                }
            }
            (1, Role::Writer) => self.push.with_exclusive(irql, |phases, irql| {
                write(phases, irql, in_region, since, worker);
            }),
            (1, _) => self.push.with_shared(irql, |phases, irql| {
                read(phases, irql, in_region, since, worker);
            }),
            (_, Role::Writer) => self.spin.with_exclusive(irql, |phases, irql| {
                write(phases, irql, raised, since, worker);
            }),
            _ => self.spin.with_shared(irql, |phases, irql| {
                read(phases, irql, raised, since, worker);
            }),
        }
    }
}

fn write<L: AtMost<Dispatch>>(
    phases: &mut Phases,
    irql: &Irql<'_, L>,
    expected: ThreadState,
    since: Option<Ticks>,
    worker: &mut Worker<'_>,
) {
    worker.waited_untried(since);
    phases.write();
    worker.owns(irql, expected, |halfway| phases.ledger.change(halfway));
}

fn read<L: AtMost<Dispatch>>(
    phases: &Phases,
    irql: &Irql<'_, L>,
    expected: ThreadState,
    since: Option<Ticks>,
    worker: &mut Worker<'_>,
) {
    worker.waited_untried(since);
    phases.reads.fetch_add(1, Ordering::Relaxed);
    worker.owns(irql, expected, |halfway| phases.ledger.inspect(halfway));
}

/// What the lock protects.
struct Phases {
    ledger: Ledger,
    /// Reads since the last write.
    reads: AtomicU64,
    /// Writes since the last read.
    row: u64,
    told: Told,
}

/// The figures.
#[derive(Clone, Copy, Default)]
struct Told {
    /// Times that readers came in after a writer.
    reader_phases: u64,
    /// Reads in all of them, and in the longest one.
    reads: u64,
    most_reads: u64,
    most_writes: u64,
}

impl Phases {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            reads: AtomicU64::new(0),
            row: 0,
            told: Told {
                reader_phases: 0,
                reads: 0,
                most_reads: 0,
                most_writes: 0,
            },
        }
    }

    /// Counts a write, and the reads since the last one.
    fn write(&mut self) {
        let reads = core::mem::take(self.reads.get_mut());
        if reads == 0 {
            self.row = self.row.saturating_add(1);
        } else {
            self.row = 1;
            self.told.reader_phases = self.told.reader_phases.saturating_add(1);
            self.told.reads = self.told.reads.saturating_add(reads);
            self.told.most_reads = self.told.most_reads.max(reads);
        }
        self.told.most_writes = self.told.most_writes.max(self.row);
    }

    const fn told(&self) -> Told {
        self.told
    }
}

impl Told {
    fn put(self, stage: &mut Stage<'_>) {
        let mean = (u128::from(self.reads) * 1000).checked_div(self.reader_phases.into());
        let mean = i64::try_from(mean.unwrap_or(0)).unwrap_or(i64::MAX);
        let metrics = &mut *stage.metrics;
        metrics.count("reader phases", Unit::Count, self.reader_phases);
        metrics.put("reads in a phase, mean", Unit::Count, mean);
        metrics.count("reads in a phase, most", Unit::Count, self.most_reads);
        metrics.count("writes in a row, most", Unit::Count, self.most_writes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_end_with_a_write() {
        let mut phases = Phases::new();
        for reads in [2, 0, 0, 5, 0] {
            phases.reads.fetch_add(reads, Ordering::Relaxed);
            phases.write();
        }
        let told = phases.told();
        assert_eq!((told.reader_phases, told.reads), (2, 7));
        assert_eq!((told.most_reads, told.most_writes), (5, 3));
    }
}
