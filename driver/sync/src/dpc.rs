//! KDPC: a function that runs at `DISPATCH_LEVEL` on a processor, soon.

use core::{
    fmt,
    ops::Deref,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    At, Bound, Dispatch, Irql, Level, NonPaged, Passive, Status,
    callback::Callback,
    dispatcher::KernelObject,
    held::{self, Held},
    nt,
    processor::processor_number,
    track,
};

/// Whether a DPC was in a queue before a call. Neither is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpcWas {
    /// In no queue: never queued, taken out again, or running or done.
    Idle,
    /// In the queue of a processor.
    Queued,
}

/// Where in its queue a DPC goes, and how soon the queue is worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Importance {
    /// At the end; the queue waits for another reason to be worked on.
    Low,
    /// At the end; the queue of the current processor is worked on at once.
    #[default]
    Medium,
    /// At the end; the queue of any processor is worked on at once.
    MediumHigh,
    /// At the beginning; the queue of any processor is worked on at once.
    High,
}

impl Importance {
    const fn raw(self) -> nt::KDPC_IMPORTANCE {
        match self {
            Self::Low => nt::_KDPC_IMPORTANCE::LowImportance,
            Self::Medium => nt::_KDPC_IMPORTANCE::MediumImportance,
            Self::MediumHigh => nt::_KDPC_IMPORTANCE::MediumHighImportance,
            Self::High => nt::_KDPC_IMPORTANCE::HighImportance,
        }
    }
}

/// The `KDPC` of a [`Dpc`], which the owner and the callback queue, take out and direct.
///
/// IRQL: any.
#[pin_data]
pub struct DpcControl {
    #[pin]
    dpc: KernelObject<nt::KDPC>,
    /// Set once, when the owner goes away: from then on a callback cannot queue the DPC again.
    closing: AtomicBool,
}

impl DpcControl {
    /// Queues the DPC unless it is queued, and tells which it was.
    ///
    /// While the owner of the [`Dpc`] lets it run down, this does nothing.
    ///
    /// Page: `KeInsertQueueDpc`.
    pub fn queue(&self) -> DpcWas {
        if self.closing.load(Ordering::SeqCst) {
            return DpcWas::Idle;
        }
        let no_argument = core::ptr::null_mut;
        // SAFETY: The DPC is initialised and resident, and stays until it has run (`run_down`). Its
        // routine takes no arguments.
        let inserted =
            unsafe { nt::KeInsertQueueDpc(self.dpc.get(), no_argument(), no_argument()) };
        if inserted == nt::FALSE {
            DpcWas::Queued
        } else {
            DpcWas::Idle
        }
    }

    /// Takes the DPC out of its queue, and tells whether it was in one. A callback that runs goes on
    /// to its end.
    ///
    /// Page: `KeRemoveQueueDpc`.
    pub fn remove(&self) -> DpcWas {
        // SAFETY: The DPC is initialised and resident.
        if unsafe { nt::KeRemoveQueueDpc(self.dpc.get()) } == nt::FALSE {
            DpcWas::Idle
        } else {
            DpcWas::Queued
        }
    }

    /// Sets the importance, from the next time on that the DPC is queued.
    ///
    /// Page: `KeSetImportanceDpc`.
    pub fn set_importance(&self, importance: Importance) {
        // SAFETY: The DPC is initialised and resident.
        unsafe { nt::KeSetImportanceDpc(self.dpc.get(), importance.raw()) };
    }

    /// Sets the processor on which the DPC is to run, from the next time on that it is queued;
    /// before, that is the one on which it is queued.
    ///
    /// Processors count from 0 to [`active_processors`](crate::active_processors), over all groups.
    ///
    /// Pages: `KeGetProcessorNumberFromIndex`, `KeSetTargetProcessorDpcEx`.
    ///
    /// # Errors
    ///
    /// [`Status::INVALID_PARAMETER`] if there is no such processor.
    pub fn set_target(&self, processor: u32) -> Result<(), Status> {
        let mut number = processor_number(processor)?;
        // SAFETY: The DPC is initialised and resident, and the number may be read.
        let status = unsafe { nt::KeSetTargetProcessorDpcEx(self.dpc.get(), &raw mut number) };
        Status::from_raw(status).ok()
    }

    /// Takes the DPC out of its queue for good and waits for its callback.
    fn run_down(&self) {
        self.closing.store(true, Ordering::SeqCst);
        held::require_irql(Passive::IRQL, Held::Dpc, self.dpc.get().cast());
        // Twice: a callback that looked at `closing` before it was set may queue the DPC once more
        // after it was first taken out. The first flush has waited for that callback; those that
        // start later see `closing`.
        for _ in 0..2 {
            self.remove();
            // SAFETY: The IRQL is PASSIVE_LEVEL.
            unsafe { nt::KeFlushQueuedDpcs() };
        }
    }
}

impl fmt::Debug for DpcControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpcControl").finish_non_exhaustive()
    }
}

