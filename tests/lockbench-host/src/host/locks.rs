//! The locks of nthost beside those of `parking_lot`, in rounds in which the two take turns.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{
    driver::{Bench, Pace, Run, Subject},
    peer::Peers,
};
use crate::spread::Spread;

/// What is measured on one thread, and whether `parking_lot` has something like it.
pub const ALONE: [Subject; 5] = [
    Subject::SpinLock,
    Subject::FastMutex,
    Subject::Resource,
    Subject::Event,
    Subject::Timer,
];

/// What is measured on several threads, and on how many.
pub const CONTENDED: [(Subject, u32); 10] = [
    (Subject::SpinLock, 2),
    (Subject::SpinLock, 8),
    (Subject::SpinLock, 32),
    (Subject::FastMutex, 2),
    (Subject::FastMutex, 8),
    (Subject::FastMutex, 32),
    (Subject::Resource, 2),
    (Subject::Resource, 8),
    (Subject::Resource, 32),
    (Subject::PingPong, 2),
];

/// How long threads contend in one measurement, in milliseconds.
pub const CONTENTION: u32 = 40;

/// A lock on one thread: nanoseconds for a pass.
#[derive(Serialize, Deserialize)]
pub struct Alone {
    /// The lock.
    pub subject: Subject,
    /// In nthost.
    pub nthost: Spread,
    /// On `parking_lot`, if it has something like it.
    pub peer: Option<Spread>,
    /// How many times as long nthost takes, in pairs of one round.
    pub ratio: Option<Spread>,
}

/// A lock that threads contend for: passes in a second.
#[derive(Serialize, Deserialize)]
pub struct Contended {
    /// The lock.
    pub subject: Subject,
    /// How many threads.
    pub threads: u32,
    /// In nthost.
    pub nthost: Spread,
    /// On `parking_lot`.
    pub peer: Spread,
    /// How many times as many passes `parking_lot` manages, in pairs of one round.
    pub ratio: Spread,
}

/// All that was measured.
#[derive(Serialize, Deserialize)]
pub struct Locks {
    /// On one thread.
    pub alone: Vec<Alone>,
    /// On several.
    pub contended: Vec<Contended>,
}

/// Measures: one thread in this many rounds, several threads in a tenth of them.
pub fn measure(bench: &Bench, rounds: u32) -> Result<Locks> {
    let peers = Peers::default();
    let alone = ALONE.map(|subject| alone(bench, &peers, subject, rounds));
    let contended = CONTENDED.map(|(subject, threads)| {
        let measured = contended(bench, &peers, subject, threads, rounds / 10);
        measured.with_context(|| format!("{} on {threads} threads", subject.name()))
    });
    Ok(Locks {
        alone: alone.into_iter().collect::<Result<_>>()?,
        contended: contended.into_iter().collect::<Result<_>>()?,
    })
}

fn alone(bench: &Bench, peers: &Peers, subject: Subject, rounds: u32) -> Result<Alone> {
    /// Some tenths of a millisecond.
    const PASSES: u32 = 5000;
    let nthost = || Ok(bench.run(Run::alone(subject, PASSES))?.pace());
    let peer = || Ok(peers.alone(subject, PASSES));
    let rounds = take_turns(rounds, nthost, peer)?;
    let peer = rounds.iter().filter_map(|round| round.1);
    let ratio = rounds
        .iter()
        .filter_map(|(nthost, peer)| Some(nthost.nanoseconds() / (*peer)?.nanoseconds()));
    Ok(Alone {
        subject,
        nthost: Spread::of(rounds.iter().map(|round| round.0.nanoseconds())),
        peer: Spread::of_some(peer.map(Pace::nanoseconds)),
        ratio: Spread::of_some(ratio),
    })
}

fn contended(
    bench: &Bench,
    peers: &Peers,
    subject: Subject,
    threads: u32,
    rounds: u32,
) -> Result<Contended> {
    let nthost = || {
        let run = Run::contended(subject, threads, CONTENTION);
        Ok(bench.run(run)?.pace())
    };
    let peer = || {
        let pace = peers.contended(subject, threads, CONTENTION);
        pace.context("parking_lot has no such thing")
    };
    let rounds = take_turns(rounds, nthost, peer)?;
    Ok(Contended {
        subject,
        threads,
        nthost: Spread::of(rounds.iter().map(|round| round.0.rate())),
        peer: Spread::of(rounds.iter().map(|round| round.1.rate())),
        ratio: Spread::of(rounds.iter().map(|round| round.1.rate() / round.0.rate())),
    })
}

/// Rounds of one and the other, each of which comes first in every second round.
fn take_turns<A, B>(
    rounds: u32,
    one: impl Fn() -> Result<A>,
    other: impl Fn() -> Result<B>,
) -> Result<Vec<(A, B)>> {
    one()?;
    other()?;
    let round = |number: u32| {
        if number.is_multiple_of(2) {
            let one = one()?;
            Ok((one, other()?))
        } else {
            let other = other()?;
            Ok((one()?, other))
        }
    };
    (0..rounds.max(1)).map(round).collect()
}
