//! Work items: a function that a system worker thread runs at `PASSIVE_LEVEL`.

use core::{
    ffi::c_void,
    fmt,
    ops::Deref,
    pin::Pin,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};

use pinned_init::{PinInit, pin_data, pinned_drop, try_pin_init};

use crate::{
    Bound, Irql, Level, NonPaged, Passive, Status,
    callback::Callback,
    dispatcher::KernelObject,
    held::{self, Held},
    irql::{Apc, AtMost, Dispatch},
    nt,
    rundown::unused_rundown,
};

/// Whether a work item was queued before a call. Neither is a failure.
///
/// ```
/// use wdk_sync::{NonPaged, WorkItem, WorkItemWas};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// # let device = core::ptr::null_mut();
/// // SAFETY: A device object of this driver, which stays longer than the work item.
/// let work = unsafe { WorkItem::new(irql, device, |_work, _irql| {}) };
/// let work = NonPaged::pin_init(work)?;
/// assert_eq!(work.queue(irql), WorkItemWas::Idle);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkItemWas {
    /// Not queued: never, or running, or done.
    Idle,
    /// Queued, and not run yet.
    Queued,
}

/// An `IO_WORKITEM`, freed when this is dropped.
struct IoWorkItem(NonNull<c_void>);

// SAFETY: A work item belongs to no thread: any may queue and free it.
unsafe impl Send for IoWorkItem {}
// SAFETY: Shared, it gives its address alone.
unsafe impl Sync for IoWorkItem {}

impl IoWorkItem {
    /// # Safety
    ///
    /// `device` is a device object.
    unsafe fn allocate(device: nt::PDEVICE_OBJECT) -> Result<Self, Status> {
        // SAFETY: The caller vouches for the device.
        let item = unsafe { nt::IoAllocateWorkItem(device) };
        NonNull::new(item.cast())
            .map(Self)
            .ok_or(Status::INSUFFICIENT_RESOURCES)
    }
}

impl Drop for IoWorkItem {
    fn drop(&mut self) {
        // SAFETY: The item was allocated, is freed once, and is not queued: its owner has waited for
        // all its runs.
        unsafe { nt::IoFreeWorkItem(self.0.as_ptr().cast()) };
    }
}

/// The `IO_WORKITEM` of a [`WorkItem`], which the owner and the callback queue.
#[pin_data]
pub struct WorkItemControl {
    item: IoWorkItem,
    /// Whether the item is in the queue of the worker threads, where it can be once.
    queued: AtomicBool,
    /// Protection by every run that is queued or under way.
    #[pin]
    runs: KernelObject<nt::EX_RUNDOWN_REF>,
    /// The routine that the worker threads call, and what it gets.
    routine: nt::PIO_WORKITEM_ROUTINE_EX,
    context: nt::PVOID,
}

// SAFETY: The routine gets what `context` points to from any worker thread, which the bounds of the
// callback allow; the rest belongs to no thread.
unsafe impl Send for WorkItemControl {}
// SAFETY: As above; the item is queued by one thread at a time, which `queued` sees to.
unsafe impl Sync for WorkItemControl {}

impl WorkItemControl {
    /// Queues the work item unless it is queued, and tells which it was.
    ///
    /// While the owner of the [`WorkItem`] lets it run down, this does nothing.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `IoQueueWorkItemEx`.
    pub fn queue<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> WorkItemWas {
        // SAFETY: The structure is initialised and resident, which allows DISPATCH_LEVEL.
        if unsafe { nt::ExAcquireRundownProtection(self.runs.get()) } == nt::FALSE {
            return WorkItemWas::Idle;
        }
        if self.queued.swap(true, Ordering::AcqRel) {
            self.end_run();
            return WorkItemWas::Queued;
        }
        // SAFETY: The item is allocated and not queued, because this thread alone has set `queued`.
        // The context stays until the routine has ended the run.
        unsafe {
            nt::IoQueueWorkItemEx(
                self.item.0.as_ptr().cast(),
                self.routine,
                nt::_WORK_QUEUE_TYPE::DelayedWorkQueue,
                self.context,
            );
        }
        WorkItemWas::Idle
    }

