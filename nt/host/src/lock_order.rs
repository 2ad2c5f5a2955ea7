//! The order in which threads take locks, and whether two orders contradict each other.
//!
//! When a thread has waited for a lock and got it, each lock that it holds besides comes before that one. A lock
//! that comes before itself by way of others is a deadlock that has not happened yet: bug check 0xC4 (0x1001),
//! as Driver Verifier's deadlock detection has it, which does not watch ERESOURCEs.
//!
//! - A try, and a wait with a time-out, cannot deadlock and puts nothing in order.
//! - Only locks that somebody has held or taken exclusively can be waited for for good, so that a circle counts
//!   if each of its locks was.
//! - A lock is known by its address. Pool that is freed, an image that is unloaded and a lock that is initialised
//!   again are forgotten; a spin lock, fast mutex or push lock elsewhere, on a stack for instance, comes and goes
//!   unseen and is not watched.
//!
//! A lock that is taken while none is held costs one comparison. Each thread remembers what it has found in
//! order, so that the one table of all locks is looked at for what is new to the thread.

use core::{
    ops::Range,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::{collections::BTreeMap, fmt::Write};

use parking_lot::Mutex;

use crate::{
    Rules,
    address::to_usize,
    ex::pool,
    initialized,
    loader::{caller, registry},
    thread::{LockKind, Thread},
    verifier,
};

/// What is known of one lock.
#[derive(Default)]
struct Node {
    /// The noun of its kind.
    noun: &'static str,
    /// Whether it was ever held or taken exclusively while another lock was held.
    exclusive: bool,
    /// The locks that come after it, and where they were first seen to.
    after: BTreeMap<u64, String>,
}

/// All locks that were ever held or taken with another one.
struct Order(BTreeMap<u64, Node>);

static LOCKS: Mutex<Order> = Mutex::new(Order(BTreeMap::new()));

/// Goes up when a lock is forgotten: what threads remember is worth nothing then.
static GENERATION: AtomicU32 = AtomicU32::new(1);

/// How many pairs of locks a thread remembers.
const REMEMBERED: usize = 32;

/// Pairs of locks that a thread has found in order. Only the thread itself uses it.
pub struct Remembered {
    pairs: [Pair; REMEMBERED],
}

struct Pair {
    first: AtomicU64,
    second: AtomicU64,
    generation: AtomicU32,
}

impl Remembered {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            pairs: [const {
                Pair {
                    first: AtomicU64::new(0),
                    second: AtomicU64::new(0),
                    generation: AtomicU32::new(0),
                }
            }; REMEMBERED],
        }
    }

    const fn slot(&self, held: Held, taken: Held) -> &Pair {
        let mixed = held.key() ^ taken.key().rotate_left(29);
        let index = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
        &self.pairs[to_usize(index)]
    }

    fn contains(&self, held: Held, taken: Held, generation: u32) -> bool {
        let pair = self.slot(held, taken);
        pair.first.load(Relaxed) == held.key()
            && pair.second.load(Relaxed) == taken.key()
            && pair.generation.load(Relaxed) == generation
    }

    fn insert(&self, held: Held, taken: Held, generation: u32) {
        let pair = self.slot(held, taken);
        pair.first.store(held.key(), Relaxed);
        pair.second.store(taken.key(), Relaxed);
        pair.generation.store(generation, Relaxed);
    }
}

const _: () = assert!(REMEMBERED == 1 << (64 - 59), "the slot is five bits");

/// A lock and how it is held.
#[derive(Clone, Copy)]
struct Held {
    lock: u64,
    kind: LockKind,
}

impl Held {
    /// The lock, which is aligned to four bytes, with the lowest bit for how it is held.
    const fn key(self) -> u64 {
        self.lock | self.kind.is_exclusive() as u64
    }

    /// Whether the lock is one that is forgotten when its memory becomes another's.
    fn is_watched(self) -> bool {
        self.kind.is_always_initialized()
            || pool::contains(self.lock)
            || registry::locate(to_usize(self.lock)).is_some()
    }
}

/// Puts `lock`, which the thread has just waited for without a time-out and has on top of its stack now, in order
/// with the others that it holds.
#[inline]
pub fn check(thread: &Thread, lock: u64, function: &'static str) {
    let others = thread.held.depth().saturating_sub(1);
    if others != 0 {
        check_after(thread, others, lock, function);
    }
}

