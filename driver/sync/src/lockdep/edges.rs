//! Which class was asked for under which: the edges of a graph, which are never taken back.

use core::{
    panic::Location,
    sync::atomic::{AtomicU16, Ordering},
};

use super::search;
use crate::track::{ClassId, Fill, LockClass, Table, Writer, alone};

/// How many edges there can be.
pub const MAX_EDGES: usize = 4096;

static EDGES: Table<Edge, MAX_EDGES> = Table::new();

/// Where the edges are found by what they connect: the index, plus 1; 0 is empty. Twice as many as
/// there are edges, so that a search ends soon.
static BUCKETS: [AtomicU16; 2 * MAX_EDGES] = [const { AtomicU16::new(0) }; 2 * MAX_EDGES];

/// One acquisition under another: a lock that was asked for while one was held.
#[derive(Clone, Copy)]
pub struct Link {
    pub(super) held: ClassId,
    pub(super) asked: ClassId,
    pub(super) held_shared: bool,
    /// Shared, and waiting for exclusive owners alone.
    pub(super) asked_ahead: bool,
    pub(super) held_site: &'static Location<'static>,
    pub(super) asked_site: &'static Location<'static>,
    pub(super) irql: u8,
    pub(super) thread: usize,
}

impl Link {
    /// The class of the lock that was held.
    #[must_use]
    pub fn held(&self) -> Option<LockClass> {
        self.held.class()
    }

    /// The class of the lock that was asked for.
    #[must_use]
    pub fn asked(&self) -> Option<LockClass> {
        self.asked.class()
    }

    /// Where the lock that was held had been asked for.
    #[must_use]
    pub const fn held_site(&self) -> &'static Location<'static> {
        self.held_site
    }

    /// Where the other was asked for.
    #[must_use]
    pub const fn asked_site(&self) -> &'static Location<'static> {
        self.asked_site
    }

    /// At which IRQL that was.
    #[must_use]
    pub const fn irql(&self) -> u8 {
        self.irql
    }

    /// The address of the thread's object; `None` in a DPC, which is of no thread.
    #[must_use]
    pub const fn thread(&self) -> Option<usize> {
        match self.thread {
            0 => None,
            thread => Some(thread),
        }
    }

    /// Whether the two are the same edge.
    fn is(&self, other: &Self) -> bool {
        self.held == other.held
            && self.asked == other.asked
            && self.held_shared == other.held_shared
            && self.asked_ahead == other.asked_ahead
    }

    fn buckets(&self) -> impl Iterator<Item = &'static AtomicU16> + use<> {
        let classes = (self.held.index() << 10) | (self.asked.index() << 2);
        let key = classes | (usize::from(self.held_shared) << 1) | usize::from(self.asked_ahead);
        let hash = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let (before, from) = BUCKETS.split_at(usize::try_from(hash).unwrap_or(0) % BUCKETS.len());
        from.iter().chain(before)
    }
}

/// A [`Link`] among those that leave its class.
pub struct Edge {
    pub link: Link,
    /// Index, plus 1, of the next.
    next: u16,
}

/// The edge of this index.
pub fn edge(index: u16) -> Option<&'static Edge> {
    EDGES.get(usize::from(index))
}

/// The indices of the edges that leave a class.
pub fn leaving(class: ClassId) -> impl Iterator<Item = u16> {
    let first = class
        .entry()
        .map_or(0, |entry| entry.edges.load(Ordering::Relaxed));
    core::iter::successors(first.checked_sub(1), |&index| {
        edge(index)?.next.checked_sub(1)
    })
}

/// Whether the edge is there; no lock is taken.
fn is_known(link: &Link) -> bool {
    link.buckets()
        .map(|bucket| bucket.load(Ordering::Acquire))
        .map_while(|index| edge(index.checked_sub(1)?))
        .any(|edge| edge.link.is(link))
}

/// Writes an edge down and reports the cycle that it closes, unless it is known.
pub fn add(link: Link) {
    if is_known(&link) {
        return;
    }
    if EDGES.is_full() {
        // Every time, so without a lock.
        EDGES.lose();
        return;
    }
    alone(|writer| {
        // Another thread may have been first.
        if !is_known(&link) && insert(writer, link) {
            search::report_cycle(writer, link);
        }
    });
}

fn insert(writer: &mut Writer, link: Link) -> bool {
    let Some(from) = link.held.entry() else {
        return false;
    };
    let next = from.edges.load(Ordering::Relaxed);
    let added = EDGES.push(writer, Edge { link, next });
    let Some(index) = added.and_then(|index| u16::try_from(index + 1).ok()) else {
        return false;
    };
    let mut free = link
        .buckets()
        .filter(|bucket| bucket.load(Ordering::Relaxed) == 0);
    if let Some(bucket) = free.next() {
        bucket.store(index, Ordering::Release);
    }
    from.edges.store(index, Ordering::Relaxed);
    true
}

/// All edges: what was asked for under what.
pub fn edges() -> impl Iterator<Item = &'static Link> {
    EDGES.iter().map(|edge| &edge.link)
}

/// How full the table is.
pub fn fill() -> Fill {
    EDGES.fill()
}
