//! `EX_TIMER`: a timer that the kernel allocates, which may be more precise than a `KTIMER`, or let a
//! processor sleep on.

use core::{
    fmt,
    marker::{PhantomData, PhantomPinned},
    ops::Deref,
    ptr,
    time::Duration,
};

use pinned_init::{PinInit, pin_data, pin_init_from_closure, try_pin_init};

use crate::{
    Alertable, Bound, Dispatch, DueTime, Irql, Level, NonPaged, Signal, Status, Timeout, TimerWas,
    WaitStatus, Waitable,
    callback::Callback,
    dispatcher::DispatcherObject,
    held::{self, Held},
    irql::{Apc, AtMost},
    nt,
    time::in_100ns,
    track,
    wait::wait_for,
};

mod sealed {
    /// What a kind of `EX_TIMER` is to the kernel.
    pub trait Kind {
        /// The attribute that says so.
        const ATTRIBUTE: u32;
    }
}

/// What an `EX_TIMER` is good for: [`DefaultResolution`], [`HighResolution`] or [`NoWake`].
pub trait ExTimerKind: sealed::Kind + Copy + 'static {
    /// When such a timer may be asked to expire.
    type Due: Into<ExDueTime>;
}

/// An `EX_TIMER` that is as precise as the system's clock happens to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultResolution;

/// `EX_TIMER_HIGH_RESOLUTION`: the clock ticks faster where the timer needs it, which takes power.
///
/// The timer never expires early. It is set to expire after a time, not at one: for that the kernel stops
/// the system, and here it does not compile.
///
/// ```compile_fail,E0308
/// # use wdk_sync::{DueTime, HighResolution, Irql, Passive, WaitableExTimer};
/// # fn f(timer: &WaitableExTimer<HighResolution>, irql: &mut Irql<'_, Passive>) {
/// timer.set(irql, DueTime::At(1), None);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HighResolution;

/// `EX_TIMER_NO_WAKE`: a processor in a low-power state is not woken for the timer.
///
/// It expires when the processor is woken for something else, or after what
/// [`set_tolerating`](WaitableExTimer::set_tolerating) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoWake;

impl sealed::Kind for DefaultResolution {
    const ATTRIBUTE: u32 = 0;
}

impl sealed::Kind for HighResolution {
    const ATTRIBUTE: u32 = 4;
}

impl sealed::Kind for NoWake {
    const ATTRIBUTE: u32 = 8;
}

impl ExTimerKind for DefaultResolution {
    type Due = DueTime;
}

impl ExTimerKind for HighResolution {
    type Due = Duration;
}

impl ExTimerKind for NoWake {
    type Due = DueTime;
}

/// `EX_TIMER_NOTIFICATION`.
const NOTIFICATION: u32 = 0x8000_0000;

/// The `DueTime` argument of `ExSetTimer`.
#[derive(Clone, Copy, Debug)]
pub struct ExDueTime(i64);

impl From<Duration> for ExDueTime {
    fn from(after: Duration) -> Self {
        // Zero would be an absolute time.
        Self((-in_100ns(after)).min(-1))
    }
}

impl From<DueTime> for ExDueTime {
    fn from(due: DueTime) -> Self {
        match due {
            DueTime::After(after) => after.into(),
            DueTime::At(time) => Self(i64::try_from(time).unwrap_or(i64::MAX)),
        }
    }
}

/// The period of an `EX_TIMER`, in steps of 100 ns: up to about 214 s.
///
/// The clock expires a timer at most once in each of its ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExPeriod(i64);

impl ExPeriod {
    /// This period; `None` for less than 100 ns, which would be none, and for more than `MAXLONG` times
    /// that.
    ///
    /// ```
    /// use core::time::Duration;
    /// use wdk_sync::ExPeriod;
    ///
    /// assert!(ExPeriod::new(Duration::from_micros(500)).is_some());
    /// assert_eq!(ExPeriod::new(Duration::from_nanos(99)), None);
    /// assert_eq!(ExPeriod::new(Duration::from_secs(215)), None);
    /// ```
    #[must_use]
    pub fn new(period: Duration) -> Option<Self> {
        match in_100ns(period) {
            units @ 1..=0x7FFF_FFFF => Some(Self(units)),
            _ => None,
        }
    }
}

