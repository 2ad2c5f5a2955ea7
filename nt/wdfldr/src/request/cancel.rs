//! Cancellation: of requests that wait in a queue, and of those that the client made cancelable.
//!
//! Both use the IRP's cancel routine. While it is set, the first word of the IRP's `DriverContext`
//! holds a reference to the request, which belongs to whoever clears the routine: the one that takes
//! the request away, or `IoCancelIrp`.

use super::Request;
use crate::abi::PFN_WDF_REQUEST_CANCEL;
use crate::kernel::{CancelRoutine, IoReleaseCancelSpinLock, Irp, Ptr};
use crate::object::{ObjectRef, Typed};
use core::sync::atomic::Ordering;
use nt_abi::{IRP, PDEVICE_OBJECT, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST};

impl Typed<Request> {
    /// Sets the cancel routine. Fails when the IRP is cancelled already, with the routine not called
    /// and the request still the caller's.
    fn set_cancel(&self, irp: Irp, routine: CancelRoutine) -> bool {
        let reference = self.object().clone().into_raw();
        // SAFETY: The request owns its IRP, whose context is free while no cancel routine is set.
        let context = unsafe { irp.driver_context() };
        // SAFETY: As above.
        unsafe { context.write(reference) };
        // SAFETY: The IRP is alive, and its context is ready for the routine.
        unsafe { irp.set_cancel_routine(Some(routine)) };
        // SAFETY: The IRP is alive unless it was cancelled and completed just now, which cannot be:
        // a cancelled IRP is completed through a reference that this caller's lock or ownership
        // keeps from being used up before it returns.
        if unsafe { irp.is_cancelled() } {
            return !Self::clear_cancel(irp);
        }
        true
    }

    /// Takes the cancel routine back. Fails when it was called.
    fn clear_cancel(irp: Irp) -> bool {
        // SAFETY: Nobody completes the IRP while this request's cancel routine is undecided but the
        // one who clears it.
        let cleared = unsafe { irp.set_cancel_routine(None) };
        if cleared {
            // SAFETY: The routine was set and is cleared by this caller, so the reference that was
            // kept for it is this caller's.
            drop(unsafe { take_reference(irp) });
        }
        cleared
    }

    /// Makes a request that stays in its queue cancelable, under the queue's lock. Fails when it is
    /// cancelled already.
    pub fn arm(&self, routine: CancelRoutine) -> bool {
        let Some(irp) = self.irp() else { return false };
        self.armed.store(true, Ordering::Release);
        let armed = self.set_cancel(irp, routine);
        if !armed {
            self.armed.store(false, Ordering::Release);
        }
        armed
    }

    /// Takes a waiting request away from cancellation, under the queue's lock. Fails when its cancel
    /// routine was called, which then has the request.
    pub fn disarm(&self) -> bool {
        if !self.armed.swap(false, Ordering::AcqRel) {
            return true;
        }
        self.irp().is_some_and(Self::clear_cancel)
    }

    /// `WdfRequestMarkCancelableEx`.
    ///
    /// # Errors
    /// `STATUS_CANCELLED` when the request is cancelled already, `STATUS_INVALID_DEVICE_REQUEST` when
    /// it is completed or cancelable already.
    pub fn mark_cancelable(&self, event: PFN_WDF_REQUEST_CANCEL) -> Result<(), i32> {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        // The cancel routine takes the event under the same lock before it calls it, so that the IRP
        // is not completed before it was looked at here.
        self.state.with(|state| {
            if state.cancel.is_some() {
                return Err(STATUS_INVALID_DEVICE_REQUEST);
            }
            if !self.set_cancel(irp, canceled_by_system) {
                self.canceled.store(true, Ordering::Release);
                return Err(STATUS_CANCELLED);
            }
            state.cancel = event;
            self.cancelable.store(true, Ordering::Release);
            Ok(())
        })?;
        // A purge that has passed this request by is made good for; one that comes later finds it.
        if self.queue().is_some_and(|queue| queue.is_cancelling()) && self.take_back(irp) {
            return Err(STATUS_CANCELLED);
        }
        Ok(())
    }

