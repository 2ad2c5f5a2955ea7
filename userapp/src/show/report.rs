//! Everything that came out of one command: what `--json` prints, and what the verdict is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syncstress_protocol::VersionReply;

use crate::{
    catalog::Item,
    environment::Environment,
    error::Error,
    exit::Exit,
    held::Held,
    locks::{HeldLock, LockStat, Lockdep},
    record::RunRecord,
    transport::{BugCheck, HostDescription, Leak},
    wire::Word,
};

/// The JSON document. Fields are added to it, and none changes its meaning.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this program.
    pub syncstress: String,
    /// The command that was carried out.
    #[serde(default)]
    pub command: String,
    /// Where and when.
    #[serde(default)]
    pub environment: Environment,
    /// On what the driver ran.
    pub host: Option<HostDescription>,
    /// What the driver says of itself.
    pub driver: Option<DriverInfo>,
    /// What the driver can run, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// The order of the driver's locks, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdep: Option<Lockdep>,
    /// How often and for how long they are wanted and held, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_stat: Option<LockStat>,
    /// The locks that were held when it was asked, of a driver that knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_locks: Option<Vec<HeldLock>>,
    /// Locks and timers that were held, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// What ran, in that order.
    pub runs: Vec<RunRecord>,
    /// Runs of other handles that were watched, as they were last seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<Watched>,
    /// What measuring costs, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overheads: Vec<Overhead>,
    /// What the process was using after each round, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
    /// What was asked for and did not run, by name.
    pub not_run: Vec<String>,
    /// What the driver left behind at unload; none where it was not unloaded by this program.
    pub leaks: Option<Vec<Leak>>,
    /// The bug check that ended the kernel.
    pub bug_check: Option<BugCheck>,
    /// What ended the command early.
    pub error: Option<String>,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// The verdict.
    pub verdict: Exit,
    /// The exit code.
    pub exit_code: u8,
}

/// What measuring costs in one scenario with one thread: passes with it and without it in turns, in
/// one run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Overhead {
    /// The scenario.
    pub scenario: String,
    /// The median time of a pass that is not measured.
    pub bare_ns: f64,
    /// The median time of one that is.
    pub measured_ns: f64,
    /// What measuring costs: the median difference of passes that followed one another, some with it and some
    /// without, over the quickest quarter of them.
    pub difference_ns: f64,
    /// What it may be at most.
    pub bound_ns: f64,
}

impl Overhead {
    /// Whether it is beyond its bound.
    pub fn is_too_much(&self) -> bool {
        self.difference_ns > self.bound_ns
    }
}

/// A run of another handle, as it was last seen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// Its number in the driver.
    pub run: u64,
    /// Its item's name.
    pub name: String,
    /// What it is about.
    pub primitive: Word,
    /// How many workers and DPCs it had.
    pub workers: u32,
    /// How long it had been going on.
    pub elapsed_seconds: f64,
    /// Its acquisitions until then.
    pub acquisitions: u64,
    /// Which part of its acquisitions and time-outs found the lock taken, where that was asked for.
    pub contention: Option<f64>,
    /// Violations found until then.
    pub failures: u64,
}

/// One round of a soak: every scenario once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Its number, from 1 on.
    pub number: u64,
    /// When it ended, in seconds since the first began.
    pub ended_seconds: f64,
    /// Acquisitions in it.
    pub acquisitions: u64,
    /// The scenarios of it that speak against the driver.
    pub against: Vec<String>,
    /// What this process, with the kernel in it where that is so, was using then; none where the
    /// system does not tell.
    pub usage: Option<Usage>,
}

/// What a process is using.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Resident memory.
    pub memory_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

/// What the driver says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DriverInfo {
    /// Major, minor and patch.
    pub version: String,
    /// Major and minor.
    pub protocol: String,
    /// Active processors.
    pub processors: u32,
    /// What it can run.
    pub items: u32,
    /// What it refuses to go beyond.
    pub limits: LimitsInfo,
}

/// The limits that the driver publishes and enforces.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LimitsInfo {
    /// Worker threads in one run.
    pub threads_per_run: u32,
    /// Worker threads in all runs together.
    pub threads_total: u32,
    /// Runs at a time, over all handles.
    pub runs: u32,
    /// Length of a run.
    pub seconds_per_run: u32,
    /// Bytes of log that a run keeps.
    pub log_bytes: u32,
}

