//! Who runs next.

use crate::fault::Random;

/// How the next thread is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Policy {
    /// Any, at each call of the kernel.
    Random,
    /// The one with the highest priority; priorities are random, and change at a few random calls (Burckhardt,
    /// Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs).
    Pct,
}

/// At how many calls a thread's priority changes.
const CHANGES: usize = 3;

/// The choices of one schedule.
pub struct Chooser {
    policy: Policy,
    random: Random,
    /// The calls at which the thread that runs falls below all others, counted where others could run.
    changes: [u64; CHANGES],
    lowest: u64,
}

impl Chooser {
    pub fn new(policy: Policy, seed: u64) -> Self {
        let random = Random::new(seed);
        // Nobody knows how many calls there will be: each schedule has another guess, from 8 to 1024.
        let within = 8 << random.below(8);
        let changes = [(); CHANGES].map(|()| random.below(within));
        Self {
            policy,
            random,
            changes,
            lowest: u64::from(u32::MAX),
        }
    }

    /// The priority of a new thread.
    pub fn priority(&self) -> u64 {
        u64::from(u32::MAX) + 1 + self.random.below(1 << 32)
    }

    /// The new priority of the thread that makes the call with this number, if it changes there.
    pub fn change(&mut self, call: u64) -> Option<u64> {
        let changes = self.policy == Policy::Pct && self.changes.contains(&call);
        changes.then(|| {
            self.lowest -= 1;
            self.lowest
        })
    }

    /// One of the candidates, which are given with their priorities.
    pub fn choose(&self, candidates: &[(usize, u64)]) -> Option<usize> {
        match self.policy {
            Policy::Random => {
                let count = candidates.len() as u64;
                let index = (count > 0).then(|| self.random.below(count))?;
                let index = usize::try_from(index).ok()?;
                candidates.get(index).map(|candidate| candidate.0)
            }
            Policy::Pct => {
                let highest = candidates.iter().max_by_key(|candidate| candidate.1);
                highest.map(|candidate| candidate.0)
            }
        }
    }
}
