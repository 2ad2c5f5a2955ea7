//! What is kept of a run: the driver's counts, and what follows from them.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncstress_protocol::{ItemKind, Verdict, WorkerDetail, WorkerReport};

use crate::{
    catalog::Item,
    client::Collected,
    fairness::{Fairness, contention, ratio},
    latency::Latency,
    length,
    measured::Measured,
    parameters::Values,
    status::NtStatus,
    wire::{self, Word, clean},
};

/// How a run came out, as the program judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every check held.
    Passed,
    /// A check failed.
    Failed,
    /// It was stopped on request, and every check held until then.
    Stopped,
    /// It went on past its time and had to be stopped.
    Overran,
    /// It could not be run.
    Error,
}

impl Outcome {
    /// Whether nothing spoke against the driver.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Passed | Self::Stopped)
    }

    /// One word for a table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Stopped => "stopped",
            Self::Overran => "OVERRAN",
            Self::Error => "ERROR",
        }
    }
}

/// One run and its result. Times are in the unit that their name ends in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// The item's name.
    pub name: String,
    /// What the item is.
    pub kind: Word,
    /// Whether the item is a stress scenario.
    #[serde(default)]
    pub is_scenario: bool,
    /// What it is about.
    pub primitive: Word,
    /// Whether failing is what it is for.
    pub negative_control: bool,
    /// Every parameter with its value.
    pub parameters: BTreeMap<String, u64>,
    /// Which of the parameters say how long it was to take.
    #[serde(default)]
    pub length_parameters: Vec<String>,
    /// How it came out.
    pub outcome: Outcome,
    /// Why it could not be run, where that is so.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    #[schemars(with = "Option<String>")]
    pub status: Option<NtStatus>,
    /// How long it took.
    pub elapsed_seconds: f64,
    /// Violations found, or failed checks of a behaviour test.
    pub failures: u64,
    /// The counts of all workers together.
    #[serde(flatten)]
    pub totals: Totals,
    /// Acquisitions in a second.
    pub acquisitions_per_second: f64,
    /// Contention as the primitive itself counts it, where it does.
    pub kernel_contention: u64,
    /// How evenly workers of one role got the lock; of several roles the worst.
    pub fairness: Option<Fairness>,
    /// The waits of all acquisitions; one that a try got at once waited 0.
    pub wait: Option<Latency>,
    /// How long the lock was held, of those holds that were timed.
    pub hold: Option<Latency>,
    /// How long after their due time timers' DPCs ran.
    pub lateness: Option<Latency>,
    /// Violations of the IRQL.
    #[serde(default)]
    pub irql_violations: u64,
    /// Violations of the APC state.
    #[serde(default)]
    pub apc_violations: u64,
    /// Figures of the whole run, by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, Figure>,
    /// The counts of each role.
    pub roles: Vec<RoleRecord>,
    /// The counts of each worker.
    pub workers: Vec<WorkerRecord>,
    /// What the run wrote.
    pub log: String,
    /// Bytes of the log that the driver did not keep.
    pub log_bytes_lost: u32,
}

/// A figure of a whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Its value.
    pub value: f64,
    /// The unit's abbreviation, empty for a plain number.
    pub unit: Word,
}

/// Counts of several workers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// How many workers these are.
    pub worker_count: usize,
    /// Passes through their loops.
    pub passes: u64,
    /// Acquisitions (timers: sets or cancels).
    pub acquisitions: u64,
    /// Acquisitions and time-outs that found the lock taken.
    pub contended: u64,
    /// Contended ones of all acquisitions and time-outs, from 0 to 1.
    pub contention: f64,
    /// Tries and timed waits that did not acquire.
    pub timeouts: u64,
    /// The longest wait of all.
    pub longest_wait_ns: u64,
    /// The mean wait of an acquisition.
    pub mean_wait_ns: u64,
}

