//! What a view shows, and what follows from looking twice.

use std::{collections::VecDeque, time::Duration};

use syncstress_protocol::{Progress, Role, WorkerDetail};

use super::Plan;
use crate::{
    fairness::{contention, ratio},
    record::{RunRecord, units_of_100ns},
    show::units::{plural, rate, seconds},
    wire::{self, Word},
};

/// Rates are over at least so much of a run's time.
const SAMPLE: Duration = Duration::from_millis(250);
/// A worker that gets nothing for so long, while others do, is told of.
const STARVES_AFTER: Duration = Duration::from_secs(1);
/// How many events are kept.
const MOST_EVENTS: usize = 100;
/// How many samples are kept.
const MOST_SAMPLES: usize = 512;

/// What is shown.
pub struct Model {
    /// The command and the host.
    pub title: String,
    /// What is still to come after the run that goes on.
    pub plan: Plan,
    /// How many runs there were, with the one that goes on.
    pub number: usize,
    /// The run that goes on, or went on last.
    pub run: Option<RunView>,
    /// What happened, the last one last.
    pub events: VecDeque<Event>,
}

/// Something that happened.
pub struct Event {
    /// When, since the command began.
    pub at: Duration,
    /// What.
    pub text: String,
    /// Whether it speaks against the driver.
    pub bad: bool,
}

/// A run.
pub struct RunView {
    /// Its item.
    pub name: String,
    /// How long it has been going on.
    pub elapsed: Duration,
    /// How long it will; zero if unknown.
    pub planned: Duration,
    /// Acquisitions so far.
    pub acquisitions: u64,
    /// Violations so far.
    pub failures: u64,
    /// Worker threads alive.
    pub alive: u32,
    /// Acquisitions in a second, of late.
    pub per_second: f64,
    /// Contended acquisitions of all of late, from 0 to 1.
    pub contention: f64,
    /// What `per_second` was, the last one last.
    pub history: VecDeque<u64>,
    /// Its workers.
    pub workers: Vec<WorkerView>,
    sampled: Duration,
    sampled_acquisitions: u64,
}

/// A worker.
pub struct WorkerView {
    /// What it does.
    pub role: Word,
    /// Its counts.
    pub counts: WorkerDetail,
    /// Acquisitions in a second, of late.
    pub per_second: f64,
    /// Contended acquisitions of all of late, from 0 to 1.
    pub contention: f64,
    sampled: WorkerDetail,
    got_something: Duration,
    starves: bool,
}

impl Model {
    /// A view that has seen nothing.
    pub const fn new(title: String) -> Self {
        Self {
            title,
            plan: Plan {
                runs: Vec::new(),
                until: None,
                is_unknown: false,
            },
            number: 0,
            run: None,
            events: VecDeque::new(),
        }
    }

    /// A run was started.
    pub fn starts(&mut self, at: Duration, name: &str) {
        self.number += 1;
        if !self.plan.runs.is_empty() {
            self.plan.runs.remove(0);
        }
        self.run = Some(RunView::new(name));
        self.event(at, format!("{name} began"), false);
    }

    /// A look at the run.
    pub fn sees(&mut self, at: Duration, counts: &Progress, workers: &[WorkerDetail]) {
        let Some(run) = &mut self.run else {
            return;
        };
        let failures = counts.failures.saturating_sub(run.failures);
        let starving = run.sees(counts, workers);
        if failures > 0 {
            let text = format!("{}: {} failed", run.name, plural(failures, "more check"));
            self.event(at, text, true);
        }
        for worker in starving {
            let text = format!("{worker} has got nothing for {}", seconds(1.0));
            self.event(at, text, false);
        }
    }

    /// A run has ended.
    pub fn ended(&mut self, at: Duration, run: &RunRecord) {
        let text = format!(
            "{} {}: {}, {}/s, {}",
            run.name,
            run.outcome.word(),
            plural(run.totals.acquisitions, "acquisition"),
            rate(run.acquisitions_per_second),
            plural(run.failures, "failure"),
        );
        self.event(at, text, run.speaks_against());
    }

    /// Anything else.
    pub fn says(&mut self, at: Duration, text: String) {
        self.event(at, text, false);
    }

    /// How much time is left in all, if that is known.
    pub fn left(&self, at: Duration) -> Option<Duration> {
        if let Some(until) = self.plan.until {
            return Some(until.saturating_sub(at));
        }
        let of_this = self.run.as_ref().map_or(Duration::ZERO, RunView::left);
        let later: Duration = self.plan.runs.iter().sum();
        Some(of_this + later).filter(|left| !left.is_zero())
    }

