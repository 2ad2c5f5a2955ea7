//! KTIMER: a dispatcher object that time signals, and the DPC that runs then.

use core::{
    fmt,
    ops::Deref,
    pin::Pin,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Alertable, Bound, Dispatch, DueTime, Irql, Level, NonPaged, Passive, Period, Signal, Timeout,
    WaitStatus, Waitable,
    callback::Callback,
    dispatcher::{DispatcherObject, KernelObject},
    held::{self, Held},
    irql::{Apc, At, AtMost},
    nt, track,
    wait::wait_for,
};

/// Whether a timer was in the timer queue before a call. Neither is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerWas {
    /// Not queued: never set, cancelled, or, if it is not periodic, expired.
    Idle,
    /// Queued; the call took it out of the queue first. A periodic timer is always queued, from its
    /// first setting until it is cancelled.
    Queued,
}

impl TimerWas {
    pub(crate) const fn from_raw(queued: nt::BOOLEAN) -> Self {
        if queued == 0 {
            Self::Idle
        } else {
            Self::Queued
        }
    }
}

/// A `KTIMER` that can be set, cancelled and waited for. It has no callback; with one it is a
/// [`Timer`].
///
/// A notification timer stays signaled until it is set again, a synchronization timer until it has
/// satisfied one wait. Cancelling does not change the signal.
///
/// IRQL: setting and cancelling `<= DISPATCH_LEVEL`; waiting `<= APC_LEVEL`.
///
/// Pages: `KeInitializeTimerEx`, `KeSetTimerEx`, `KeSetCoalescableTimer`, `KeCancelTimer`,
/// `KeReadStateTimer`.
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{DueTime, NonPaged, Signal, Timeout, TimerWas, WaitStatus, WaitableTimer};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let timer = NonPaged::pin_init(WaitableTimer::new(Signal::Synchronization))?;
/// let was = timer.set(irql, DueTime::After(Duration::from_millis(1)), None);
/// assert_eq!(was, TimerWas::Idle);
/// assert_eq!(timer.wait(irql, Timeout::Never), WaitStatus::Acquired);
/// assert_eq!(timer.cancel(irql), TimerWas::Idle);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct WaitableTimer {
    #[pin]
    timer: KernelObject<nt::KTIMER>,
    #[pin]
    dpc: KernelObject<nt::KDPC>,
    /// Whether `dpc` is to run at expiry.
    has_callback: bool,
    /// Set once, when the owner goes away: from then on a callback cannot set the timer again.
    closing: AtomicBool,
}

impl WaitableTimer {
    /// An initialiser of a timer that is not set; see [`NonPaged`].
    pub fn new(signal: Signal) -> impl PinInit<Self> {
        let no_dpc = |dpc: *mut nt::KDPC| {
            // SAFETY: The place is valid for a KDPC.
            unsafe { dpc.write_bytes(0, 1) };
        };
        pin_init!(Self {
            timer <- unset_timer(signal),
            // SAFETY: All bytes zero are a KDPC that nothing uses: `has_callback` is false.
            dpc <- unsafe { KernelObject::new(no_dpc) },
            has_callback: false,
            closing: AtomicBool::new(false),
        })
    }

    /// Sets the timer to expire at `due` and, with a period, in steps of the period after that. One
    /// that is queued is cancelled first; the timer is not signaled afterwards.
    ///
    /// While the owner of a [`Timer`] lets it run down, this does nothing.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeSetTimerEx`.
    pub fn set<L: AtMost<Dispatch>>(
        &self,
        _irql: &Irql<'_, L>,
        due: DueTime,
        period: Option<Period>,
    ) -> TimerWas {
        if self.closing.load(Ordering::SeqCst) {
            return TimerWas::Idle;
        }
        let period = period.map_or(0, Period::raw);
        // SAFETY: The timer is initialised and resident, and so is the DPC if there is one; both stay
        // until the timer is out of the queue and the DPC has run (`run_down`).
        let queued =
            unsafe { nt::KeSetTimerEx(self.timer.get(), due.raw(), period, self.dpc_or_null()) };
        TimerWas::from_raw(queued)
    }