/// What the workers of one role did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoleRecord {
    /// The role.
    pub role: Word,
    /// Its workers' counts.
    #[serde(flatten)]
    pub totals: Totals,
    /// Violations that they found.
    pub failures: u64,
    /// How evenly they got the lock.
    pub fairness: Option<Fairness>,
    /// Their waits; none of those that do not wait.
    #[serde(default)]
    pub wait: Option<Latency>,
}

/// What one worker did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRecord {
    /// Its number within the run.
    pub index: u32,
    /// Its role.
    pub role: Word,
    /// Passes through its loop.
    pub passes: u64,
    /// Acquisitions (timers: sets or cancels).
    pub acquisitions: u64,
    /// Acquisitions and time-outs that found the lock taken.
    pub contended: u64,
    /// Tries and timed waits that did not acquire.
    pub timeouts: u64,
    /// Violations that it found.
    pub failures: u64,
    /// The longest wait.
    pub longest_wait_ns: u64,
    /// All waits together.
    pub total_wait_ns: u64,
}

impl RunRecord {
    /// Whether the run speaks against the driver, or, as a negative control, was meant to.
    #[must_use]
    pub const fn speaks_against(&self) -> bool {
        !self.outcome.is_good() || self.is_blind()
    }

    /// Whether this is a negative control that passed: the checks do not see what they should.
    #[must_use]
    pub const fn is_blind(&self) -> bool {
        self.negative_control && matches!(self.outcome, Outcome::Passed)
    }

    /// The record of a run that was collected. `overran` says that it had to be stopped because it
    /// went on past its time.
    #[must_use]
    pub fn collected(item: &Item, values: &Values, collected: &Collected, overran: bool) -> Self {
        let summary = &collected.summary;
        let outcome = match collected.verdict {
            Verdict::Failed => Outcome::Failed,
            Verdict::Error => Outcome::Error,
            Verdict::Passed | Verdict::Stopped if summary.failures != 0 => Outcome::Failed,
            Verdict::Passed | Verdict::Stopped if overran => Outcome::Overran,
            Verdict::Passed => Outcome::Passed,
            Verdict::Stopped => Outcome::Stopped,
        };
        let elapsed = units_of_100ns(summary.elapsed_100ns);
        let totals = Totals::of(&collected.workers);
        let roles = RoleRecord::all(&collected.workers);
        let status = (outcome == Outcome::Error).then_some(NtStatus(summary.status));
        Self {
            elapsed_seconds: elapsed.as_secs_f64(),
            failures: summary.failures,
            acquisitions_per_second: ratio(totals.acquisitions * 1000, millis(elapsed)),
            totals,
            kernel_contention: summary.kernel_contention,
            fairness: roles
                .iter()
                .filter_map(|role| role.fairness)
                .reduce(Fairness::worse),
            roles,
            workers: collected.workers.iter().map(WorkerRecord::new).collect(),
            log: clean(&collected.log, true),
            log_bytes_lost: summary.log_lost,
            status,
            ..Self::empty(item, values, outcome)
        }
    }

    /// The record with what the run measured.
    #[must_use]
    pub fn with_measured(self, measured: &Measured) -> Self {
        let sum = |count: fn(&WorkerDetail) -> u64| {
            let counts = measured.details.iter().map(count);
            counts.fold(0, u64::saturating_add)
        };
        let metrics = measured.metrics.iter().map(|metric| {
            let figure = Figure {
                value: thousandths(metric.milli),
                unit: wire::unit(metric.unit),
            };
            (clean(metric.name.as_str(), false), figure)
        });
        let roles = self.roles.into_iter().map(|role| {
            let of_role = measured.details.iter().zip(&measured.waits);
            let waits = of_role
                .filter(|(worker, _)| wire::role(worker.role) == role.role)
                .filter_map(|(_, waits)| waits.as_ref());
            RoleRecord {
                wait: Latency::of(waits),
                ..role
            }
        });
        Self {
            roles: roles.collect(),
            wait: Latency::of(measured.waits.iter().flatten()),
            hold: Latency::of(measured.holds.iter().flatten()),
            lateness: Latency::of(measured.lateness.iter().flatten()),
            irql_violations: sum(|worker| worker.irql_violations),
            apc_violations: sum(|worker| worker.apc_violations),
            metrics: metrics.collect(),
            ..self
        }
    }

