//! `ExInterlockedXxxList`: a list that any level may put into and take out of.

use core::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{NonPaged, Status, dispatcher::KernelObject, nt};

/// A list of values in nonpaged pool, under a spin lock of its own.
///
/// | | |
/// |---|---|
/// | all operations | any IRQL; they allocate nothing and cannot fail |
/// | order | first in, first out by [`push_back`](Self::push_back); a stack by [`push_front`](Self::push_front) |
/// | for | what DPCs leave for threads, and spare blocks that both take |
///
/// The value is in a node that the caller has allocated and gets back, so an element moves from list
/// to list without memory being allocated. Dropping the list drops what is in it. A stack without a
/// lock is [`SList`](crate::SList), for the same nodes.
///
/// Pages: `ExInterlockedInsertHeadList`, `ExInterlockedInsertTailList`,
/// `ExInterlockedRemoveHeadList`.
///
/// ```
/// use wdk_sync::{InterlockedList, ListNode, NonPaged};
///
/// let requests = NonPaged::pin_init(InterlockedList::new())?;
/// requests.push_back(ListNode::new(1)?);
/// requests.push_back(ListNode::new(2)?);
/// requests.push_front(ListNode::new(0)?);
/// assert_eq!(requests.pop_front().map(|node| *node), Some(0));
/// assert_eq!(requests.pop_front().map(|node| *node), Some(1));
/// # Ok::<(), wdk_sync::Status>(())
/// ```
#[pin_data(PinnedDrop)]
pub struct InterlockedList<T> {
    #[pin]
    head: KernelObject<nt::LIST_ENTRY>,
    #[pin]
    lock: KernelObject<nt::KSPIN_LOCK>,
    // Invariant, as what can be changed through `&self` must be: a list of values that live long is no
    // list of shorter lives, which could be put in as such and taken out as the others.
    owns: PhantomData<UnsafeCell<ListNode<T>>>,
}

// SAFETY: The list hands each value from whoever puts it in to whoever takes it out and gives no
// access to it in between, so it may be shared if the values may be sent.
unsafe impl<T: Send> Sync for InterlockedList<T> {}

impl<T> InterlockedList<T> {
    /// An initialiser of an empty list; see [`NonPaged`].
    pub fn new() -> impl PinInit<Self> {
        let empty = |head: *mut nt::LIST_ENTRY| {
            let linked_to_itself = nt::LIST_ENTRY {
                Flink: head,
                Blink: head,
            };
            // SAFETY: The place is valid for a LIST_ENTRY.
            unsafe { head.write(linked_to_itself) };
        };
        let free = |lock: *mut nt::KSPIN_LOCK| {
            // SAFETY: The place is valid for a KSPIN_LOCK, and zero is a free one.
            unsafe { lock.write(0) };
        };
        pin_init!(Self {
            // SAFETY: An empty list is a head that is linked to itself.
            head <- unsafe { KernelObject::new(empty) },
            // SAFETY: The closure writes the whole lock.
            lock <- unsafe { KernelObject::new(free) },
            owns: PhantomData,
        })
    }

    /// Puts a node at the end.
    ///
    /// IRQL: any. Page: `ExInterlockedInsertTailList`.
    pub fn push_back(&self, node: ListNode<T>) {
        let entry = node.into_link();
        // SAFETY: List and lock are initialised and resident, the lock is used for these functions
        // alone, and the entry is in no list and stays until it is taken out.
        unsafe { nt::ExInterlockedInsertTailList(self.head.get(), entry, self.lock.get()) };
    }

    /// Puts a node at the beginning.
    ///
    /// IRQL: any. Page: `ExInterlockedInsertHeadList`.
    pub fn push_front(&self, node: ListNode<T>) {
        let entry = node.into_link();
        // SAFETY: As for `push_back`.
        unsafe { nt::ExInterlockedInsertHeadList(self.head.get(), entry, self.lock.get()) };
    }

    /// Takes the first node out, if there is one.
    ///
    /// IRQL: any. Page: `ExInterlockedRemoveHeadList`.
    pub fn pop_front(&self) -> Option<ListNode<T>> {
        // SAFETY: As for `push_back`.
        let entry = unsafe { nt::ExInterlockedRemoveHeadList(self.head.get(), self.lock.get()) };
        // SAFETY: What is in the list was put in by this type, and it was taken out just now.
        (!entry.is_null()).then(|| unsafe { ListNode::from_link(entry) })
    }
}

#[pinned_drop]
impl<T> PinnedDrop for InterlockedList<T> {
    fn drop(self: Pin<&mut Self>) {
        while let Some(node) = self.pop_front() {
            drop(node);
        }
    }
}

impl<T> fmt::Debug for InterlockedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterlockedList").finish_non_exhaustive()
    }
}

/// A value with a place for the `LIST_ENTRY` of an [`InterlockedList`] or the `SLIST_ENTRY` of an
/// [`SList`](crate::SList), in nonpaged pool.
///
/// ```
/// use wdk_sync::{InterlockedList, ListNode, NonPaged};
///
/// let list = NonPaged::pin_init(InterlockedList::new())?;
/// let mut node = ListNode::new([0; 16])?;
/// node[0] = 1;
/// list.push_back(node);
/// let node = list.pop_front().expect("it was put in");
/// assert_eq!(node.into_inner()[0], 1);
/// # Ok::<(), wdk_sync::Status>(())
/// ```
pub struct ListNode<T>(NonPaged<Linked<T>>);

/// The entry comes first, so that its address is that of the whole.
#[repr(C)]
struct Linked<T> {
    entry: Entry,
    value: T,
}

/// Room for an entry of either kind of list, as both are aligned.
#[derive(Clone, Copy)]
union Entry {
    none: [usize; 2],
    _list: nt::LIST_ENTRY,
    _slist: nt::SLIST_ENTRY,
}

// SAFETY: While there is a `ListNode`, its entry is in no list and points to nothing that is used.
unsafe impl<T: Send> Send for Linked<T> {}
// SAFETY: As above; shared, it gives out `&T` alone.
unsafe impl<T: Sync> Sync for Linked<T> {}

impl<T> ListNode<T> {
    /// Allocates a node for `value`.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn new(value: T) -> Result<Self, Status> {
        let entry = Entry { none: [0; 2] };
        NonPaged::new(Linked { entry, value }).map(Self)
    }

    /// Takes the value out and frees the node.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    #[must_use]
    pub fn into_inner(self) -> T {
        // SAFETY: The entry is in no list, so nothing points to the node.
        unsafe { self.0.into_inner() }.value
    }

    /// Gives the node away to a list whose entry is an `L`.
    pub(crate) const fn into_link<L>(self) -> *mut L {
        let entry = self.0.as_ptr().cast();
        core::mem::forget(self);
        entry
    }

    /// # Safety
    ///
    /// The entry is of a node that was given away by [`into_link`](Self::into_link), is in no list any
    /// more, and is taken over once.
    pub(crate) const unsafe fn from_link<L>(entry: *mut L) -> Self {
        // SAFETY: The entry is at the address of the whole; the caller vouches for the rest.
        Self(unsafe { NonPaged::from_ptr(entry.cast()) })
    }
}

impl<T> Deref for ListNode<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> DerefMut for ListNode<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The node is owned, so nothing else reaches its value, and it is borrowed through
        // `&mut self`.
        unsafe { &mut (*self.0.as_ptr()).value }
    }
}

impl<T: fmt::Debug> fmt::Debug for ListNode<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
