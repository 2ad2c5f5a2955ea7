//! Time as NT counts it: intervals of 100 ns, since 1601 or from now on.

use core::{num::NonZeroU32, time::Duration};

use crate::nt;

/// Units of 100 ns in a duration, as a non-negative LONGLONG; what does not fit is as good as never.
pub fn in_100ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// How long a wait may take.
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{Event, NonPaged, Signal, Timeout, WaitStatus};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
/// for timeout in [Timeout::ZERO, Timeout::After(Duration::from_millis(1)), Timeout::At(1)] {
///     assert_eq!(event.wait(irql, timeout), WaitStatus::TimedOut);
/// }
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until the object is signaled.
    Never,
    /// This long from now on, in steps of 100 ns. Zero is a try: it does not wait.
    After(Duration),
    /// Until the system time, in units of 100 ns since 1 January 1601 (UTC). A time that has passed
    /// is a try.
    At(u64),
}

impl Timeout {
    /// Does not wait: the one time-out that is allowed at `DISPATCH_LEVEL`.
    pub const ZERO: Self = Self::After(Duration::ZERO);

    /// Calls `f` with the `Timeout` argument of `KeWaitForXxx`.
    #[inline]
    pub(crate) fn with_raw<R>(self, f: impl FnOnce(*mut nt::LARGE_INTEGER) -> R) -> R {
        match self.quad_part() {
            None => f(core::ptr::null_mut()),
            Some(quad_part) => f(&mut nt::LARGE_INTEGER {
                QuadPart: quad_part,
            }),
        }
    }

    #[inline]
    fn quad_part(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::After(duration) => Some(-in_100ns(duration)),
            // Zero would be a relative time; every absolute one is positive.
            Self::At(time) => Some(i64::try_from(time).unwrap_or(i64::MAX).max(1)),
        }
    }
}

/// When a timer expires.
///
/// ```
/// use wdk_sync::{DueTime, NonPaged, Signal, Timeout, WaitableTimer};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let timer = NonPaged::pin_init(WaitableTimer::new(Signal::Notification))?;
/// // The first moment of 1601 has passed, so it expires at once.
/// let _was = timer.set(irql, DueTime::At(1), None);
/// assert!(timer.wait(irql, Timeout::Never).is_satisfied());
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueTime {
    /// This long from now on, in steps of 100 ns; changes of the system time do not matter.
    After(Duration),
    /// At the system time, in units of 100 ns since 1 January 1601 (UTC), wherever that is moved.
    At(u64),
}

impl DueTime {
    pub(crate) fn raw(self) -> nt::LARGE_INTEGER {
        let quad_part = match self {
            Self::After(duration) => -in_100ns(duration),
            Self::At(time) => i64::try_from(time).unwrap_or(i64::MAX).max(1),
        };
        nt::LARGE_INTEGER {
            QuadPart: quad_part,
        }
    }
}

/// A number of milliseconds that a LONG holds: the period of a timer.
///
/// ```
/// use wdk_sync::Period;
///
/// const TENTH: Period = Period::from_millis(100).expect("not 0");
/// assert!(TENTH < Period::from_millis(1000).expect("not 0"));
/// assert_eq!(Period::from_millis(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(NonZeroU32);

impl Period {
    /// A period of so many milliseconds: 1 to `i32::MAX`.
    #[must_use]
    pub const fn from_millis(millis: u32) -> Option<Self> {
        if millis > i32::MAX.cast_unsigned() {
            return None;
        }
        match NonZeroU32::new(millis) {
            Some(millis) => Some(Self(millis)),
            None => None,
        }
    }

    pub(crate) const fn raw(self) -> i32 {
        self.0.get().cast_signed()
    }
}

/// A reading of the performance counter, for measuring how long something took.
///
/// IRQL: any. Page: `KeQueryPerformanceCounter`.
///
/// ```
/// let start = wdk_sync::Instant::now();
/// assert!(start.elapsed() < core::time::Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The counter as it stands.
    #[must_use]
    pub fn now() -> Self {
        // SAFETY: The argument is optional.
        let count = unsafe { nt::KeQueryPerformanceCounter(core::ptr::null_mut()) };
        // SAFETY: A LARGE_INTEGER is 64 bits of integer, whichever member is read.
        Self(unsafe { count.QuadPart }.cast_unsigned())
    }

    /// The time since this reading.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// The time from `earlier` to this reading; zero if it was later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let mut frequency = nt::LARGE_INTEGER { QuadPart: 0 };
        // SAFETY: The argument points to a LARGE_INTEGER that may be written.
        unsafe { nt::KeQueryPerformanceCounter(&raw mut frequency) };
        // SAFETY: As above; and a frequency is fixed and positive.
        let per_second = u128::from(unsafe { frequency.QuadPart }.cast_unsigned().max(1));
        let ticks = u128::from(self.0.saturating_sub(earlier.0));
        let nanos = ticks * 1_000_000_000 / per_second;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
