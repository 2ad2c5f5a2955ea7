//! Waiting for several objects: for any one of them, or for all.

use core::{mem::MaybeUninit, ptr};

use crate::{
    Alertable, Irql, Status, Timeout, WaitStatus, Waitable,
    dispatcher::DispatcherObject,
    irql::{Apc, AtMost},
    nt,
};

/// How a wait for any one of several objects ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only `Satisfied` means that an object was signaled"]
pub enum WaitAny {
    /// The object of this index was signaled, and what the wait does to it is done. The others are
    /// as they were.
    Satisfied(usize),
    /// The time ran out.
    TimedOut,
    /// The wait was alertable, and the thread was alerted.
    Alerted,
    /// The wait ended for a user APC.
    UserApc,
}

/// Waits until one of `objects` is signaled or the time runs out.
///
/// Between 1 and 64 objects (`MAXIMUM_WAIT_OBJECTS`); another number does not compile. The wait
/// blocks that the kernel needs for more than three (`THREAD_WAIT_OBJECTS`) lie on the stack, 48
/// bytes each: it stays resident, since the wait is one in kernel mode.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Event, NonPaged, Semaphore, Signal, Timeout, WaitAny, wait_any};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let stop = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
/// let requests = NonPaged::pin_init(Semaphore::new(irql, 1, 10))?;
/// let woken = wait_any(irql, [&stop, &requests], Timeout::Never);
/// assert_eq!(woken, WaitAny::Satisfied(1));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
///
/// ```compile_fail,E0080
/// use wdk_sync::{Event, NonPaged, Signal, Timeout, Waitable, wait_any};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Notification, true)).unwrap();
/// let too_many = [&event as &dyn Waitable; 65];
/// let _ = wait_any(irql, too_many, Timeout::Never);
/// # });
/// ```
pub fn wait_any<const N: usize, L: AtMost<Apc>>(
    irql: &mut Irql<'_, L>,
    objects: [&dyn Waitable; N],
    timeout: Timeout,
) -> WaitAny {
    wait_any_alertable(irql, objects, timeout, Alertable::No)
}

/// Waits until one of `objects` is signaled, the time runs out or, if asked for, the thread is
/// alerted.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Alertable, Event, NonPaged, Signal, Timeout, WaitAny, wait_any_alertable};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Notification, true))?;
/// let status = wait_any_alertable(irql, [&event], Timeout::Never, Alertable::Yes);
/// assert_eq!(status, WaitAny::Satisfied(0));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub fn wait_any_alertable<const N: usize, L: AtMost<Apc>>(
    _irql: &mut Irql<'_, L>,
    objects: [&dyn Waitable; N],
    timeout: Timeout,
    alertable: Alertable,
) -> WaitAny {
    let objects = objects.map(DispatcherObject::object);
    // SAFETY: The objects are borrowed for the call, and the token says that the IRQL is at most
    // APC_LEVEL.
    match unsafe { wait_for_any(objects, [], timeout, alertable) } {
        (WaitStatus::Acquired | WaitStatus::Abandoned, index) => WaitAny::Satisfied(index),
        (WaitStatus::TimedOut, _) => WaitAny::TimedOut,
        (WaitStatus::Alerted, _) => WaitAny::Alerted,
        (WaitStatus::UserApc, _) => WaitAny::UserApc,
    }
}

/// Waits until all of `objects` are signaled at one moment, or the time runs out. What the wait does
/// to them is done to all at once, or to none.
///
/// Between 1 and 64 objects, as for [`wait_any`].
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Event, NonPaged, Signal, Thread, Timeout, WaitStatus, wait_all};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let flushed = NonPaged::pin_init(Event::new(Signal::Synchronization, true))?;
/// let worker = Thread::spawn(irql, |_irql| ())?;
/// let status = wait_all(irql, [&flushed, &worker], Timeout::Never);
/// assert_eq!(status, WaitStatus::Acquired);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub fn wait_all<const N: usize, L: AtMost<Apc>>(
    irql: &mut Irql<'_, L>,
    objects: [&dyn Waitable; N],
    timeout: Timeout,
) -> WaitStatus {
    wait_all_alertable(irql, objects, timeout, Alertable::No)
}

/// Waits until all of `objects` are signaled at one moment, the time runs out or, if asked for, the
/// thread is alerted.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Alertable, Event, NonPaged, Signal, Timeout, WaitStatus, wait_all_alertable};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Notification, true))?;
/// let status = wait_all_alertable(irql, [&event], Timeout::Never, Alertable::Yes);
/// assert_eq!(status, WaitStatus::Acquired);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub fn wait_all_alertable<const N: usize, L: AtMost<Apc>>(
    _irql: &mut Irql<'_, L>,
    objects: [&dyn Waitable; N],
    timeout: Timeout,
    alertable: Alertable,
) -> WaitStatus {
    let objects = objects.map(DispatcherObject::object);
    // SAFETY: The objects are borrowed for the call, and the token says that the IRQL is at most
    // APC_LEVEL.
    unsafe { wait_for_all(objects, [], timeout, alertable) }
}