    /// The record of a run that the driver refused to start.
    #[must_use]
    pub fn refused(item: &Item, values: &Values, status: NtStatus) -> Self {
        Self {
            status: Some(status),
            ..Self::empty(item, values, Outcome::Error)
        }
    }

    fn empty(item: &Item, values: &Values, outcome: Outcome) -> Self {
        Self {
            name: item.name.clone(),
            kind: item.kind_name.clone(),
            is_scenario: item.kind == Some(ItemKind::Scenario),
            primitive: item.primitive.clone(),
            negative_control: item.negative_control,
            parameters: values.all.clone(),
            length_parameters: length::names(item).map(str::to_owned).collect(),
            outcome,
            status: None,
            elapsed_seconds: 0.0,
            failures: 0,
            totals: Totals::default(),
            acquisitions_per_second: 0.0,
            kernel_contention: 0,
            fairness: None,
            wait: None,
            hold: None,
            lateness: None,
            irql_violations: 0,
            apc_violations: 0,
            metrics: BTreeMap::new(),
            roles: Vec::new(),
            workers: Vec::new(),
            log: String::new(),
            log_bytes_lost: 0,
        }
    }
}

impl Totals {
    fn of<'w>(workers: impl IntoIterator<Item = &'w WorkerReport>) -> Self {
        let mut totals = Self::default();
        let mut wait_ns = 0_u64;
        for worker in workers {
            totals.worker_count += 1;
            totals.passes = totals.passes.saturating_add(worker.passes);
            totals.acquisitions = totals.acquisitions.saturating_add(worker.acquisitions);
            totals.contended = totals.contended.saturating_add(worker.contended);
            totals.timeouts = totals.timeouts.saturating_add(worker.timeouts);
            totals.longest_wait_ns = totals.longest_wait_ns.max(worker.longest_wait_ns);
            wait_ns = wait_ns.saturating_add(worker.total_wait_ns);
        }
        totals.contention = contention(totals.contended, totals.acquisitions, totals.timeouts);
        totals.mean_wait_ns = wait_ns.checked_div(totals.acquisitions).unwrap_or(0);
        totals
    }
}

impl RoleRecord {
    /// One for each role that is there, in the order of the roles' numbers.
    fn all(workers: &[WorkerReport]) -> Vec<Self> {
        let mut roles: BTreeMap<u32, Vec<&WorkerReport>> = BTreeMap::new();
        for worker in workers {
            roles.entry(worker.role).or_default().push(worker);
        }
        roles
            .into_iter()
            .map(|(role, workers)| Self::new(role, &workers))
            .collect()
    }

    fn new(role: u32, workers: &[&WorkerReport]) -> Self {
        let shares: Vec<u64> = workers.iter().map(|worker| worker.acquisitions).collect();
        Self {
            role: wire::role(role),
            totals: Totals::of(workers.iter().copied()),
            failures: workers
                .iter()
                .fold(0, |sum, it| sum.saturating_add(it.failures)),
            fairness: Fairness::of(&shares),
            wait: None,
        }
    }
}

impl WorkerRecord {
    fn new(worker: &WorkerReport) -> Self {
        Self {
            index: worker.index,
            role: wire::role(worker.role),
            passes: worker.passes,
            acquisitions: worker.acquisitions,
            contended: worker.contended,
            timeouts: worker.timeouts,
            failures: worker.failures,
            longest_wait_ns: worker.longest_wait_ns,
            total_wait_ns: worker.total_wait_ns,
        }
    }
}

/// A time that the protocol gives in units of 100 ns.
#[must_use]
pub const fn units_of_100ns(units: u64) -> Duration {
    Duration::new(units / 10_000_000, (units % 10_000_000) as u32 * 100)
}

/// A figure that the protocol gives in thousandths.
#[allow(
    clippy::cast_precision_loss,
    reason = "figures are shown with few digits"
)]
fn thousandths(milli: i64) -> f64 {
    milli as f64 / 1000.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