    /// Ends what [`queue`](Self::queue) has protected. The work item may be gone after that.
    fn end_run(&self) {
        // SAFETY: Private to the ends of runs, each of which was protected once.
        unsafe { nt::ExReleaseRundownProtection(self.runs.get()) };
    }
}

impl fmt::Debug for WorkItemControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkItemControl")
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

/// What runs as a [`WorkItem`].
///
/// It runs at `PASSIVE_LEVEL` on a system worker thread. The kernel takes the item out of its queue
/// first, so it may be queued again meanwhile and then runs on two threads at once: hence `Fn` and
/// `Sync`. Worker threads are few: the page asks that it ends soon.
pub trait WorkItemCallback:
    Fn(&WorkItemControl, &mut Irql<'_, Passive>) + Send + Sync + 'static
{
}

impl<F: Fn(&WorkItemControl, &mut Irql<'_, Passive>) + Send + Sync + 'static> WorkItemCallback
    for F
{
}

/// A callback that a system worker thread runs when it is queued: the way from a DPC to
/// `PASSIVE_LEVEL`.
///
/// It owns its callback and outlives every run of it: dropping it waits, under rundown protection,
/// until all runs have ended. That needs `IRQL <= APC_LEVEL`; dropped above it, the work item stops
/// the system with bug check 0xC4 (0x100B). Its own callback must not drop it: it would wait for
/// itself.
///
/// A work item belongs to a device object, to which the I/O manager holds a reference while the item
/// is queued and runs; so the driver stays loaded until the last instruction of the callback.
/// `ExQueueWorkItem` has no such object, which is why it is not used here.
///
/// Pages: `IoAllocateWorkItem`, `IoQueueWorkItemEx`, `IoFreeWorkItem`, `ExAcquireRundownProtection`.
///
/// ```no_run
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use wdk_sync::{NonPaged, WorkItem};
///
/// static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// # let device = core::ptr::null_mut();
/// // SAFETY: A device object of this driver, which stays longer than the work item.
/// let work = unsafe {
///     WorkItem::new(irql, device, |_work, _irql| {
///         RUNS.fetch_add(1, Ordering::Relaxed);
///     })
/// };
/// let work = NonPaged::pin_init(work)?;
/// irql.at_dispatch_level(|irql| work.queue(irql));
/// WorkItem::run_down(work, irql);
/// assert_eq!(RUNS.load(Ordering::Relaxed), 1);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct WorkItem<F> {
    #[pin]
    control: WorkItemControl,
    callback: F,
}

impl<F: WorkItemCallback> WorkItem<F> {
    /// An initialiser of a work item that is not queued; see [`NonPaged`]. It borrows the token,
    /// because the page of `ExInitializeRundownProtection` asks for `<= APC_LEVEL`.
    ///
    /// Fails with [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    ///
    /// IRQL: `<= APC_LEVEL`. Pages: `IoAllocateWorkItem`, `ExInitializeRundownProtection`.
    ///
    /// # Safety
    ///
    /// `device` is a device object of this driver, and stays until the work item was dropped.
    pub unsafe fn new<L: AtMost<Apc>>(
        _irql: &Irql<'_, L>,
        device: nt::PDEVICE_OBJECT,
        callback: F,
    ) -> impl PinInit<Self, Status> {
        // SAFETY: The caller vouches for the device.
        unsafe { Self::init(device, callback) }
    }
}

/// A [`WorkItem`] that runs a function on a context: its type has a name, so that a structure can
/// hold it.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use wdk_sync::{BoundWorkItem, Irql, NonPaged, NonPagedArc, Passive, WorkItemControl};
///
/// fn count(runs: &NonPagedArc<AtomicU32>, _work: &WorkItemControl, _irql: &mut Irql<'_, Passive>) {
///     runs.fetch_add(1, Ordering::Relaxed);
/// }
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// # let device = core::ptr::null_mut();
/// let runs = NonPagedArc::new(AtomicU32::new(0))?;
/// // SAFETY: A device object of this driver, which stays longer than the work item.
/// let work = unsafe { BoundWorkItem::bound(irql, device, runs.clone(), count) };
/// let work: NonPaged<BoundWorkItem<_>> = NonPaged::pin_init(work)?;
/// let _was = work.queue(irql);
/// BoundWorkItem::run_down(work, irql);
/// assert_eq!(runs.load(Ordering::Relaxed), 1);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub type BoundWorkItem<C> = WorkItem<Bound<C, WorkItemControl, Passive>>;

impl<C: Send + Sync + 'static> BoundWorkItem<C> {
    /// As [`new`](WorkItem::new), of a work item that runs `function` on `context`.
    ///
    /// IRQL: `<= APC_LEVEL`. Pages: `IoAllocateWorkItem`, `ExInitializeRundownProtection`.
    ///
    /// # Safety
    ///
    /// `device` is a device object of this driver, and stays until the work item was dropped.
    pub unsafe fn bound<L: AtMost<Apc>>(
        _irql: &Irql<'_, L>,
        device: nt::PDEVICE_OBJECT,
        context: C,
        function: fn(&C, &WorkItemControl, &mut Irql<'_, Passive>),
    ) -> impl PinInit<Self, Status> {
        // SAFETY: The caller vouches for the device.
        unsafe { Self::init(device, Bound::new(context, function)) }
    }
}

impl<F: Callback<WorkItemControl, Passive>> WorkItem<F> {
    /// # Safety
    ///
    /// `device` is a device object of this driver, and stays until the work item was dropped. The
    /// IRQL is at most `APC_LEVEL` when it is initialised.
    unsafe fn init(device: nt::PDEVICE_OBJECT, callback: F) -> impl PinInit<Self, Status> {
        let routine: nt::PIO_WORKITEM_ROUTINE_EX = Some(run_callback::<F>);
        try_pin_init!(&this in Self {
            control <- {
                let context = this.as_ptr().cast();
                try_pin_init!(WorkItemControl {
                    item: {
                        // SAFETY: The caller vouches for the device.
                        unsafe { IoWorkItem::allocate(device) }?
                    },
                    queued: AtomicBool::new(false),
                    runs <- unused_rundown(),
                    routine,
                    context,
                }? Status)
            },
            callback,
        }? Status)
    }
}

impl<F> WorkItem<F> {
    /// Waits until the callback no longer runs, queued runs included, and frees the work item: a drop
    /// with proof of the level that it needs.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExWaitForRundownProtectionRelease`.
    pub fn run_down<L: AtMost<Apc>>(work: NonPaged<Self>, _irql: &mut Irql<'_, L>) {
        drop(work);
    }
}

nt::callback! {
    /// The routine of a `WorkItem<F>`: its context is that.
    ///
    /// # Safety
    ///
    /// `context` points to an initialised `WorkItem<F>` that lives until its rundown protection is
    /// released once, at `PASSIVE_LEVEL`.
    unsafe fn run_callback[F: Callback<WorkItemControl, Passive>](
        _io_object: nt::PVOID,
        context: nt::PVOID,
        _item: nt::PIO_WORKITEM,
    ) {
        // SAFETY: By the contract above.
        let work = unsafe { &*context.cast::<WorkItem<F>>() };
        // The kernel has taken the item out of its queue.
        work.control.queued.store(false, Ordering::Release);
        work.callback.call(&work.control, &mut Irql::new());
        work.control.end_run();
    }
}

#[pinned_drop]
impl<F> PinnedDrop for WorkItem<F> {
    fn drop(self: Pin<&mut Self>) {
        let runs = self.control.runs.get();
        held::require_irql(Apc::IRQL, Held::WorkItem, runs.cast());
        // Before any field is dropped: the callback may be queued or running.
        // SAFETY: The structure is initialised and resident, the IRQL at most APC_LEVEL, and this
        // happens once.
        unsafe { nt::ExWaitForRundownProtectionRelease(runs) };
    }
}

impl<F> Deref for WorkItem<F> {
    type Target = WorkItemControl;

    fn deref(&self) -> &WorkItemControl {
        &self.control
    }
}

impl<F> fmt::Debug for WorkItem<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkItem").finish_non_exhaustive()
    }
}
