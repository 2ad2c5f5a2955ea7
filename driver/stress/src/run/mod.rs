//! A run: what its threads share, and what is told about it while it goes on.

mod beat;
mod metrics;
mod outcome;
mod supervisor;
mod tally;

use alloc::vec::Vec;
use core::{
    ops::Deref,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{HeldObject, MAX_HELD_THREADS, Phase, Progress};
use wdk_sync::{
    AlreadyOwned, Event, Instant, Irql, Mutex, NonPagedArc, Passive, Signal, Status, Timeout,
    WaitStatus,
};

use self::beat::Drummer;
pub use self::{
    beat::{Beat, Beats},
    metrics::Metrics,
    outcome::Outcome,
    supervisor::supervise,
    tally::{Count, Tally},
};
use crate::{
    Device, catalog::Item, engine::Share, hold::Entry, measure::Clock, scenario::Crew,
    settings::Settings,
};

/// One run of an item.
#[pin_data]
pub struct Run {
    number: u64,
    item: Item,
    settings: Settings,
    /// That of its session.
    device: Device,
    started: Instant,
    /// The longest that somebody was told it has been going on, in 100 ns: not to be taken back.
    told_100ns: AtomicU64,
    clock: Clock,
    /// One for each worker and each DPC.
    tallies: Vec<Tally>,
    /// A [`Phase`], which only grows.
    phase: AtomicU32,
    /// Someone asked for an end before the time was over.
    stop_requested: AtomicBool,
    /// Its session has forgotten it.
    forgotten: AtomicBool,
    /// What all workers do in turns.
    beats: Beats,
    /// Worker threads alive.
    workers: AtomicU32,
    /// Signaled when the run is to end, for the supervisor.
    #[pin]
    end: Event,
    /// Signaled when every worker is there and they may begin.
    #[pin]
    gate: Event,
    /// What a hold pattern holds at the moment.
    #[pin]
    held: Mutex<Option<Entry>>,
    /// Given back when the run is forgotten.
    _place: Share,
}

/// How many worker threads a run of `item` has.
pub fn threads_of(item: Item, settings: &Settings) -> u32 {
    match item {
        Item::Test(_) => Item::TEST_THREADS,
        Item::Hold(_) => MAX_HELD_THREADS,
        Item::Scenario(scenario) => (scenario.crew)(settings).threads(),
    }
}

impl Run {
    /// A run that has not started.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(
        number: u64,
        item: Item,
        settings: &Settings,
        device: Device,
        place: Share,
    ) -> Result<NonPagedArc<Self>, Status> {
        let crew = match item {
            Item::Test(_) | Item::Hold(_) => Crew::default(),
            Item::Scenario(scenario) => (scenario.crew)(settings),
        };
        let tallies = tally::for_crew(&crew)?;
        NonPagedArc::pin_init(pin_init!(Self {
            number,
            item,
            settings: *settings,
            device,
            started: Instant::now(),
            told_100ns: AtomicU64::new(0),
            clock: Clock::start(),
            tallies,
            phase: AtomicU32::new(Phase::Running.to_wire()),
            stop_requested: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            beats: Beats::default(),
            workers: AtomicU32::new(0),
            end <- Event::new(Signal::Notification, false),
            gate <- Event::new(Signal::Notification, false),
            held <- Mutex::new(None),
            _place: place,
        }))
    }

    /// What a request names it by.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// What it is a run of.
    pub const fn item_id(&self) -> u32 {
        self.item.id()
    }

    /// Whether its session has forgotten it.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Says that its session has forgotten it.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }

    /// The values of its parameters.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The device object of its session.
    pub const fn device(&self) -> Device {
        self.device
    }

    /// What it measures with.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The counters of its workers and DPCs.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        Phase::from_wire(self.phase.load(Ordering::Acquire)).unwrap_or(Phase::Finished)
    }

    /// Whether the workers go on.
    pub fn goes_on(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Running.to_wire()
    }

    /// Whether someone asked for an end before the time was over.
    pub fn was_stopped(&self) -> bool {
        self.stop_requested.load(Ordering::Relaxed)
    }

    /// Asks for an end. Before its supervisor has begun, too.
    pub fn request_stop(&self, irql: &Irql<'_, Passive>) {
        self.abandon();
        self.end.set(irql);
    }

    /// Asks for an end, which takes up to [`END_IS_SEEN_WITHIN`]: for a drop, which knows no IRQL.
    pub fn abandon(&self) {
        if self.goes_on() {
            self.stop_requested.store(true, Ordering::Relaxed);
        }
        self.phase
            .fetch_max(Phase::Stopping.to_wire(), Ordering::Release);
    }

    /// Lets the workers begin.
    pub fn open_gate(&self, irql: &Irql<'_, Passive>) {
        self.gate.set(irql);
    }

    /// Lets the workers end; those who wait at the gate, too.
    pub fn end_workers(&self, irql: &Irql<'_, Passive>) {
        self.phase
            .fetch_max(Phase::Stopping.to_wire(), Ordering::Relaxed);
        self.gate.set(irql);
    }

    /// Counts a worker that is about to be started, until what this gives is dropped.
    pub fn with_worker(run: &NonPagedArc<Self>) -> Alive {
        run.workers.fetch_add(1, Ordering::Relaxed);
        Alive(run.clone())
    }

    /// Waits until all workers may begin.
    pub fn wait_at_gate(&self, irql: &mut Irql<'_, Passive>) {
        let _opened = self.gate.wait(irql, Timeout::Never);
    }

    /// Waits until the run is asked to end or `duration` is over, and some time longer if nothing was
    /// acquired by then: a short run is over before a worker of a busy machine has begun, or a timer of a
    /// long period has expired.
    pub fn wait_for_end(&self, irql: &mut Irql<'_, Passive>, duration: Duration) {
        let start = Instant::now();
        let mut drummer = Drummer::new(&self.settings);
        while self.goes_on() {
            let elapsed = start.elapsed();
            let has_results = self.tallies.is_empty() || self.sum(Count::Acquisitions) > 0;
            let left = match duration.saturating_sub(elapsed) {
                Duration::ZERO if !has_results && elapsed < duration.saturating_add(PATIENCE) => {
                    UNTIL_THE_FIRST
                }
                left => left,
            };
            let slice = left
                .min(END_IS_SEEN_WITHIN)
                .min(drummer.beat(&self.beats, elapsed));
            let slice = Timeout::After(slice);
            if left.is_zero() || self.end.wait(irql, slice) == WaitStatus::Acquired {
                return;
            }
            if self.workers.load(Ordering::Relaxed) == 0 {
                // Every worker has done what it was to do.
                return;
            }
        }
    }

    /// Tells what a hold pattern holds from now on.
    pub fn show_held(
        &self,
        irql: &mut Irql<'_, Passive>,
        held: Option<Entry>,
    ) -> Result<(), Status> {
        self.held
            .with(irql, |place, _irql| *place = held)
            .map_err(|AlreadyOwned| Status::INVALID_DEVICE_STATE)
    }

    /// What a hold pattern holds.
    pub fn held(&self, irql: &mut Irql<'_, Passive>) -> Result<HeldObject, Status> {
        let object = |held: &Option<Entry>| held.as_ref().map(Entry::object);
        let held = self.held.with(irql, |held, _irql| object(held));
        held.ok().flatten().ok_or(Status::INVALID_DEVICE_STATE)
    }

    /// What all workers do in turns.
    pub const fn beats(&self) -> &Beats {
        &self.beats
    }

    /// Says that nothing of the run goes on any more but the end of its supervisor.
    pub fn finish(&self) {
        self.phase
            .fetch_max(Phase::Finished.to_wire(), Ordering::Release);
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How far it has come, while its outcome is not there.
    pub fn progress(&self) -> Progress {
        self.progress_after(in_100ns(self.elapsed()))
    }

    /// How far it came.
    pub fn final_progress(&self, outcome: &Outcome) -> Progress {
        Progress {
            phase: Phase::Finished.to_wire(),
            failures: outcome.failures,
            collect_bytes: u32::try_from(self.result_bytes(outcome)).unwrap_or(u32::MAX),
            ..self.progress_after(outcome.elapsed_100ns)
        }
    }

    /// How far it has come `elapsed_100ns` after its start. Who asked while the outcome was being made up
    /// may have been told of a later moment than the outcome's.
    fn progress_after(&self, elapsed_100ns: u64) -> Progress {
        let told = self.told_100ns.fetch_max(elapsed_100ns, Ordering::Relaxed);
        let phase = if self.goes_on() {
            Phase::Running
        } else {
            Phase::Stopping
        };
        Progress {
            phase: phase.to_wire(),
            workers: self.workers.load(Ordering::Relaxed),
            elapsed_100ns: elapsed_100ns.max(told),
            planned_100ns: self.planned_100ns(),
            passes: self.sum(Count::Passes),
            acquisitions: self.sum(Count::Acquisitions),
            failures: self.sum(Count::Failures),
            collect_bytes: 0,
            reserved: 0,
        }
    }

    /// The sum of a count over all workers.
    pub fn sum(&self, count: Count) -> u64 {
        let values = self.tallies.iter().map(|tally| tally.get(count));
        values.fold(0, u64::saturating_add)
    }

    fn planned_100ns(&self) -> u64 {
        in_100ns(self.settings.duration())
    }
}

/// How long a supervisor can be blind to [`Run::abandon`].
const END_IS_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// How much longer than it was to a run takes at most until something was acquired.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a run that is to end looks whether something was.
const UNTIL_THE_FIRST: Duration = Duration::from_millis(5);

/// A duration as the wire has it.
pub fn in_100ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() / 100).unwrap_or(u64::MAX)
}

/// A worker that is counted, and its run.
pub struct Alive(NonPagedArc<Run>);

impl Deref for Alive {
    type Target = Run;

    fn deref(&self) -> &Run {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::Relaxed);
    }
}