    /// Undoes the marking, as if the request had been cancelled before; fails when somebody cancels it.
    fn take_back(&self, irp: Irp) -> bool {
        self.state.with(|state| {
            let won = state.cancel.is_some() && Self::clear_cancel(irp);
            if won {
                state.cancel = None;
                self.cancelable.store(false, Ordering::Release);
                self.canceled.store(true, Ordering::Release);
            }
            won
        })
    }

    /// `WdfRequestUnmarkCancelable`.
    ///
    /// # Errors
    /// `STATUS_CANCELLED` when the cancel event is or will be called, `STATUS_INVALID_DEVICE_REQUEST`
    /// when the request was not marked.
    pub fn unmark_cancelable(&self) -> Result<(), i32> {
        self.state.with(|state| {
            if self.canceled.load(Ordering::Acquire) {
                return Err(STATUS_CANCELLED);
            }
            if state.cancel.is_none() {
                return Err(STATUS_INVALID_DEVICE_REQUEST);
            }
            let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
            if !Self::clear_cancel(irp) {
                return Err(STATUS_CANCELLED);
            }
            state.cancel = None;
            self.cancelable.store(false, Ordering::Release);
            Ok(())
        })
    }

    /// Whether the client marked it cancelable.
    pub fn is_cancelable(&self) -> bool {
        self.cancelable.load(Ordering::Acquire)
    }

    /// Calls the client's cancel event as if the system had cancelled the request, if the client
    /// marked it and nobody else was faster.
    pub fn cancel_from_queue(&self) {
        let won = self
            .state
            .with(|state| state.cancel.is_some() && self.irp().is_some_and(Self::clear_cancel));
        if won {
            self.call_cancel();
        }
    }

    /// `WdfRequestMarkCancelable`: when the request is cancelled already, the event is called, unless
    /// it must not run inside of the callback that this is called from, and runs right after it.
    pub fn mark_cancelable_or_cancel(&self, event: PFN_WDF_REQUEST_CANCEL) {
        if self.mark_cancelable(event) == Err(STATUS_CANCELLED) {
            self.state.with(|state| state.cancel = event);
            self.call_cancel();
        }
    }

    fn call_cancel(&self) {
        self.state.with(|_| {
            self.canceled.store(true, Ordering::Release);
            self.cancelable.store(false, Ordering::Release);
        });
        match self.queue() {
            Some(queue) => queue.canceled(&queue, self),
            None => self.call_cancel_event(),
        }
    }

    /// Calls the client's cancel event, once.
    pub fn call_cancel_event(&self) {
        if let Some(event) = self.state.with(|state| state.cancel.take()) {
            // SAFETY: The client registered the event for this request, which it still owns.
            unsafe { event(self.handle()) };
        }
    }
}

impl Request {
    /// The request of an IRP whose cancel routine was just called; lets go of the cancel lock.
    ///
    /// # Safety
    /// Called by a cancel routine of this module's making, first thing.
    pub unsafe fn from_cancelled(irp: Irp) -> Typed<Self> {
        // SAFETY: The cancel lock is held, and the reference was kept for the routine.
        let object = unsafe { take_reference(irp) };
        // SAFETY: As above; the IRP cannot be completed before this request is.
        let irql = unsafe { (*irp.0).CancelIrql };
        // SAFETY: `IoCancelIrp` acquired the lock at this IRQL, for the cancel routine to release.
        unsafe { IoReleaseCancelSpinLock(irql) };
        let handle = object.handle();
        object
            .typed()
            .unwrap_or_else(|| crate::violation::invalid_handle(handle, c"WDFREQUEST of an IRP"))
    }
}

/// # Safety
/// The caller cleared the cancel routine, or is it.
unsafe fn take_reference(irp: Irp) -> ObjectRef {
    // SAFETY: By contract the IRP is alive.
    let context = unsafe { irp.driver_context() };
    // SAFETY: The word was written before the routine was set.
    let raw = unsafe { context.read() };
    // SAFETY: It holds a reference that by contract is the caller's.
    unsafe { ObjectRef::from_raw(raw) }
}

/// The cancel routine of requests that the client marked.
unsafe extern "win64" fn canceled_by_system(_: PDEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: `IoCancelIrp` calls this for an IRP that `set_cancel` prepared.
    let request = unsafe { Request::from_cancelled(Ptr(irp)) };
    request.call_cancel();
}
