//! Threads that wait for each other, and would for good.
//!
//! A thread that has waited for a while without a time-out looks who keeps it waiting, and who keeps those
//! waiting, until it finds itself or one that is free to go on. Whoever waits last closes the circle, so it
//! is enough that each looks once. Nothing is recorded while nobody waits: what a lock order that did not
//! deadlock would show is not looked for here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nt_abi::bugcheck::{DRIVER_VERIFIER_DETECTED_VIOLATION, MANUALLY_INITIATED_CRASH};

use crate::{
    bugcheck,
    dispatcher::{self, Dispatcher},
    ex,
    thread::{self, Thread},
};

/// How long a thread waits before it looks.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// A thread, and what is known of it while the dispatcher lock is held.
struct Node {
    name: String,
    /// What it waits for; 0 if nothing or not for good.
    waits_for: u64,
    /// The locks that it holds, but for mutexes and ERESOURCEs.
    held: Vec<u64>,
    /// The threads that own the mutexes or the ERESOURCE that it waits for.
    kept_by: Vec<u64>,
}

/// Stops the kernel if `thread`, which waits, is kept waiting by itself: bug check 0xC4 (0x1001).
pub fn check(dispatcher: &mut Dispatcher, thread: &Thread, function: &'static str) {
    let me = thread.address();
    // Those who spin do so without the dispatcher lock: a circle that is there twice was there in between.
    if circle(&nodes(dispatcher), me).is_none() {
        return;
    }
    let nodes = nodes(dispatcher);
    let Some(path) = circle(&nodes, me) else {
        return;
    };
    let chain: Vec<_> = path
        .iter()
        .filter_map(|address| nodes.get(address))
        .map(|node| format!("\"{}\" waits for 0x{:X}", node.name, node.waits_for))
        .collect();
    let lock = nodes.get(&me).map_or(0, |node| node.waits_for);
    bugcheck::raise_among(
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        [0x1001, lock, 0, 0],
        function,
        format!("Threads wait for each other: {}.", chain.join(", ")),
        &path,
    );
}

/// Stops the kernel because no thread can run: for a circle of waits, if `thread` is in one, or because nobody is
/// left to do what is waited for. Windows would hang then; what comes here is the bug check of a crash that is
/// forced by hand.
pub fn nothing_runs(dispatcher: &mut Dispatcher, thread: &Thread, function: &'static str) -> ! {
    check(dispatcher, thread, function);
    let mut waiting = Vec::new();
    thread::each(|other| {
        if other.waits_for() != 0 || other.wait.blocks().1 != 0 {
            waiting.push(other.address());
        }
    });
    bugcheck::raise_among(
        MANUALLY_INITIATED_CRASH,
        [0; 4],
        function,
        "Nothing can run any more: every thread waits for what no thread is left to do. Windows would hang.",
        &waiting,
    )
}

/// As [`check`], for a thread that spins.
pub fn check_spinning(thread: &'static Thread, function: &'static str) {
    let mut dispatcher = dispatcher::lock(thread);
    check(&mut dispatcher, thread, function);
    drop(dispatcher);
}

fn nodes(dispatcher: &mut Dispatcher) -> BTreeMap<u64, Node> {
    let resources = &dispatcher.state().resources;
    let mut nodes = BTreeMap::new();
    thread::each(|thread| {
        let lock = thread.waits_for();
        let (waits_for, kept_by) = if lock == 0 {
            dispatcher::keepers(thread)
        } else if resources.contains(&lock) {
            (lock, ex::resource::owners(lock))
        } else {
            (lock, Vec::new())
        };
        let node = Node {
            name: thread.name().to_owned(),
            waits_for,
            held: thread.held.iter().map(|held| held.0).collect(),
            kept_by,
        };
        nodes.insert(thread.address(), node);
    });
    nodes
}

/// The threads of a circle of waits from `start` to `start`, in the order in which they wait.
fn circle(nodes: &BTreeMap<u64, Node>, start: u64) -> Option<Vec<u64>> {
    let mut seen = BTreeSet::new();
    let mut path = vec![start];
    search(nodes, start, &mut seen, &mut path).then_some(path)
}

fn search(
    nodes: &BTreeMap<u64, Node>,
    start: u64,
    seen: &mut BTreeSet<u64>,
    path: &mut Vec<u64>,
) -> bool {
    let Some(&last) = path.last() else {
        return false;
    };
    for keeper in keepers(nodes, last) {
        if keeper == start {
            return true;
        }
        if seen.insert(keeper) {
            path.push(keeper);
            if search(nodes, start, seen, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// The threads that keep `waiter` waiting, without itself: one who shares an ERESOURCE may ask to wait until
/// somebody else releases it.
fn keepers(nodes: &BTreeMap<u64, Node>, waiter: u64) -> Vec<u64> {
    let Some(node) = nodes.get(&waiter).filter(|node| node.waits_for != 0) else {
        return Vec::new();
    };
    let holders = nodes
        .iter()
        .filter(|(_, other)| other.held.contains(&node.waits_for));
    let holders = holders.map(|(&address, _)| address);
    node.kept_by
        .iter()
        .copied()
        .chain(holders)
        .filter(|&keeper| keeper != waiter)
        .collect()
}