/// How late a [`NoWake`] timer may expire rather than wake a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeTolerance {
    /// By so much, in steps of 100 ns; zero wakes at once.
    UpTo(Duration),
    /// `EX_TIMER_UNLIMITED_TOLERANCE`: it never wakes one.
    Unlimited,
}

impl WakeTolerance {
    fn raw(self) -> i64 {
        match self {
            Self::UpTo(late) => in_100ns(late),
            Self::Unlimited => -1,
        }
    }
}

/// An `EX_TIMER` that can be set, cancelled and waited for. It has no callback; with one it is an
/// [`ExTimer`].
///
/// A notification timer stays signaled until it is set again, a synchronization timer until it has
/// satisfied one wait. There is no way to look at the signal without a wait: a wait with
/// [`Timeout::ZERO`] is the nearest.
///
/// IRQL: creating, setting, cancelling and dropping `<= DISPATCH_LEVEL`; waiting `<= APC_LEVEL`. It is
/// there since Windows 8.1; a driver that has to do without memory for one more object takes a
/// [`WaitableTimer`](crate::WaitableTimer).
///
/// Pages: `ExAllocateTimer`, `ExSetTimer`, `ExCancelTimer`, `ExDeleteTimer`,
/// "`ExXxxTimer` Routines and `EX_TIMER` Objects".
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{HighResolution, Signal, Timeout, TimerWas, WaitStatus, WaitableExTimer};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let timer = WaitableExTimer::new(irql, HighResolution, Signal::Synchronization)?;
/// assert_eq!(timer.set(irql, Duration::from_micros(700), None), TimerWas::Idle);
/// assert_eq!(timer.wait(irql, Timeout::Never), WaitStatus::Acquired);
/// assert_eq!(timer.cancel(irql), TimerWas::Idle);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub struct WaitableExTimer<K: ExTimerKind = DefaultResolution> {
    timer: nt::PEX_TIMER,
    /// Whether the kernel calls somebody whose end its deletion has to wait for.
    has_callback: bool,
    kind: PhantomData<K>,
}

// SAFETY: The timer belongs to no thread.
unsafe impl<K: ExTimerKind> Send for WaitableExTimer<K> {}
// SAFETY: It is reached through functions of the kernel alone, which serialise themselves; the one that
// deletes it is called by its drop.
unsafe impl<K: ExTimerKind> Sync for WaitableExTimer<K> {}

#[expect(
    clippy::must_use_candidate,
    reason = "whether it was queued is of interest, and neither is a failure"
)]
impl<K: ExTimerKind> WaitableExTimer<K> {
    /// A timer that is not set.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAllocateTimer`.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if there is no memory.
    pub fn new<L: AtMost<Dispatch>>(
        _irql: &Irql<'_, L>,
        _kind: K,
        signal: Signal,
    ) -> Result<Self, Status> {
        // SAFETY: There is no callback.
        let timer = unsafe { nt::ExAllocateTimer(None, ptr::null_mut(), attributes::<K>(signal)) };
        Self::of(timer, false)
    }

