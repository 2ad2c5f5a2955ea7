//! Nodes that go from list to list, each of them in one place at a time.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wdk_sync::{AtMost, Dispatch, Irql, Level, ListNode, Passive, Status, yield_now};

use super::{ledger::Ledger, violation::Violation, worker::Worker};
use crate::thread_state::ThreadState;

/// A node is in a list, or about to be.
const IN_A_LIST: u32 = 0;
/// Somebody has taken it.
const TAKEN: u32 = 1;
/// It was found when all was over.
const FOUND: u32 = 2;

/// What a list holds.
pub struct Element {
    /// Which one it is.
    pub number: usize,
    /// Who put it in last, and which of those that he put in it is.
    pub stamp: Option<Stamp>,
    /// What whoever has taken it changes.
    pub ledger: Ledger,
}

/// Who put an element in a list, and how many he had put in before.
#[derive(Clone, Copy)]
pub struct Stamp {
    /// The worker.
    pub by: usize,
    /// How many before this one, of him.
    pub before: u64,
}

impl Element {
    /// What an owner does with it, who has just taken it out of a list and is about to put it into one.
    ///
    /// # Errors
    ///
    /// What is wrong: with the list that gave it to two, or with its data.
    pub fn passes_through(
        &mut self,
        places: &Places,
        halfway: impl FnOnce(),
    ) -> Result<(), Violation> {
        let taken = places.taken(self.number);
        let changed = self.ledger.change(halfway);
        places.given(self.number);
        taken.and(changed)
    }
}

/// Lists between which nodes are passed on.
pub trait PassesOn {
    /// Passes a node on, or all that there are, if there is one.
    fn work<L: AtMost<Dispatch>>(
        &self,
        irql: &Irql<'_, L>,
        state: ThreadState,
        worker: &mut Worker<'_>,
    ) -> bool;

    /// A pass of a worker, every other one at `DISPATCH_LEVEL`: the functions may be called at any IRQL.
    fn work_at_some_level(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let found = if worker.below(2) == 0 {
            let state = worker.before();
            self.work(irql, state, worker)
        } else {
            let state = worker.before().raised_to(Dispatch::IRQL);
            irql.at_dispatch_level(|irql| self.work(irql, state, worker))
        };
        if !found {
            worker.gave_up();
            // Whoever has the nodes needs a processor to put them back.
            yield_now(irql);
        }
    }
}

/// How many elements each worker has put in.
pub struct Stamps(Vec<AtomicU64>);

impl Stamps {
    /// So many workers, who have put in none.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(workers: usize) -> Result<Self, Status> {
        let mut stamps = Vec::new();
        stamps
            .try_reserve_exact(workers)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        stamps.resize_with(workers, || AtomicU64::new(0));
        Ok(Self(stamps))
    }

    /// The next one of a worker, on its thread.
    pub fn next(&self, by: usize) -> Option<Stamp> {
        let before = self.0.get(by)?.fetch_add(1, Ordering::Relaxed);
        Some(Stamp { by, before })
    }
}

/// Nodes with their elements, for the lists.
///
/// # Errors
///
/// [`Status::INSUFFICIENT_RESOURCES`].
pub fn nodes(count: usize) -> Result<Vec<ListNode<Element>>, Status> {
    let mut nodes = Vec::new();
    nodes
        .try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for number in 0..count {
        nodes.push(ListNode::new(Element {
            number,
            stamp: None,
            ledger: Ledger::new(),
        })?);
    }
    Ok(nodes)
}

/// Where every element is: beside the lists, so that what they do is known without them.
pub struct Places(Vec<AtomicU32>);

impl Places {
    /// So many elements, all of them in a list.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(count: usize) -> Result<Self, Status> {
        let mut places = Vec::new();
        places
            .try_reserve_exact(count)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        places.resize_with(count, || AtomicU32::new(IN_A_LIST));
        Ok(Self(places))
    }

    /// Says that an element was taken out of a list. Nobody else may have it.
    pub fn taken(&self, number: usize) -> Result<(), Violation> {
        self.goes(number, TAKEN)
    }

    /// Says that an element is about to be put into a list.
    pub fn given(&self, number: usize) {
        if let Some(place) = self.0.get(number) {
            place.store(IN_A_LIST, Ordering::Release);
        }
    }

    /// Says that an element was in a list when all was over.
    pub fn found(&self, number: usize) -> Result<(), Violation> {
        self.goes(number, FOUND)
    }

    fn goes(&self, number: usize, place: u32) -> Result<(), Violation> {
        let before = self
            .0
            .get(number)
            .map(|it| it.swap(place, Ordering::AcqRel));
        if before == Some(IN_A_LIST) {
            Ok(())
        } else {
            Err(Violation::ElementTwice { number })
        }
    }

    /// Elements that were in no list when all was over.
    pub fn lost(&self) -> Result<(), Violation> {
        let is_lost = |it: &&AtomicU32| it.load(Ordering::Acquire) != FOUND;
        match self.0.iter().filter(is_lost).count() {
            0 => Ok(()),
            count => Err(Violation::ElementsLost { count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_in_one_place() {
        let places = Places::new(2).unwrap();
        assert!(places.taken(0).is_ok());
        let twice = places.taken(0);
        assert!(matches!(twice, Err(Violation::ElementTwice { number: 0 })));
        places.given(0);
        assert!(places.taken(0).is_ok());
        assert!(places.taken(2).is_err(), "there is none");
    }

    #[test]
    fn what_is_not_found_at_the_end_is_lost() {
        let places = Places::new(3).unwrap();
        assert!(places.found(1).is_ok());
        assert!(places.found(1).is_err());
        let lost = places.lost();
        assert!(matches!(lost, Err(Violation::ElementsLost { count: 2 })));
        assert!([0, 2].into_iter().all(|it| places.found(it).is_ok()));
        assert!(places.lost().is_ok());
    }
}