    /// As [`set`](Self::set), with leave to expire up to `tolerance` later, in steps of 1 ms, so that
    /// expirations of several timers coincide. Below 32 ms this seldom saves anything.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeSetCoalescableTimer`.
    pub fn set_coalescable<L: AtMost<Dispatch>>(
        &self,
        _irql: &Irql<'_, L>,
        due: DueTime,
        period: Option<Period>,
        tolerance: Duration,
    ) -> TimerWas {
        if self.closing.load(Ordering::SeqCst) {
            return TimerWas::Idle;
        }
        let period = period.map_or(0, |period| period.raw().cast_unsigned());
        let tolerance = i32::try_from(tolerance.as_millis())
            .unwrap_or(i32::MAX)
            .cast_unsigned();
        // SAFETY: As for `set`; the tolerance is not negative as a LONG.
        let queued = unsafe {
            nt::KeSetCoalescableTimer(
                self.timer.get(),
                due.raw(),
                period,
                tolerance,
                self.dpc_or_null(),
            )
        };
        TimerWas::from_raw(queued)
    }

    /// Takes the timer out of the queue. A callback that has been queued or is running is not
    /// affected: dropping a [`Timer`] is what waits for it.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeCancelTimer`.
    pub fn cancel<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> TimerWas {
        // SAFETY: The timer is initialised and resident.
        TimerWas::from_raw(unsafe { nt::KeCancelTimer(self.timer.get()) })
    }

    /// Whether the timer was signaled at some moment during the call.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeReadStateTimer`.
    pub fn is_signaled<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The timer is initialised and resident.
        unsafe { nt::KeReadStateTimer(self.timer.get()) != 0 }
    }

    /// The address of the `KTIMER`, for whoever looks at it in a debugger: what `!timer` lists and
    /// `dt nt!_KTIMER` takes.
    #[must_use]
    pub fn address(&self) -> usize {
        self.timer.get().addr()
    }

    /// Waits until the timer is signaled or the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>, timeout: Timeout) -> WaitStatus {
        // SAFETY: The timer is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        unsafe { wait_for(self.timer.get().cast(), timeout, Alertable::No) }
    }

    const fn dpc_or_null(&self) -> *mut nt::KDPC {
        if self.has_callback {
            self.dpc.get()
        } else {
            ptr::null_mut()
        }
    }

    /// Takes the timer out of the queue for good and waits for its callback.
    fn run_down(&self) {
        self.closing.store(true, Ordering::SeqCst);
        if !self.has_callback {
            self.cancel_unconditionally();
            return;
        }
        held::require_irql(Passive::IRQL, Held::Timer, self.timer.get().cast());
        // Twice: a callback that looked at `closing` before it was set may set the timer once more
        // after the first cancellation. The first flush has waited for it; those that start later
        // see `closing`.
        for _ in 0..2 {
            self.cancel_unconditionally();
            // SAFETY: The IRQL is PASSIVE_LEVEL.
            unsafe { nt::KeFlushQueuedDpcs() };
        }
    }

    fn cancel_unconditionally(&self) {
        // SAFETY: The timer is initialised and resident; a drop is at most at DISPATCH_LEVEL.
        unsafe { nt::KeCancelTimer(self.timer.get()) };
    }
}

/// An initialiser of a timer that is not set.
fn unset_timer(signal: Signal) -> impl PinInit<KernelObject<nt::KTIMER>> {
    let kind = match signal {
        Signal::Notification => nt::_TIMER_TYPE::NotificationTimer,
        Signal::Synchronization => nt::_TIMER_TYPE::SynchronizationTimer,
    };
    let init = move |timer| {
        // SAFETY: The place is valid for a KTIMER and resident.
        unsafe { nt::KeInitializeTimerEx(timer, kind) };
    };
    // SAFETY: KeInitializeTimerEx initialises the whole object.
    unsafe { KernelObject::new(init) }
}