    /// Takes over what `ExAllocateTimer` gave.
    const fn of(timer: nt::PEX_TIMER, has_callback: bool) -> Result<Self, Status> {
        if timer.is_null() {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        Ok(Self {
            timer,
            has_callback,
            kind: PhantomData,
        })
    }

    /// Sets the timer to expire at `due` and, with a period, in steps of the period after that. One that
    /// is queued is cancelled first, which is told; the timer is not signaled afterwards.
    ///
    /// While the owner of an [`ExTimer`] lets it run down, this does nothing.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExSetTimer`.
    pub fn set<L: AtMost<Dispatch>>(
        &self,
        _irql: &Irql<'_, L>,
        due: K::Due,
        period: Option<ExPeriod>,
    ) -> TimerWas {
        self.set_with(due, period, ptr::null_mut())
    }

    fn set_with(
        &self,
        due: K::Due,
        period: Option<ExPeriod>,
        parameters: *mut nt::EXT_SET_PARAMETERS,
    ) -> TimerWas {
        let ExDueTime(due) = due.into();
        let period = period.map_or(0, |ExPeriod(units)| units);
        // SAFETY: The timer is there until it is dropped, and its callback may be called until then. The
        // due time is one that its kind allows, the period fits a LONG, and the parameters are null or
        // initialised. The callers' tokens say that the IRQL is at most DISPATCH_LEVEL.
        TimerWas::from_raw(unsafe { nt::ExSetTimer(self.timer, due, period, parameters) })
    }

    /// Takes the timer out of the queue, and tells whether it was in it. A callback that is on its way is
    /// not affected: dropping an [`ExTimer`] is what waits for it.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExCancelTimer`.
    pub fn cancel<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> TimerWas {
        // SAFETY: The timer is there until it is dropped; the parameters are to be null.
        TimerWas::from_raw(unsafe { nt::ExCancelTimer(self.timer, ptr::null_mut()) })
    }

    /// Waits until the timer is signaled or the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>, timeout: Timeout) -> WaitStatus {
        // SAFETY: The timer is there until it is dropped, in the kernel's own memory, and the token says
        // that the IRQL is at most APC_LEVEL.
        unsafe { wait_for(self.timer.cast(), timeout, Alertable::No) }
    }
}

#[expect(
    clippy::must_use_candidate,
    reason = "whether it was queued is of interest, and neither is a failure"
)]
impl WaitableExTimer<NoWake> {
    /// As [`set`](Self::set), with leave to expire so much later where a processor would have to be woken
    /// for it.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Pages: `ExSetTimer`, `EXT_SET_PARAMETERS`.
    ///
    /// ```
    /// use core::time::Duration;
    /// use wdk_sync::{DueTime, NoWake, Signal, TimerWas, WaitableExTimer, WakeTolerance};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let flush = WaitableExTimer::new(irql, NoWake, Signal::Synchronization)?;
    /// let due = DueTime::After(Duration::from_secs(5));
    /// flush.set_tolerating(irql, due, None, WakeTolerance::Unlimited);
    /// assert_eq!(flush.cancel(irql), TimerWas::Queued);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    pub fn set_tolerating<L: AtMost<Dispatch>>(
        &self,
        _irql: &Irql<'_, L>,
        due: DueTime,
        period: Option<ExPeriod>,
        tolerance: WakeTolerance,
    ) -> TimerWas {
        // As by ExInitializeSetTimerParameters, which is inline in the headers.
        let mut parameters = nt::EXT_SET_PARAMETERS {
            Version: 0,
            Reserved: 0,
            NoWakeTolerance: tolerance.raw(),
        };
        self.set_with(due, period, &raw mut parameters)
    }
}

/// The `Attributes` argument of `ExAllocateTimer`.
const fn attributes<K: ExTimerKind>(signal: Signal) -> u32 {
    match signal {
        Signal::Notification => K::ATTRIBUTE | NOTIFICATION,
        Signal::Synchronization => K::ATTRIBUTE,
    }
}

impl<K: ExTimerKind> Drop for WaitableExTimer<K> {
    fn drop(&mut self) {
        if self.has_callback {
            held::require_irql(Apc::IRQL, Held::ExTimer, self.timer.cast());
        }
        let wait = nt::BOOLEAN::from(self.has_callback);
        // SAFETY: The timer is deleted once, and nobody borrows it. It is cancelled, as it must be where
        // this waits; that is at an IRQL of at most APC_LEVEL, and otherwise nothing above DISPATCH_LEVEL
        // has values of this crate.
        unsafe { nt::ExDeleteTimer(self.timer, nt::TRUE, wait, ptr::null_mut()) };
    }
}

// SAFETY: The timer is initialised, in the kernel's nonpaged memory until it is dropped, and has no owner.
unsafe impl<K: ExTimerKind> DispatcherObject for WaitableExTimer<K> {
    fn object(&self) -> nt::PVOID {
        self.timer.cast()
    }
}

impl<K: ExTimerKind> Waitable for WaitableExTimer<K> {}