impl From<&VersionReply> for DriverInfo {
    fn from(reply: &VersionReply) -> Self {
        let [major, minor, patch] = reply.driver_version;
        Self {
            version: format!("{major}.{minor}.{patch}"),
            protocol: format!("{}.{}", reply.protocol_major, reply.protocol_minor),
            processors: reply.processors,
            items: reply.items,
            limits: LimitsInfo {
                threads_per_run: reply.limits.threads_per_run,
                threads_total: reply.limits.threads_total,
                runs: reply.limits.runs,
                seconds_per_run: reply.limits.seconds_per_run,
                log_bytes: reply.limits.log_bytes,
            },
        }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self {
            syncstress: env!("CARGO_PKG_VERSION").to_owned(),
            command: String::new(),
            environment: Environment::now(),
            host: None,
            driver: None,
            items: None,
            lockdep: None,
            lock_stat: None,
            held_locks: None,
            held: Vec::new(),
            runs: Vec::new(),
            watched: Vec::new(),
            overheads: Vec::new(),
            rounds: Vec::new(),
            not_run: Vec::new(),
            leaks: None,
            bug_check: None,
            error: None,
            interrupted: false,
            verdict: Exit::Passed,
            exit_code: Exit::Passed.code(),
        }
    }
}

impl Report {
    /// Puts an early end into the report and judges. What speaks against the driver goes before
    /// what speaks of the user: a failure is a failure even if Ctrl-C came after it.
    pub fn judge(&mut self, error: Option<&Error>) {
        self.bug_check = error.and_then(Error::bug_check).cloned();
        self.error = error.map(ToString::to_string);
        let left_behind = self.leaks.as_ref().is_some_and(|leaks| !leaks.is_empty());
        let disordered = (self.lockdep.as_ref()).is_some_and(|it| !it.reports.is_empty());
        let failed = left_behind
            || disordered
            || self.runs.iter().any(RunRecord::speaks_against)
            || self.rounds.iter().any(|round| !round.against.is_empty())
            || self.overheads.iter().any(Overhead::is_too_much);
        self.verdict = match error {
            Some(error) => error.exit(),
            None if failed => Exit::Failed,
            None if self.interrupted => Exit::Interrupted,
            None => Exit::Passed,
        };
        self.exit_code = self.verdict.code();
    }

    /// Whether there is anything that a verdict could be on.
    pub fn has_results(&self) -> bool {
        let left_behind = self.leaks.as_ref().is_some_and(|leaks| !leaks.is_empty());
        left_behind || !self.runs.is_empty() || !self.not_run.is_empty()
    }

    /// The JSON document.
    pub fn to_json(&self) -> String {
        match serde_json::to_string_pretty(self) {
            Ok(json) => json,
            Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::{
        catalog::samples, parameters::Values, record::Outcome, status::NtStatus,
        transport::TransportError,
    };

    fn run(outcome: Outcome) -> RunRecord {
        let item = samples::item(1, ItemKind::Scenario, "a", false);
        let record = RunRecord::refused(&item, &Values::default(), NtStatus::UNSUCCESSFUL);
        RunRecord { outcome, ..record }
    }

    fn judged(report: Report, error: Option<&Error>) -> (Exit, u8) {
        let mut report = report;
        report.judge(error);
        (report.verdict, report.exit_code)
    }

    #[test]
    fn good_runs_pass() {
        let report = Report {
            runs: vec![run(Outcome::Passed)],
            ..Report::default()
        };
        assert_eq!(judged(report, None), (Exit::Passed, 0));
    }

    #[test]
    fn a_leak_fails() {
        let leaks = Some(vec![Leak("pool".to_owned())]);
        let report = Report {
            runs: vec![run(Outcome::Passed)],
            leaks,
            ..Report::default()
        };
        assert_eq!(judged(report, None), (Exit::Failed, 1));
    }

    #[test]
    fn an_interrupt_hides_no_failure() {
        for (outcome, exit) in [
            (Outcome::Stopped, Exit::Interrupted),
            (Outcome::Failed, Exit::Failed),
            (Outcome::Overran, Exit::Failed),
            (Outcome::Error, Exit::Failed),
        ] {
            let runs = vec![run(outcome)];
            let report = Report {
                runs,
                interrupted: true,
                ..Report::default()
            };
            assert_eq!(judged(report, None).0, exit);
        }
    }

    #[test]
    fn a_bug_check_goes_before_all_and_is_in_the_document() {
        let bug_check = BugCheck {
            text: "IRQL".to_owned(),
            report: serde_json::json!({"code": 10}),
        };
        let error = Error::from(TransportError::BugCheck(Box::new(bug_check)));
        let mut report = Report {
            runs: vec![run(Outcome::Failed)],
            ..Report::default()
        };
        report.judge(Some(&error));
        assert_eq!(report.verdict, Exit::BugCheck);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["bug_check"]["report"]["code"], 10);
        assert_eq!(json["exit_code"], 4);
        assert_eq!(json["runs"][0]["outcome"], "failed");
    }
}
