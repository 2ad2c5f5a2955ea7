//! Rounds of measurements in which the ways take turns.

use anyhow::{Context, Result, bail};
use nthost::{File, LeakKind, Leaks, Stop};
use serde::Serialize;
use zerocopy::{FromBytes, IntoBytes};

use super::LIMIT;
use crate::spread::Spread;

#[path = "../../../lockbench/src/interface.rs"]
mod interface;

use interface::{Outcome, PEER, RAW, RUN, Run, SAFE};

/// The columns of a round: the raw call is measured twice, which shows the noise.
const WAYS: [u32; 4] = [RAW, RAW, SAFE, PEER];
const FIRST_RAW: usize = 0;
const SECOND_RAW: usize = 1;
const SAFE_COLUMN: usize = 2;
const PEER_COLUMN: usize = 3;

/// A lock that was measured: nanoseconds for an acquisition and release, and ratios in pairs of one
/// round.
#[derive(Serialize)]
pub struct Lock {
    /// Its name.
    pub name: String,
    /// The raw call.
    pub raw: Spread,
    /// wdk-sync.
    pub safe: Spread,
    /// wdk-mutex, if it has the lock.
    pub peer: Option<Spread>,
    /// The raw call against itself.
    pub control_ratio: Spread,
    /// wdk-sync against the raw call.
    pub safe_ratio: Spread,
    /// wdk-mutex against the raw call.
    pub peer_ratio: Option<Spread>,
}

impl Lock {
    /// Whether wdk-sync costs more than the raw call by more than the limit, beyond the noise: that of
    /// its own median, and that of the raw call against itself.
    pub fn is_too_slow(&self) -> bool {
        self.safe_ratio.low > LIMIT * self.control_ratio.high.max(1.0)
    }
}

/// What measures.
pub struct Bench<'a> {
    file: &'a File,
    rounds: u32,
    nanoseconds: u64,
}

/// A lock that is being measured.
struct Subject {
    name: String,
    passes: u32,
    has_peer: bool,
    /// For each round and way, nanoseconds for a pass.
    rounds: Vec<[f64; WAYS.len()]>,
}

impl<'a> Bench<'a> {
    pub const fn new(file: &'a File, rounds: u32, microseconds: u32) -> Self {
        Self {
            file,
            rounds,
            nanoseconds: microseconds as u64 * 1000,
        }
    }

    /// Measures every lock.
    pub fn run(&self) -> Result<Vec<Lock>> {
        let mut subjects = self.subjects()?;
        for round in 0..self.rounds {
            for (index, subject) in (0..).zip(&mut subjects) {
                self.round(round, index, subject)?;
            }
        }
        Ok(subjects.iter().map(Subject::lock).collect())
    }

    /// Asks for the locks, warms them up and finds out how many passes take long enough.
    fn subjects(&self) -> Result<Vec<Subject>> {
        const WARM_UP: u32 = 10_000;
        let mut subjects = Vec::new();
        for index in 0.. {
            let Some((_, name)) = self.pass(index, RAW, WARM_UP)? else {
                break;
            };
            let has_peer = self.pass(index, PEER, WARM_UP)?.is_some();
            self.pass(index, SAFE, WARM_UP)?;
            let (taken, _) = self
                .pass(index, RAW, WARM_UP)?
                .context("the lock has gone")?;
            let passes = self.nanoseconds * u64::from(WARM_UP) / taken.max(1);
            subjects.push(Subject {
                name,
                passes: u32::try_from(passes.max(1))?,
                has_peer,
                rounds: Vec::new(),
            });
        }
        Ok(subjects)
    }

    /// Measures a lock in each way, in another order each time.
    fn round(&self, round: u32, index: u32, subject: &mut Subject) -> Result<()> {
        let columns = if subject.has_peer {
            WAYS.len()
        } else {
            PEER_COLUMN
        };
        let mut taken = [f64::NAN; WAYS.len()];
        for turn in 0..columns {
            // Each way starts as often as any other, and follows each as often.
            let forward = (turn + round as usize / 2) % columns;
            let column = if round.is_multiple_of(2) {
                forward
            } else {
                columns - 1 - forward
            };
            let (nanoseconds, _) = self
                .pass(index, WAYS[column], subject.passes)?
                .context("the lock has gone")?;
            // Neither number comes near to what a double cannot hold.
            #[expect(clippy::cast_precision_loss, reason = "argued above")]
            let pass = nanoseconds as f64 / f64::from(subject.passes);
            taken[column] = pass;
        }
        subject.rounds.push(taken);
        Ok(())
    }

    /// Lets the driver run a lock; gives how long it took, and its name. Nothing if it is not there.
    fn pass(&self, subject: u32, way: u32, passes: u32) -> Result<Option<(u64, String)>> {
        const STATUS_INVALID_PARAMETER: i32 = 0xC000_000D_u32.cast_signed();
        const STATUS_NOT_FOUND: i32 = 0xC000_0225_u32.cast_signed();
        let run = Run {
            subject,
            way,
            passes,
        };
        let mut output = [0; size_of::<Outcome>()];
        match self.file.ioctl(RUN, run.as_bytes(), &mut output) {
            Ok(_) => {}
            Err(Stop::Status(STATUS_INVALID_PARAMETER | STATUS_NOT_FOUND)) => return Ok(None),
            Err(stop) => return Err(stop.into()),
        }
        let Ok(outcome) = Outcome::read_from_bytes(&output) else {
            bail!("the driver's answer has another form");
        };
        let name = String::from_utf8_lossy(&outcome.name);
        Ok(Some((
            outcome.nanoseconds,
            name.trim_end_matches('\0').to_owned(),
        )))
    }
}

impl Subject {
    fn lock(&self) -> Lock {
        let time = |column: usize| Spread::of(self.rounds.iter().map(|round| round[column]));
        let ratio = |column: usize| {
            Spread::of(
                self.rounds
                    .iter()
                    .map(|round| round[column] / round[FIRST_RAW]),
            )
        };
        Lock {
            name: self.name.clone(),
            raw: time(FIRST_RAW),
            safe: time(SAFE_COLUMN),
            peer: self.has_peer.then(|| time(PEER_COLUMN)),
            control_ratio: ratio(SECOND_RAW),
            safe_ratio: ratio(SAFE_COLUMN),
            peer_ratio: self.has_peer.then(|| ratio(PEER_COLUMN)),
        }
    }
}

/// Pool that the driver has with all its locks in place.
#[derive(Serialize)]
pub struct Allocations {
    /// The tag of the pool blocks.
    pub tag: String,
    /// How many.
    pub blocks: usize,
}

/// The pool blocks by tag: wdk-sync's `Sync`, in which the raw locks are as well, and wdk-mutex's.
pub fn allocations(in_use: &Leaks) -> Vec<Allocations> {
    let mut found: Vec<Allocations> = Vec::new();
    let blocks = in_use
        .entries
        .iter()
        .filter(|entry| entry.kind == LeakKind::Pool);
    for block in blocks {
        let tag = block.detail.split_once("tag ").map_or("", |(_, tag)| tag);
        let tag = tag.split(',').next().unwrap_or_default();
        match found.iter_mut().find(|known| known.tag == tag) {
            Some(known) => known.blocks += 1,
            None => found.push(Allocations {
                tag: tag.to_owned(),
                blocks: 1,
            }),
        }
    }
    found
}