impl<K: ExTimerKind> fmt::Debug for WaitableExTimer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitableExTimer").finish_non_exhaustive()
    }
}

/// What runs when an [`ExTimer`] expires.
///
/// It runs at `DISPATCH_LEVEL`, in the context of whatever thread is current, and for a periodic timer
/// possibly on two processors at once: hence `Fn` and `Sync`. It gets its timer, to set it again or cancel
/// it.
pub trait ExTimerCallback<K: ExTimerKind>:
    Fn(&WaitableExTimer<K>, &mut Irql<'_, Dispatch>) + Send + Sync + 'static
{
}

impl<K, F> ExTimerCallback<K> for F
where
    K: ExTimerKind,
    F: Fn(&WaitableExTimer<K>, &mut Irql<'_, Dispatch>) + Send + Sync + 'static,
{
}

/// A [`WaitableExTimer`] with a callback.
///
/// The timer owns its callback and outlives every run of it: dropping the timer cancels it and waits until
/// its callback has run (`ExDeleteTimer` with `Wait`). That needs `<= APC_LEVEL`, so drop it there, or let
/// [`run_down`](Self::run_down) say so by type; dropped above it, by its own callback above all, the timer
/// stops the system with bug check 0xC4 (0x100B). Unlike the end of a [`Timer`](crate::Timer) it waits for
/// this timer and for no other DPC of the system.
///
/// Pages: those of [`WaitableExTimer`]; `EXT_CALLBACK`, "Deleting a System-Allocated Timer Object".
///
/// ```
/// use core::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use wdk_sync::{ExPeriod, ExTimer, HighResolution, NonPaged, Signal, sleep};
///
/// static TICKS: AtomicU32 = AtomicU32::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let timer = NonPaged::pin_init(ExTimer::new(HighResolution, Signal::Notification, |_timer, _irql| {
///     TICKS.fetch_add(1, Ordering::Relaxed);
/// }))?;
/// let period = ExPeriod::new(Duration::from_micros(600));
/// timer.set(irql, Duration::from_micros(600), period);
/// while TICKS.load(Ordering::Relaxed) < 3 {
///     sleep(irql, Duration::from_millis(1));
/// }
/// ExTimer::run_down(timer, irql);
/// let ticks = TICKS.load(Ordering::Relaxed);
/// sleep(irql, Duration::from_millis(5));
/// assert_eq!(TICKS.load(Ordering::Relaxed), ticks, "nothing runs after the rundown");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data]
pub struct ExTimer<F, K: ExTimerKind = DefaultResolution> {
    /// The first field, and so the first to be dropped: that waits for the callback.
    #[pin]
    control: WaitableExTimer<K>,
    callback: F,
    /// The kernel has the address of this.
    #[pin]
    pinned: PhantomPinned,
}

impl<F: ExTimerCallback<K>, K: ExTimerKind> ExTimer<F, K> {
    /// An initialiser of a timer that is not set; see [`NonPaged`].
    ///
    /// Fails with [`Status::INSUFFICIENT_RESOURCES`] if there is no memory.
    pub fn new(kind: K, signal: Signal, callback: F) -> impl PinInit<Self, Status> {
        Self::init(kind, signal, callback)
    }
}

/// An [`ExTimer`] that runs a function on a context: its type has a name, so that a structure can hold it.
///
/// ```
/// use core::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
/// use wdk_sync::{
///     BoundExTimer, Dispatch, HighResolution, Irql, NonPaged, NonPagedArc, Signal, Timeout,
///     WaitableExTimer,
/// };
///
/// struct Clock {
///     ticks: NonPagedArc<AtomicU32>,
///     timer: NonPaged<BoundExTimer<NonPagedArc<AtomicU32>, HighResolution>>,
/// }
///
/// fn tick(
///     ticks: &NonPagedArc<AtomicU32>,
///     _timer: &WaitableExTimer<HighResolution>,
///     _irql: &mut Irql<'_, Dispatch>,
/// ) {
///     ticks.fetch_add(1, Ordering::Relaxed);
/// }
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let ticks = NonPagedArc::new(AtomicU32::new(0))?;
/// let init = BoundExTimer::bound(HighResolution, Signal::Notification, ticks.clone(), tick);
/// let clock = Clock { ticks, timer: NonPaged::pin_init(init)? };
/// clock.timer.set(irql, Duration::from_micros(600), None);
/// clock.timer.wait(irql, Timeout::Never);
/// BoundExTimer::run_down(clock.timer, irql);
/// assert_eq!(clock.ticks.load(Ordering::Relaxed), 1);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub type BoundExTimer<C, K = DefaultResolution> =
    ExTimer<Bound<C, WaitableExTimer<K>, Dispatch>, K>;

impl<C: Send + Sync + 'static, K: ExTimerKind> BoundExTimer<C, K> {
    /// An initialiser of a timer that is not set and runs `function` on `context`; see [`NonPaged`].
    ///
    /// Fails with [`Status::INSUFFICIENT_RESOURCES`] if there is no memory.
    pub fn bound(
        kind: K,
        signal: Signal,
        context: C,
        function: fn(&C, &WaitableExTimer<K>, &mut Irql<'_, Dispatch>),
    ) -> impl PinInit<Self, Status> {
        Self::init(kind, signal, Bound::new(context, function))
    }
}

impl<F: Callback<WaitableExTimer<K>, Dispatch>, K: ExTimerKind> ExTimer<F, K> {
    fn init(_kind: K, signal: Signal, callback: F) -> impl PinInit<Self, Status> {
        try_pin_init!(&this in Self {
            control <- {
                let context = this.as_ptr().cast();
                let init = move |slot: *mut WaitableExTimer<K>| {
                    // SAFETY: The routine runs only after the timer was set, and so after the structure
                    // at `context` was initialised, and the drop of the timer waits for it before that
                    // goes.
                    let timer = unsafe {
                        nt::ExAllocateTimer(Some(run_callback::<F, K>), context, attributes::<K>(signal))
                    };
                    let control = WaitableExTimer::of(timer, true)?;
                    // SAFETY: The place is valid for the value.
                    unsafe { slot.write(control) };
                    Ok::<(), Status>(())
                };
                // SAFETY: If it succeeds, the whole value is written.
                unsafe { pin_init_from_closure(init) }
            },
            callback,
            pinned: PhantomPinned,
        }? Status)
    }
}

impl<F, K: ExTimerKind> ExTimer<F, K> {
    /// Cancels the timer, waits until its callback no longer runs, and frees it: a drop with proof of the
    /// level that it needs.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExDeleteTimer`.
    pub fn run_down<L: AtMost<Apc>>(timer: NonPaged<Self>, _irql: &mut Irql<'_, L>) {
        drop(timer);
    }
}

nt::callback! {
    /// The callback of an `ExTimer<F, K>`: its context is that.
    ///
    /// # Safety
    ///
    /// `context` points to an initialised `ExTimer<F, K>` that lives through the call, at
    /// `DISPATCH_LEVEL`.
    unsafe fn run_callback[F: Callback<WaitableExTimer<K>, Dispatch>, K: ExTimerKind](
        _timer: nt::PEX_TIMER,
        context: nt::PVOID,
    ) {
        // SAFETY: By the contract above. The drop of the timer may have begun, which writes nothing to it
        // before the kernel has waited for this to end.
        let timer = unsafe { &*context.cast::<ExTimer<F, K>>() };
        timer.callback.call(&timer.control, &mut Irql::new());
        track::thread_ends();
    }
}

impl<F, K: ExTimerKind> Deref for ExTimer<F, K> {
    type Target = WaitableExTimer<K>;

    fn deref(&self) -> &WaitableExTimer<K> {
        &self.control
    }
}

// SAFETY: As for the timer that it is made of.
unsafe impl<F, K: ExTimerKind> DispatcherObject for ExTimer<F, K> {
    fn object(&self) -> nt::PVOID {
        self.control.object()
    }
}

impl<F, K: ExTimerKind> Waitable for ExTimer<F, K> {}

impl<F, K: ExTimerKind> fmt::Debug for ExTimer<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExTimer").finish_non_exhaustive()
    }
}