/// Puts `lock`, which the thread holds, in order with the first `others` that it holds.
#[cold]
pub fn check_after(thread: &Thread, others: usize, lock: u64, function: &'static str) {
    let Some(kind) = thread.held.kind_of(lock) else {
        return;
    };
    if !verifier::checks(Rules::DEADLOCK) {
        return;
    }
    let taken = Held { lock, kind };
    let others = thread.held.all().take(others);
    // One who has the lock already does not wait for it.
    if others.clone().any(|(held, _)| held == lock) {
        return;
    }
    let generation = GENERATION.load(Acquire);
    for (lock, kind) in others {
        let held = Held { lock, kind };
        if thread.lock_order.contains(held, taken, generation) {
            continue;
        }
        if held.is_watched() && taken.is_watched() {
            let circle = LOCKS.lock().learn(thread, held, taken);
            if let Some(circle) = circle {
                verifier::violation(0x1001, [taken.lock, 0, 0], function, circle);
            }
        }
        thread.lock_order.insert(held, taken, generation);
    }
}

/// Where the calling thread takes a lock, for people.
fn place(thread: &Thread) -> String {
    let mut place = format!("by \"{}\"", thread.name());
    if let Some(location) = caller::find() {
        // Writing to a string does not fail.
        let _ = write!(place, " at {location}");
    }
    place
}

impl Order {
    /// Records that `taken` comes after `held`; a sentence if that makes a circle.
    fn learn(&mut self, thread: &Thread, held: Held, taken: Held) -> Option<String> {
        let new = self.record(held) | self.record(taken);
        let after = &mut self.0.get_mut(&held.lock)?.after;
        let known = after.len();
        after.entry(taken.lock).or_insert_with(|| place(thread));
        if !new && after.len() == known {
            return None;
        }
        let mut ends = [taken.lock, held.lock].into_iter();
        let circle = ends.find_map(|end| self.circle(end))?;
        Some(self.describe(&circle))
    }

    /// Records a lock; true if it is exclusive and never was before.
    fn record(&mut self, one: Held) -> bool {
        let node = self.0.entry(one.lock).or_default();
        node.noun = one.kind.noun();
        let new = one.kind.is_exclusive() && !node.exclusive;
        node.exclusive |= new;
        new
    }

    /// The locks from `start` back to it, each before the next, if all were ever held or taken exclusively.
    fn circle(&self, start: u64) -> Option<Vec<u64>> {
        let mut came_from = BTreeMap::new();
        let mut todo = vec![start];
        while let Some(lock) = todo.pop() {
            let Some(node) = self.0.get(&lock).filter(|node| node.exclusive) else {
                continue;
            };
            for &next in node.after.keys() {
                came_from.entry(next).or_insert_with(|| {
                    todo.push(next);
                    lock
                });
            }
        }
        let mut path = vec![start];
        let mut lock = *came_from.get(&start)?;
        while lock != start {
            path.push(lock);
            lock = *came_from.get(&lock)?;
        }
        path[1..].reverse();
        Some(path)
    }

    /// Says what comes before what, and where that was first seen.
    fn describe(&self, circle: &[u64]) -> String {
        let noun = |lock| self.0.get(lock).map_or("lock", |node| node.noun);
        let place = |lock, next| Some(self.0.get(lock)?.after.get(next)?.as_str());
        let pairs: Vec<String> = circle
            .iter()
            .zip(circle.iter().cycle().skip(1))
            .map(|(lock, next)| {
                format!(
                    "the {} at 0x{lock:X} before the {} at 0x{next:X} ({})",
                    noun(lock),
                    noun(next),
                    place(lock, next).unwrap_or_default(),
                )
            })
            .collect();
        format!(
            "Locks are taken in orders that contradict each other: {}.",
            pairs.join(", ")
        )
    }

    /// Forgets the locks in a range; false if there is none.
    fn forget(&mut self, range: &Range<u64>) -> bool {
        let gone: Vec<u64> = self.0.range(range.clone()).map(|node| *node.0).collect();
        for lock in &gone {
            self.0.remove(lock);
        }
        if !gone.is_empty() {
            for node in self.0.values_mut() {
                node.after.retain(|lock, _| !range.contains(lock));
            }
        }
        !gone.is_empty()
    }
}

/// Forgets the locks in a range of memory, which is freed or initialised again.
pub fn forget(range: &Range<u64>) {
    initialized::forget(range);
    forget_order(range);
}

fn forget_order(range: &Range<u64>) {
    if LOCKS.lock().forget(range) {
        GENERATION.fetch_add(1, Release);
    }
}

/// Forgets the lock at an address, which is initialised again.
pub fn forget_lock(lock: u64) {
    forget_order(&(lock..lock + 1));
}
