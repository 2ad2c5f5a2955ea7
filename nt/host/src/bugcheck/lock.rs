//! Locks as a report names them, and which of them a thread holds and waits for.

use core::{fmt, mem::offset_of};

use nt_abi::{DISPATCHER_HEADER, KMUTANT, KTHREAD, KWAIT_BLOCK, object_type};
use serde::{Deserialize, Serialize};

use crate::{
    ex::pool,
    inspect::{self, memory},
    symbols,
    thread::Thread,
};

/// A lock, or another object that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Its address.
    pub address: u64,
    /// What it is: `spin lock`, `mutex`, `ERESOURCE` and so on.
    pub kind: String,
    /// Where it lies: `image!symbol`, or a block of pool with its tag.
    pub place: Option<String>,
}

impl LockInfo {
    /// The lock at an address.
    pub(super) fn new(address: u64, kind: &str) -> Self {
        Self {
            address,
            kind: kind.to_owned(),
            place: symbols::name(address).or_else(|| in_pool(address)),
        }
    }

    /// The object at an address of which no more is known than that.
    pub(super) fn at(address: u64) -> Self {
        Self::new(address, kind(address))
    }
}

impl fmt::Display for LockInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} {place} (0x{:X})", self.kind, self.address),
            None => write!(f, "{} 0x{:X}", self.kind, self.address),
        }
    }
}

/// The block of pool that an address lies in.
fn in_pool(address: u64) -> Option<String> {
    let blocks = pool::allocated();
    let block = blocks
        .iter()
        .find(|block| (block.address..block.address + block.size).contains(&address))?;
    let distance = address - block.address;
    Some(format!(
        "in pool with tag {}, +0x{distance:x}",
        block.tag_text()
    ))
}

/// What a dispatcher object, an ERESOURCE or something else at an address is called.
fn kind(address: u64) -> &'static str {
    if inspect::resources().contains(&address) {
        return "ERESOURCE";
    }
    let kind = memory::u8_at(address + offset_of!(DISPATCHER_HEADER, Type) as u64);
    match kind {
        Some(object_type::Mutant) => "mutex",
        Some(object_type::NotificationEvent | object_type::SynchronizationEvent) => "event",
        Some(object_type::Semaphore) => "semaphore",
        Some(object_type::Thread) => "thread",
        Some(object_type::NotificationTimer | object_type::SynchronizationTimer) => "timer",
        _ => "lock",
    }
}

/// The locks that a thread holds: spin locks, fast mutexes and push locks in the order in which it took them,
/// then mutexes, then ERESOURCEs.
pub(super) fn held_by(thread: &Thread) -> Vec<LockInfo> {
    let tracked = thread
        .held
        .iter()
        .map(|(lock, kind)| LockInfo::new(lock, kind.noun()));
    let list = thread.address() + offset_of!(KTHREAD, MutantListHead) as u64;
    let link = offset_of!(KMUTANT, MutantListEntry) as u64;
    let mutexes = memory::list(list).map(|entry| LockInfo::new(entry - link, "mutex"));
    let resources = inspect::resources().into_iter();
    let resources = resources
        .filter(|address| inspect::owns(thread.address(), *address))
        .map(|address| LockInfo::new(address, "ERESOURCE"));
    tracked.chain(mutexes).chain(resources).collect()
}

/// What a thread waits for.
pub(super) fn waited_for_by(thread: &Thread) -> Vec<LockInfo> {
    let lock = thread.waits_for();
    if lock != 0 {
        return vec![LockInfo::at(lock)];
    }
    let (blocks, count) = thread.wait.blocks();
    let object = offset_of!(KWAIT_BLOCK, Object) as u64;
    let blocks = (0..u64::from(count)).map(|n| blocks + n * size_of::<KWAIT_BLOCK>() as u64);
    blocks
        .filter_map(|block| memory::u64_at(block + object))
        .map(LockInfo::at)
        .collect()
}