/// How a wait for any one of the objects ended, and the index of the one that satisfied it.
///
/// # Safety
///
/// The objects are initialised dispatcher objects in resident memory, and stay so while the call
/// lasts. The IRQL is `<= APC_LEVEL`, or `<= DISPATCH_LEVEL` if the time-out is zero.
pub unsafe fn wait_for_any<const N: usize, const M: usize>(
    first: [nt::PVOID; N],
    second: [nt::PVOID; M],
    timeout: Timeout,
    alertable: Alertable,
) -> (WaitStatus, usize) {
    const SIGNALED: i32 = Status::SUCCESS.into_raw();
    const LAST_SIGNALED: i32 = SIGNALED + MAXIMUM - 1;
    const ABANDONED: i32 = Status::ABANDONED.into_raw();
    const LAST_ABANDONED: i32 = ABANDONED + MAXIMUM - 1;

    let kind = nt::_WAIT_TYPE::WaitAny;
    // SAFETY: This function has the same contract.
    let status = unsafe { wait_for(kind, Both(first, second), timeout, alertable) };
    let index = |base: i32| (status - base).cast_unsigned() as usize;
    match status {
        SIGNALED..=LAST_SIGNALED => (WaitStatus::Acquired, index(SIGNALED)),
        ABANDONED..=LAST_ABANDONED => (WaitStatus::Abandoned, index(ABANDONED)),
        other => (WaitStatus::from_status(Status::from_raw(other)), 0),
    }
}

/// How a wait for all of the objects ended.
///
/// # Safety
///
/// As for [`wait_for_any`].
pub unsafe fn wait_for_all<const N: usize, const M: usize>(
    first: [nt::PVOID; N],
    second: [nt::PVOID; M],
    timeout: Timeout,
    alertable: Alertable,
) -> WaitStatus {
    const ABANDONED: i32 = Status::ABANDONED.into_raw();
    const LAST_ABANDONED: i32 = ABANDONED + MAXIMUM - 1;

    let kind = nt::_WAIT_TYPE::WaitAll;
    // SAFETY: This function has the same contract.
    match unsafe { wait_for(kind, Both(first, second), timeout, alertable) } {
        // Which of the mutexes was abandoned, the kernel may add.
        ABANDONED..=LAST_ABANDONED => WaitStatus::Abandoned,
        status => WaitStatus::from_status(Status::from_raw(status)),
    }
}

/// `MAXIMUM_WAIT_OBJECTS`.
const MAXIMUM: i32 = 64;

/// `THREAD_WAIT_OBJECTS`: for so many objects a thread has wait blocks of its own.
const WITHOUT_BLOCKS: usize = 3;

/// Two arrays in one piece.
#[repr(C)]
struct Both<T, const N: usize, const M: usize>([T; N], [T; M]);

/// `KeWaitForMultipleObjects` in kernel mode.
///
/// # Safety
///
/// As for [`wait_for_any`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "the number of objects is at most 64"
)]
unsafe fn wait_for<const N: usize, const M: usize>(
    kind: nt::WAIT_TYPE,
    mut objects: Both<nt::PVOID, N, M>,
    timeout: Timeout,
    alertable: Alertable,
) -> i32 {
    const {
        assert!(
            N + M >= 1 && N + M <= MAXIMUM as usize,
            "a wait is for 1 to 64 objects (MAXIMUM_WAIT_OBJECTS)"
        );
    }
    let mut blocks = MaybeUninit::<Both<nt::KWAIT_BLOCK, N, M>>::uninit();
    let blocks = if N + M <= WITHOUT_BLOCKS {
        ptr::null_mut()
    } else {
        blocks.as_mut_ptr().cast()
    };
    timeout.with_raw(|timeout| {
        // SAFETY: The caller vouches for objects and IRQL. The arrays of pointers and of blocks have
        // N + M elements each, as `repr(C)` lays them out, and live through the call on a stack that
        // a wait in kernel mode keeps resident. `timeout` is null or points to a value that lives
        // through the call.
        unsafe {
            nt::KeWaitForMultipleObjects(
                (N + M) as u32,
                (&raw mut objects).cast(),
                kind,
                nt::_KWAIT_REASON::Executive,
                nt::KERNEL_MODE,
                alertable.raw(),
                timeout,
                blocks,
            )
        }
    })
}
