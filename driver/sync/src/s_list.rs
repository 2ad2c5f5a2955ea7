//! `SLIST_HEADER`: a stack that any level may push to and pop from, without a lock.

use core::{cell::UnsafeCell, fmt, iter::FusedIterator, marker::PhantomData, mem};

use crate::{ListNode, nt};

/// A stack of values in nonpaged pool: a sequenced singly linked list.
///
/// | | |
/// |---|---|
/// | all operations | any IRQL; they allocate nothing, take no lock and cannot fail |
/// | order | last in, first out |
/// | for | spare blocks that threads and DPCs take and give back, and what one side collects all at once |
///
/// Where the order matters or both ends are used, [`InterlockedList`](crate::InterlockedList) has a
/// lock and does that; the two take the same nodes. The value is in a node that the caller has
/// allocated and gets back. Dropping the list drops what is in it.
///
/// `const`, so that it can be a static, and it may be moved while nothing borrows it: nothing points
/// to it. `InitializeSListHead` fills it with zeroes, as [`new`](Self::new) does.
///
/// Pages: `ExInterlockedPushEntrySList`, `ExInterlockedPopEntrySList`, `ExInterlockedFlushSList`,
/// which are names for `ExpInterlockedPushEntrySList` and so on.
///
/// ```
/// use wdk_sync::{ListNode, SList};
///
/// static SPARE: SList<[u8; 64]> = SList::new();
///
/// SPARE.push(ListNode::new([0; 64])?);
/// let mut block = SPARE.pop().expect("one was put in");
/// block[0] = 1;
/// SPARE.push(block);
/// assert_eq!(SPARE.take_all().map(|block| block[0]).sum::<u8>(), 1);
/// assert!(SPARE.pop().is_none());
/// # Ok::<(), wdk_sync::Status>(())
/// ```
pub struct SList<T> {
    head: UnsafeCell<nt::SLIST_HEADER>,
    // Invariant, as what can be changed through `&self` must be: a list of values that live long is no
    // list of shorter lives, which could be put in as such and taken out as the others.
    owns: PhantomData<UnsafeCell<ListNode<T>>>,
}

// SAFETY: The list hands each value from whoever puts it in to whoever takes it out and gives no
// access to it in between, so it may be shared if the values may be sent.
unsafe impl<T: Send> Sync for SList<T> {}

impl<T> SList<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        // SAFETY: The head is made of integers, and an empty one of zeroes.
        let empty: nt::SLIST_HEADER = unsafe { mem::zeroed() };
        Self {
            head: UnsafeCell::new(empty),
            owns: PhantomData,
        }
    }

    /// Puts a node on top.
    ///
    /// IRQL: any. Page: `ExInterlockedPushEntrySList`.
    pub fn push(&self, node: ListNode<T>) {
        let entry = node.into_link();
        // SAFETY: The head is initialised, and resident as its owner is. The entry is in no list,
        // aligned, and stays in nonpaged pool until it is taken out.
        unsafe { nt::ExpInterlockedPushEntrySList(self.head.get(), entry) };
    }

    /// Takes the top node, if there is one.
    ///
    /// IRQL: any. Page: `ExInterlockedPopEntrySList`.
    pub fn pop(&self) -> Option<ListNode<T>> {
        // SAFETY: As for `push`.
        let entry = unsafe { nt::ExpInterlockedPopEntrySList(self.head.get()) };
        // SAFETY: What is in the list was put in by `push`, and it was taken out just now.
        (!entry.is_null()).then(|| unsafe { ListNode::from_link(entry) })
    }

    /// Takes all nodes at once, the top one first.
    ///
    /// IRQL: any. Page: `ExInterlockedFlushSList`.
    #[must_use = "the nodes are dropped with what is returned"]
    pub fn take_all(&self) -> SListNodes<T> {
        SListNodes {
            // SAFETY: As for `push`.
            first: unsafe { nt::ExpInterlockedFlushSList(self.head.get()) },
            owns: PhantomData,
        }
    }
}

impl<T> Default for SList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for SList<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

impl<T> fmt::Debug for SList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SList").finish_non_exhaustive()
    }
}

/// The nodes that [`SList::take_all`] took, the one that was put in last first. Dropping it drops
/// those that were not taken from it.
///
/// ```
/// use wdk_sync::{ListNode, SList};
///
/// static DONE: SList<u32> = SList::new();
///
/// for number in 0..3 {
///     DONE.push(ListNode::new(number)?);
/// }
/// let mut taken = DONE.take_all().map(ListNode::into_inner);
/// assert_eq!(taken.next(), Some(2));
/// assert_eq!(taken.last(), Some(0));
/// # Ok::<(), wdk_sync::Status>(())
/// ```
pub struct SListNodes<T> {
    /// The first of those that are left; each points to the next, the last to null.
    first: *mut nt::SLIST_ENTRY,
    owns: PhantomData<ListNode<T>>,
}

// SAFETY: It owns its nodes, as a collection of `ListNode` does.
unsafe impl<T: Send> Send for SListNodes<T> {}
// SAFETY: Shared, it gives access to nothing.
unsafe impl<T: Sync> Sync for SListNodes<T> {}

impl<T> Iterator for SListNodes<T> {
    type Item = ListNode<T>;

    fn next(&mut self) -> Option<ListNode<T>> {
        let entry = self.first;
        // SAFETY: What is left are entries that were in the list and belong to this alone.
        let next = unsafe { entry.as_ref() }?.Next;
        self.first = next;
        // SAFETY: The entry was put in by `push`, and it is taken over once.
        Some(unsafe { ListNode::from_link(entry) })
    }
}

impl<T> FusedIterator for SListNodes<T> {}

impl<T> Drop for SListNodes<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T> fmt::Debug for SListNodes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SListNodes").finish_non_exhaustive()
    }
}
