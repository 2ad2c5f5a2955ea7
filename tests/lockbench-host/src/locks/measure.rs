//! Rounds of measurements in which the ways take turns.

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use nthost::{File, LeakKind, Leaks, Stop};
use serde::Serialize;
use zerocopy::{FromBytes, IntoBytes};

use super::LIMIT;
use crate::spread::Spread;

#[path = "../../../lockbench/src/interface.rs"]
mod interface;

use interface::{Outcome, PEER, PLACEMENTS, RAW, RUN, Run, SAFE, SETS};

/// The columns of a round, each a way and a set of locks: the raw call and wdk-sync on a lock of either set.
const WAYS: [(u32, u32); 5] = [(RAW, 0), (RAW, LAST), (SAFE, 0), (SAFE, LAST), (PEER, 0)];
const LAST: u32 = SETS - 1;
const FIRST_RAW: usize = 0;
const SECOND_RAW: usize = 1;
const FIRST_SAFE: usize = 2;
const SECOND_SAFE: usize = 3;
const PEER_COLUMN: usize = 4;

/// Two runs measure in the same order.
const SEED: u64 = 1;

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
    /// The raw call on the lock of the second set against that of the first: what two locks of a kind differ by.
    pub control_ratio: Spread,
    /// wdk-sync against the raw call.
    pub safe_ratio: Spread,
    /// wdk-mutex against the raw call.
    pub peer_ratio: Option<Spread>,
}

impl Lock {
    /// Whether wdk-sync costs more than the raw call by more than the limit, beyond the noise of the median.
    pub fn is_too_slow(&self) -> bool {
        self.safe_ratio.low > LIMIT
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
    index: u32,
    name: String,
    passes: u32,
    has_peer: bool,
    rounds: Vec<Round>,
}

/// Nanoseconds for a pass, by column.
struct Round([f64; WAYS.len()]);

impl Round {
    const fn raw(&self) -> f64 {
        f64::midpoint(self.0[FIRST_RAW], self.0[SECOND_RAW])
    }

    const fn safe(&self) -> f64 {
        f64::midpoint(self.0[FIRST_SAFE], self.0[SECOND_SAFE])
    }

    const fn peer(&self) -> f64 {
        self.0[PEER_COLUMN]
    }
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
        // What interrupts this process comes at regular times: an order that is regular, too, would let one
        // lock or one way have all of it.
        let mut random = Rng::with_seed(SEED);
        for round in 0..self.rounds {
            random.shuffle(&mut subjects);
            for subject in &mut subjects {
                self.round(round % PLACEMENTS, subject, &mut random)?;
            }
        }
        subjects.sort_by_key(|subject| subject.index);
        Ok(subjects.iter().map(Subject::lock).collect())
    }

    /// Asks for the locks, warms them up and finds out how many passes take long enough.
    fn subjects(&self) -> Result<Vec<Subject>> {
        const WARM_UP: u32 = 10_000;
        const CALIBRATIONS: u32 = 10;
        let mut subjects = Vec::new();
        for index in 0.. {
            let run = |way| Run {
                subject: index,
                way,
                passes: WARM_UP,
                placement: 0,
                set: 0,
            };
            let Some((_, name)) = self.pass(run(RAW))? else {
                break;
            };
            let has_peer = self.pass(run(PEER))?.is_some();
            self.pass(run(SAFE))?;
            // The shortest of several: one that was interrupted would make all measurements of this lock
            // too short to be measured well.
            let mut taken = u64::MAX;
            for _ in 0..CALIBRATIONS {
                let (now, _) = self.pass(run(RAW))?.context("the lock has gone")?;
                taken = taken.min(now);
            }
            let passes = self.nanoseconds * u64::from(WARM_UP) / taken.max(1);
            subjects.push(Subject {
                index,
                name,
                passes: u32::try_from(passes.max(1))?,
                has_peer,
                rounds: Vec::new(),
            });
        }
        Ok(subjects)
    }

    /// Measures a lock in each way, in any order, at one place of the loops.
    fn round(&self, placement: u32, subject: &mut Subject, random: &mut Rng) -> Result<()> {
        let mut columns = [FIRST_RAW, SECOND_RAW, FIRST_SAFE, SECOND_SAFE, PEER_COLUMN];
        let (columns, _) = columns.split_at_mut(if subject.has_peer {
            WAYS.len()
        } else {
            PEER_COLUMN
        });
        random.shuffle(columns);
        let mut taken = [f64::NAN; WAYS.len()];
        for &mut column in columns {
            let (way, set) = WAYS[column];
            let (nanoseconds, _) = self
                .pass(Run {
                    subject: subject.index,
                    way,
                    set,
                    passes: subject.passes,
                    placement,
                })?
                .context("the lock has gone")?;
            // Neither number comes near to what a double cannot hold.
            #[expect(clippy::cast_precision_loss, reason = "argued above")]
            let pass = nanoseconds as f64 / f64::from(subject.passes);
            taken[column] = pass;
        }
        subject.rounds.push(Round(taken));
        Ok(())
    }

    /// Lets the driver run a lock; gives how long it took, and its name. Nothing if it is not there.
    fn pass(&self, run: Run) -> Result<Option<(u64, String)>> {
        const STATUS_INVALID_PARAMETER: i32 = 0xC000_000D_u32.cast_signed();
        const STATUS_NOT_FOUND: i32 = 0xC000_0225_u32.cast_signed();
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
        let of = |measured: fn(&Round) -> f64| Spread::of(self.rounds.iter().map(measured));
        Lock {
            name: self.name.clone(),
            raw: of(Round::raw),
            safe: of(Round::safe),
            peer: self.has_peer.then(|| of(Round::peer)),
            control_ratio: of(|round| round.0[SECOND_RAW] / round.0[FIRST_RAW]),
            safe_ratio: of(|round| round.safe() / round.raw()),
            peer_ratio: self
                .has_peer
                .then(|| of(|round| round.peer() / round.raw())),
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
