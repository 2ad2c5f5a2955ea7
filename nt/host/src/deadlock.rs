//! Threads that wait for each other, and would for good.
//!
//! A thread that has waited for a while without a time-out looks who keeps it waiting, and who keeps those
//! waiting, until it finds itself or one that is free to go on. Whoever waits last closes the circle, so it
//! is enough that each looks once; and timers, DPCs and other threads make no difference, since nobody but the
//! owner ends such a wait. A thread that waits for any of several is stuck if each of them keeps it waiting; one that
//! waits for a thread to end is kept waiting by that thread. Nothing is recorded while nobody waits: what a lock
//! order that did not deadlock would show is not looked for here.

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

/// A thread that waits for good, under the dispatcher lock.
struct Node {
    name: String,
    waits_for: u64,
    /// The threads that keep it waiting.
    kept_by: Vec<u64>,
    /// Whether it is enough that one of them goes on.
    any: bool,
}

type Nodes = BTreeMap<u64, Node>;

/// Stops the kernel if `thread`, which waits, is kept waiting by itself: bug check 0xC4 (0x1001).
pub fn check(dispatcher: &mut Dispatcher, thread: &Thread, function: &'static str) {
    let me = thread.address();
    if thread.waits_for() == 0 && dispatcher::keepers(thread).is_none() {
        return;
    }
    // Those who spin do so without the dispatcher lock: a circle that is there twice was there in between.
    if circle(&stuck(dispatcher), me).is_none() {
        return;
    }
    let nodes = stuck(dispatcher);
    let Some(path) = circle(&nodes, me) else {
        return;
    };
    let chain: Vec<_> = path
        .iter()
        .filter_map(|address| nodes.get(address))
        .map(|node| format!("\"{}\" waits for 0x{:X}", node.name, node.waits_for))
        .collect();
    let lock = nodes.get(&me).map_or(0, |node| node.waits_for);
    let whom = if path.len() == 1 {
        "A thread waits for itself"
    } else {
        "Threads wait for each other"
    };
    bugcheck::raise_among(
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        [0x1001, lock, 0, 0],
        function,
        format!("{whom}: {}.", chain.join(", ")),
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

/// The threads that can go on no more, whatever happens.
fn stuck(dispatcher: &mut Dispatcher) -> Nodes {
    let mut nodes = waiting(dispatcher);
    loop {
        let free = nodes.iter().find_map(|(&address, node)| {
            let mut keepers = node.kept_by.iter();
            let is_stuck = if node.any {
                keepers.all(|keeper| nodes.contains_key(keeper))
            } else {
                keepers.any(|keeper| nodes.contains_key(keeper))
            };
            (!is_stuck).then_some(address)
        });
        let Some(free) = free else {
            return nodes;
        };
        nodes.remove(&free);
    }
}

/// The threads that wait for good for what others hold.
fn waiting(dispatcher: &mut Dispatcher) -> Nodes {
    let resources = &dispatcher.state().resources;
    let mut nodes = Nodes::new();
    let mut holders = BTreeMap::<u64, Vec<u64>>::new();
    thread::each(|thread| {
        for (lock, _) in thread.held.iter() {
            holders.entry(lock).or_default().push(thread.address());
        }
        let lock = thread.waits_for();
        let found = if lock == 0 {
            dispatcher::keepers(thread)
        } else if resources.contains(lock) {
            // One who shares it and waits keeps itself waiting: nobody else can release it for a thread, which bug
            // check 0x16E is for, and what was given to an owner pointer is not the thread's any more.
            Some((lock, ex::resource::owners(lock), false))
        } else {
            Some((lock, Vec::new(), false))
        };
        if let Some((waits_for, kept_by, any)) = found {
            let name = thread.name().to_owned();
            let node = Node {
                name,
                waits_for,
                kept_by,
                any,
            };
            nodes.insert(thread.address(), node);
        }
    });
    for node in nodes.values_mut() {
        node.kept_by
            .extend(holders.get(&node.waits_for).into_iter().flatten());
    }
    nodes
}

/// The threads of a circle of waits from `start` to `start`, in the order in which they wait.
fn circle(nodes: &Nodes, start: u64) -> Option<Vec<u64>> {
    let mut seen = BTreeSet::new();
    let mut path = vec![start];
    search(nodes, start, &mut seen, &mut path).then_some(path)
}

fn search(nodes: &Nodes, start: u64, seen: &mut BTreeSet<u64>, path: &mut Vec<u64>) -> bool {
    let last = path.last().and_then(|last| nodes.get(last));
    for &keeper in last.into_iter().flat_map(|node| &node.kept_by) {
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