#[pinned_drop]
impl PinnedDrop for WaitableTimer {
    fn drop(self: Pin<&mut Self>) {
        self.run_down();
    }
}

// SAFETY: The object is initialised, pinned where the initialisers of this crate ask for resident
// storage, and has no owner.
unsafe impl DispatcherObject for WaitableTimer {
    fn object(&self) -> nt::PVOID {
        self.timer.get().cast()
    }
}

impl Waitable for WaitableTimer {}

impl fmt::Debug for WaitableTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitableTimer").finish_non_exhaustive()
    }
}

/// What runs when a [`Timer`] expires.
///
/// It runs at `DISPATCH_LEVEL`, in the context of whatever thread is current, and for a periodic
/// timer possibly on two processors at once: hence `Fn` and `Sync`. It gets its timer, to set it again
/// or cancel it.
pub trait TimerCallback:
    Fn(&WaitableTimer, &mut Irql<'_, Dispatch>) + Send + Sync + 'static
{
}

impl<F: Fn(&WaitableTimer, &mut Irql<'_, Dispatch>) + Send + Sync + 'static> TimerCallback for F {}

/// A [`WaitableTimer`] with a callback, which runs as its DPC.
///
/// The timer owns its callback and outlives every run of it: dropping the timer cancels it and waits
/// until its DPC has run (`KeFlushQueuedDpcs`). That needs `PASSIVE_LEVEL`, so drop it there, or let
/// [`run_down`](Self::run_down) say so by type; dropped above it, the timer stops the system with bug
/// check 0xC4 (0x100B) instead of being freed under its DPC. `KeFlushQueuedDpcs` is slow and waits
/// for all DPCs of all drivers: no lock should be held.
///
/// Pages: those of [`WaitableTimer`]; `KeInitializeDpc`, `KeFlushQueuedDpcs`.
///
/// ```
/// use core::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use wdk_sync::{DueTime, NonPaged, Period, Signal, Timer, sleep};
///
/// static TICKS: AtomicU32 = AtomicU32::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let timer = NonPaged::pin_init(Timer::new(Signal::Notification, |_timer, _irql| {
///     TICKS.fetch_add(1, Ordering::Relaxed);
/// }))?;
/// timer.set(irql, DueTime::After(Duration::from_millis(1)), Period::from_millis(1));
/// while TICKS.load(Ordering::Relaxed) < 3 {
///     sleep(irql, Duration::from_millis(1));
/// }
/// Timer::run_down(timer, irql);
/// let ticks = TICKS.load(Ordering::Relaxed);
/// sleep(irql, Duration::from_millis(5));
/// assert_eq!(TICKS.load(Ordering::Relaxed), ticks, "nothing runs after the rundown");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct Timer<F> {
    #[pin]
    control: WaitableTimer,
    callback: F,
}

impl<F: TimerCallback> Timer<F> {
    /// An initialiser of a timer that is not set; see [`NonPaged`].
    pub fn new(signal: Signal, callback: F) -> impl PinInit<Self> {
        Self::init(signal, callback)
    }
}

/// A [`Timer`] that runs a function on a context: its type has a name, so that a structure can hold
/// it.
///
/// ```
/// use core::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use wdk_sync::{
///     BoundTimer, Dispatch, DueTime, Irql, NonPaged, NonPagedArc, Signal, Timeout, WaitableTimer,
/// };
///
/// struct Clock {
///     ticks: NonPagedArc<AtomicU32>,
///     timer: NonPaged<BoundTimer<NonPagedArc<AtomicU32>>>,
/// }
///
/// fn tick(ticks: &NonPagedArc<AtomicU32>, _timer: &WaitableTimer, _irql: &mut Irql<'_, Dispatch>) {
///     ticks.fetch_add(1, Ordering::Relaxed);
/// }
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let ticks = NonPagedArc::new(AtomicU32::new(0))?;
/// let timer = NonPaged::pin_init(BoundTimer::bound(Signal::Notification, ticks.clone(), tick))?;
/// let clock = Clock { ticks, timer };
/// clock.timer.set(irql, DueTime::After(Duration::from_millis(1)), None);
/// clock.timer.wait(irql, Timeout::Never);
/// BoundTimer::run_down(clock.timer, irql);
/// assert_eq!(clock.ticks.load(Ordering::Relaxed), 1);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub type BoundTimer<C> = Timer<Bound<C, WaitableTimer, Dispatch>>;

impl<C: Send + Sync + 'static> BoundTimer<C> {
    /// An initialiser of a timer that is not set and runs `function` on `context`; see [`NonPaged`].
    pub fn bound(
        signal: Signal,
        context: C,
        function: fn(&C, &WaitableTimer, &mut Irql<'_, Dispatch>),
    ) -> impl PinInit<Self> {
        Self::init(signal, Bound::new(context, function))
    }
}

impl<F: Callback<WaitableTimer, Dispatch>> Timer<F> {
    fn init(signal: Signal, callback: F) -> impl PinInit<Self> {
        pin_init!(&this in Self {
            control <- {
                let context = this.as_ptr().cast();
                let init = move |dpc| {
                    // SAFETY: The place is valid for a KDPC and resident. The routine runs only
                    // after the timer was set, and so after the structure at `context` was
                    // initialised, and `run_down` has waited for it before that goes.
                    unsafe { nt::KeInitializeDpc(dpc, Some(run_callback::<F>), context) };
                };
                pin_init!(WaitableTimer {
                    timer <- unset_timer(signal),
                    // SAFETY: KeInitializeDpc initialises the whole object.
                    dpc <- unsafe { KernelObject::new(init) },
                    has_callback: true,
                    closing: AtomicBool::new(false),
                })
            },
            callback,
        })
    }
}

impl<F> Timer<F> {
    /// Cancels the timer, waits until its callback no longer runs, and frees it: a drop with proof
    /// of the level that it needs.
    ///
    /// IRQL: `PASSIVE_LEVEL`. Pages: `KeCancelTimer`, `KeFlushQueuedDpcs`.
    pub fn run_down<L: At<Passive>>(timer: NonPaged<Self>, _irql: &mut Irql<'_, L>) {
        drop(timer);
    }
}

nt::callback! {
    /// The DPC of a `Timer<F>`: its context is the timer.
    ///
    /// # Safety
    ///
    /// `context` points to an initialised `Timer<F>` that lives through the call, at `DISPATCH_LEVEL`.
    unsafe fn run_callback[F: Callback<WaitableTimer, Dispatch>](
        _dpc: *mut nt::KDPC,
        context: nt::PVOID,
        _argument1: nt::PVOID,
        _argument2: nt::PVOID,
    ) {
        // SAFETY: By the contract above.
        let timer = unsafe { &*context.cast::<Timer<F>>() };
        timer.callback.call(&timer.control, &mut Irql::new());
        track::thread_ends();
    }
}

#[pinned_drop]
impl<F> PinnedDrop for Timer<F> {
    fn drop(self: Pin<&mut Self>) {
        // Before any field is dropped: the callback may be running. The drop of `control` itself
        // finds nothing left to wait for.
        self.control.run_down();
    }
}

impl<F> Deref for Timer<F> {
    type Target = WaitableTimer;

    fn deref(&self) -> &WaitableTimer {
        &self.control
    }
}

// SAFETY: As for the timer that it is made of.
unsafe impl<F> DispatcherObject for Timer<F> {
    fn object(&self) -> nt::PVOID {
        self.control.object()
    }
}

impl<F> Waitable for Timer<F> {}

impl<F> fmt::Debug for Timer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