/// What runs as a [`Dpc`].
///
/// It runs at `DISPATCH_LEVEL`, in the context of whatever thread is current. The kernel takes the
/// DPC out of its queue first, so it may be queued again meanwhile and then runs on two processors at
/// once: hence `Fn` and `Sync`.
pub trait DpcCallback: Fn(&DpcControl, &mut Irql<'_, Dispatch>) + Send + Sync + 'static {}

impl<F: Fn(&DpcControl, &mut Irql<'_, Dispatch>) + Send + Sync + 'static> DpcCallback for F {}

/// A deferred procedure call: a callback that runs when it is queued.
///
/// It owns its callback and outlives every run of it: dropping it takes it out of its queue and waits
/// until it has run (`KeFlushQueuedDpcs`). That needs `PASSIVE_LEVEL`, so drop it there, or let
/// [`run_down`](Self::run_down) say so by type; dropped above it, the DPC stops the system with bug
/// check 0xC4 (0x100B) instead of being freed while it may run. `KeFlushQueuedDpcs` is slow and waits
/// for all DPCs of all drivers: no lock should be held.
///
/// A threaded DPC is not offered. Its routine runs at `PASSIVE_LEVEL`, or at `DISPATCH_LEVEL` where the
/// system has them turned off, and must wait at neither: but what waits in its drop, a thread or a timer
/// that ends there, is refused by the level that it finds, and would be let through. No page says that
/// `KeFlushQueuedDpcs` waits for them either, and KMDF drivers are told not to use them. What takes long
/// goes to a [`WorkItem`](crate::WorkItem).
///
/// Pages: `KeInitializeDpc`, `KeFlushQueuedDpcs`; those of [`DpcControl`].
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use wdk_sync::{Dpc, NonPaged, yield_now};
///
/// static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let dpc = NonPaged::pin_init(Dpc::new(|_dpc, irql| {
///     RUNS.fetch_add(u32::from(irql.level()), Ordering::Relaxed);
/// }))?;
/// dpc.set_target(0)?;
/// dpc.queue();
/// while RUNS.load(Ordering::Relaxed) == 0 {
///     yield_now(irql);
/// }
/// Dpc::run_down(dpc, irql);
/// assert_eq!(RUNS.load(Ordering::Relaxed), 2);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct Dpc<F> {
    #[pin]
    control: DpcControl,
    callback: F,
}

impl<F: DpcCallback> Dpc<F> {
    /// An initialiser of a DPC that is not queued; see [`NonPaged`].
    pub fn new(callback: F) -> impl PinInit<Self> {
        Self::init(callback)
    }
}

/// A [`Dpc`] that runs a function on a context: its type has a name.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use wdk_sync::{BoundDpc, Dispatch, DpcControl, Irql, NonPaged, NonPagedArc, yield_now};
///
/// fn count(runs: &NonPagedArc<AtomicU32>, _dpc: &DpcControl, _irql: &mut Irql<'_, Dispatch>) {
///     runs.fetch_add(1, Ordering::Relaxed);
/// }
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let runs = NonPagedArc::new(AtomicU32::new(0))?;
/// let dpc: NonPaged<BoundDpc<_>> = NonPaged::pin_init(BoundDpc::bound(runs.clone(), count))?;
/// dpc.queue();
/// while runs.load(Ordering::Relaxed) == 0 {
///     yield_now(irql);
/// }
/// BoundDpc::run_down(dpc, irql);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub type BoundDpc<C> = Dpc<Bound<C, DpcControl, Dispatch>>;

impl<C: Send + Sync + 'static> BoundDpc<C> {
    /// An initialiser of a DPC that is not queued and runs `function` on `context`; see [`NonPaged`].
    pub fn bound(
        context: C,
        function: fn(&C, &DpcControl, &mut Irql<'_, Dispatch>),
    ) -> impl PinInit<Self> {
        Self::init(Bound::new(context, function))
    }
}

impl<F: Callback<DpcControl, Dispatch>> Dpc<F> {
    fn init(callback: F) -> impl PinInit<Self> {
        pin_init!(&this in Self {
            control <- {
                let context = this.as_ptr().cast();
                let init = move |dpc| {
                    // SAFETY: The place is valid for a KDPC and resident. The routine runs only
                    // after the DPC was queued, and so after the structure at `context` was
                    // initialised, and `run_down` has waited for it before that goes.
                    unsafe { nt::KeInitializeDpc(dpc, Some(run_callback::<F>), context) };
                };
                pin_init!(DpcControl {
                    // SAFETY: KeInitializeDpc initialises the whole object.
                    dpc <- unsafe { KernelObject::new(init) },
                    closing: AtomicBool::new(false),
                })
            },
            callback,
        })
    }
}

impl<F> Dpc<F> {
    /// Takes the DPC out of its queue, waits until its callback no longer runs, and frees it: a drop
    /// with proof of the level that it needs.
    ///
    /// IRQL: `PASSIVE_LEVEL`. Pages: `KeRemoveQueueDpc`, `KeFlushQueuedDpcs`.
    pub fn run_down<L: At<Passive>>(dpc: NonPaged<Self>, _irql: &mut Irql<'_, L>) {
        drop(dpc);
    }
}

nt::callback! {
    /// The routine of a `Dpc<F>`: its context is that.
    ///
    /// # Safety
    ///
    /// `context` points to an initialised `Dpc<F>` that lives through the call, at `DISPATCH_LEVEL`.
    unsafe fn run_callback[F: Callback<DpcControl, Dispatch>](
        _dpc: *mut nt::KDPC,
        context: nt::PVOID,
        _argument1: nt::PVOID,
        _argument2: nt::PVOID,
    ) {
        // SAFETY: By the contract above.
        let dpc = unsafe { &*context.cast::<Dpc<F>>() };
        dpc.callback.call(&dpc.control, &mut Irql::new());
        track::thread_ends();
    }
}

#[pinned_drop]
impl<F> PinnedDrop for Dpc<F> {
    fn drop(self: Pin<&mut Self>) {
        // Before any field is dropped: the callback may be running.
        self.control.run_down();
    }
}

impl<F> Deref for Dpc<F> {
    type Target = DpcControl;

    fn deref(&self) -> &DpcControl {
        &self.control
    }
}

impl<F> fmt::Debug for Dpc<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpc").finish_non_exhaustive()
    }
}
