//! Where a request is that was sent, and its time-out.
//!
//! The thread that gets it back, one that cancels it and the time-out's DPC may all be at it at once. The
//! last of them tells the client: nobody else touches the request then.

use super::Request;
use crate::kernel::{
    IoCancelIrp, KeCancelTimer, KeInitializeDpc, KeInitializeTimerEx, KeSetTimerEx, Outcome,
    try_box,
};
use crate::object::{ObjectRef, Typed};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use nt_abi::{_TIMER_TYPE, FALSE, KDPC, KTIMER, LARGE_INTEGER, PVOID, TRUE};

/// Where a request is that was sent.
pub struct Flight {
    phase: AtomicU32,
    /// Whether it was cancelled because it took too long.
    late: AtomicBool,
}

impl Flight {
    const SENT: u32 = 1;
    const CANCELLING: u32 = 2;
    const DONE: u32 = 4;
    /// A timer is set, or its DPC is not over.
    const TIMED: u32 = 8;

    pub const fn new() -> Self {
        Self {
            phase: AtomicU32::new(0),
            late: AtomicBool::new(false),
        }
    }

    /// Whether the request is with a target.
    pub fn is_away(&self) -> bool {
        let phase = self.phase.load(Ordering::Acquire);
        phase & Self::SENT != 0 && phase & Self::DONE == 0
    }

    pub fn begin(&self) {
        self.late.store(false, Ordering::Relaxed);
        self.phase.store(Self::SENT, Ordering::Release);
    }

    /// The target did not take it.
    pub fn refused(&self) {
        self.phase.store(0, Ordering::Release);
    }

    /// Notes that whoever cancels from here on does so because of the time.
    pub fn be_late(&self) {
        self.late.store(true, Ordering::Release);
    }

    pub fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }

    /// Whether the calling thread may cancel; it says [`cancelled`](Self::cancelled) afterwards.
    fn may_cancel(&self) -> bool {
        let busy = Self::CANCELLING | Self::DONE;
        let free = |phase| (phase & busy == 0 && phase != 0).then_some(phase | Self::CANCELLING);
        self.phase
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, free)
            .is_ok()
    }

    /// The cancelling thread has let go; returns whether it has to tell of the end.
    fn cancelled(&self) -> bool {
        let before = self.phase.fetch_and(!Self::CANCELLING, Ordering::AcqRel);
        before & (Self::DONE | Self::TIMED) == Self::DONE
    }

    /// The timer is over; returns whether its thread has to tell of the end.
    fn untimed(&self) -> bool {
        let before = self.phase.fetch_and(!Self::TIMED, Ordering::AcqRel);
        before & (Self::DONE | Self::CANCELLING) == Self::DONE
    }

    /// The request is back; returns whether this thread has to tell of it.
    pub fn done(&self) -> bool {
        let before = self.phase.fetch_or(Self::DONE, Ordering::AcqRel);
        before & (Self::CANCELLING | Self::TIMED) == 0
    }
}

/// The timer of a request that nobody waits for. It does not move, for the kernel links its objects.
pub struct SendTimer {
    timer: UnsafeCell<KTIMER>,
    expiry: UnsafeCell<KDPC>,
}

// SAFETY: The kernel objects are only passed to the kernel's functions.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for SendTimer {}
// SAFETY: As above.
unsafe impl Sync for SendTimer {}

impl SendTimer {
    /// A timer for a request. IRQL <= `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(request: &Typed<Request>) -> Outcome<Box<Self>> {
        let timer = try_box(Self {
            timer: UnsafeCell::new(KTIMER::default()),
            expiry: UnsafeCell::new(KDPC::default()),
        })?;
        let raw = request.object().clone().into_raw();
        // SAFETY: The reference was made just now. Setting the timer keeps one for the DPC; without one the
        // word is not followed.
        drop(unsafe { ObjectRef::from_raw(raw) });
        // SAFETY: The DPC is at its final address, and not queued.
        unsafe { KeInitializeDpc(timer.expiry.get(), Some(expired), raw) };
        // SAFETY: The timer is at its final address, and not set.
        unsafe { KeInitializeTimerEx(timer.timer.get(), _TIMER_TYPE::NotificationTimer) };
        Ok(timer)
    }

    /// Sets the timer, 100 ns, negative for relative, for a request that was sent.
    pub fn set(&self, request: &Typed<Request>, due: i64) {
        let flight = &request.flight;
        flight.phase.fetch_or(Flight::TIMED, Ordering::AcqRel);
        let _ = request.object().clone().into_raw();
        let due = LARGE_INTEGER { QuadPart: due };
        // SAFETY: Both were initialised when this was made.
        unsafe { KeSetTimerEx(self.timer.get(), due, 0, self.expiry.get()) };
    }

    /// Stops the timer for a request that is back, unless it has expired: then its DPC has the rest to do.
    pub fn stop(&self, request: &Typed<Request>) {
        let flight = &request.flight;
        if flight.phase.load(Ordering::Acquire) & Flight::TIMED == 0 {
            return;
        }
        // SAFETY: It was initialised when this was made.
        if unsafe { KeCancelTimer(self.timer.get()) } == TRUE {
            flight.phase.fetch_and(!Flight::TIMED, Ordering::AcqRel);
            let raw = request.object().clone().into_raw();
            // SAFETY: The reference of the line above.
            drop(unsafe { ObjectRef::from_raw(raw) });
            // SAFETY: The reference that was kept for the DPC, which does not run.
            drop(unsafe { ObjectRef::from_raw(raw) });
        }
    }
}

/// The deferred routine of the timers.
unsafe extern "win64" fn expired(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is the reference that was kept when the timer was set.
    let object = unsafe { ObjectRef::from_raw(context) };
    let Some(request) = object.typed::<Request>() else {
        return;
    };
    request.flight.be_late();
    let tells = if request.flight.may_cancel() {
        request.cancel_irp();
        // One of the two bits that go here keeps everybody else from telling until the other is gone.
        let before = request
            .flight
            .phase
            .fetch_and(!(Flight::CANCELLING | Flight::TIMED), Ordering::AcqRel);
        before & Flight::DONE != 0
    } else {
        request.flight.untimed()
    };
    if tells {
        request.tell();
    }
}

impl Typed<Request> {
    /// `IoCancelIrp` on a request that is away and that does not come back before the caller lets go.
    fn cancel_irp(&self) -> bool {
        // SAFETY: `may_cancel` keeps the IRP from being given back to the client meanwhile.
        self.irp()
            .is_some_and(|irp| unsafe { IoCancelIrp(irp.0) } != FALSE)
    }

    /// `WdfRequestCancelSentRequest`.
    pub fn cancel_sent(&self) -> bool {
        if !self.flight.may_cancel() {
            return false;
        }
        let delivered = self.cancel_irp();
        if self.flight.cancelled() {
            self.tell();
        }
        delivered
    }
}