    fn event(&mut self, at: Duration, text: String, bad: bool) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { at, text, bad });
    }
}

impl RunView {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            elapsed: Duration::ZERO,
            planned: Duration::ZERO,
            acquisitions: 0,
            failures: 0,
            alive: 0,
            per_second: 0.0,
            contention: 0.0,
            history: VecDeque::new(),
            workers: Vec::new(),
            sampled: Duration::ZERO,
            sampled_acquisitions: 0,
        }
    }

    /// How much of the planned time is left.
    pub const fn left(&self) -> Duration {
        self.planned.saturating_sub(self.elapsed)
    }

    /// Takes the counts over; gives the names of workers that begin to starve.
    fn sees(&mut self, counts: &Progress, workers: &[WorkerDetail]) -> Vec<String> {
        self.elapsed = units_of_100ns(counts.elapsed_100ns);
        self.planned = units_of_100ns(counts.planned_100ns);
        self.acquisitions = counts.acquisitions;
        self.failures = counts.failures;
        self.alive = counts.workers;
        for worker in workers.iter().skip(self.workers.len()) {
            self.workers.push(WorkerView::new(worker));
        }
        for (view, worker) in self.workers.iter_mut().zip(workers) {
            view.counts = *worker;
        }
        let span = self.elapsed.saturating_sub(self.sampled);
        if span < SAMPLE {
            return Vec::new();
        }
        self.sampled = self.elapsed;
        let more = self.acquisitions.saturating_sub(self.sampled_acquisitions);
        self.sampled_acquisitions = self.acquisitions;
        self.per_second = per_second(more, span);
        if self.history.len() == MOST_SAMPLES {
            self.history.pop_front();
        }
        self.history
            .push_back(more.saturating_mul(1000) / millis(span).max(1));
        self.sample_workers(span)
    }

    fn sample_workers(&mut self, span: Duration) -> Vec<String> {
        let mut all = Sample::default();
        let mut starving = Vec::new();
        for worker in &mut self.workers {
            let sample = worker.sample(span, self.elapsed);
            all.acquired = all.acquired.saturating_add(sample.acquired);
            all.contended = all.contended.saturating_add(sample.contended);
            all.timeouts = all.timeouts.saturating_add(sample.timeouts);
        }
        self.contention = all.contention();
        for worker in &mut self.workers {
            if all.acquired > 0 && worker.begins_to_starve(self.elapsed) {
                starving.push(format!("{} {}", worker.role, worker.counts.index));
            }
        }
        starving
    }
}

/// What was counted in a while.
#[derive(Clone, Copy, Default)]
struct Sample {
    acquired: u64,
    contended: u64,
    timeouts: u64,
}

impl Sample {
    fn contention(self) -> f64 {
        contention(self.contended, self.acquired, self.timeouts)
    }
}

impl WorkerView {
    fn new(worker: &WorkerDetail) -> Self {
        Self {
            role: wire::role(worker.role),
            counts: *worker,
            per_second: 0.0,
            contention: 0.0,
            sampled: WorkerDetail {
                acquisitions: 0,
                contended: 0,
                timeouts: 0,
                ..*worker
            },
            got_something: Duration::ZERO,
            starves: false,
        }
    }

    /// What it did since the last sample.
    fn sample(&mut self, span: Duration, now: Duration) -> Sample {
        let more = |count: fn(&WorkerDetail) -> u64| {
            count(&self.counts).saturating_sub(count(&self.sampled))
        };
        let sample = Sample {
            acquired: more(|it| it.acquisitions),
            contended: more(|it| it.contended),
            timeouts: more(|it| it.timeouts),
        };
        self.sampled = self.counts;
        self.per_second = per_second(sample.acquired, span);
        self.contention = sample.contention();
        if sample.acquired > 0 {
            self.got_something = now;
            self.starves = false;
        }
        sample
    }

    /// Whether it has got nothing for long, and that was not told before.
    fn begins_to_starve(&mut self, now: Duration) -> bool {
        let contends = self.counts.role != Role::Dpc.to_wire();
        let long = now.saturating_sub(self.got_something) >= STARVES_AFTER;
        contends && long && !std::mem::replace(&mut self.starves, true)
    }
}

fn per_second(count: u64, span: Duration) -> f64 {
    ratio(count.saturating_mul(1000), millis(span))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
