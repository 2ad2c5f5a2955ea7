//! Calling the client: request handlers and cancellation events, under the callback lock where the
//! client asked for one.

use super::{Cancellation, Queue};
use crate::callback_lock::{self, CallbackLock, Scope};
use crate::kernel::{
    KeEnterCriticalRegion, KeLeaveCriticalRegion, current_irql, this_thread, ulong,
};
use crate::object::Typed;
use crate::request::{self, Request};
use nt_abi::{
    APC_LEVEL, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE,
    KIRQL, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};

impl Queue {
    /// The lock that is held around callbacks; none where nothing is synchronized.
    pub(super) fn synchronization(&self) -> Option<&CallbackLock> {
        (self.constraints.scope != Scope::None).then(|| self.callback_lock())
    }

    /// Calls `f`, which calls the client, one at a time with the other callbacks of the scope.
    pub(super) fn synchronized<R>(&self, f: impl FnOnce() -> R) -> R {
        callback_lock::synchronized(self.synchronization(), f)
    }

    /// Calls the client's callback for a request, inside a critical region as the framework does
    /// where the IRQL allows: normal kernel APCs are off in request handlers.
    pub(super) fn present(&self, this: &Typed<Self>, request: &Typed<Request>, irql: KIRQL) {
        let region = u32::from(irql) <= APC_LEVEL;
        if region {
            // SAFETY: At or below `APC_LEVEL`; left below, on the same thread.
            unsafe { KeEnterCriticalRegion() };
        }
        self.call(this, request);
        if region {
            // SAFETY: Entered above.
            unsafe { KeLeaveCriticalRegion() };
        }
    }

    fn call(&self, this: &Typed<Self>, request: &Typed<Request>) {
        let (queue, handle, events) = (this.handle(), request.handle(), &self.events);
        let [first, second, third, _] = request.parameters();
        let zero_length = first == 0 && events.AllowZeroLengthRequests == 0;
        let transfer = match u32::from(request.major()) {
            IRP_MJ_READ => Some(events.EvtIoRead),
            IRP_MJ_WRITE => Some(events.EvtIoWrite),
            _ => None,
        };
        let control = match u32::from(request.major()) {
            IRP_MJ_DEVICE_CONTROL => events.EvtIoDeviceControl,
            IRP_MJ_INTERNAL_DEVICE_CONTROL => events.EvtIoInternalDeviceControl,
            _ => None,
        };
        if transfer.is_some() && zero_length {
            request::complete(request, STATUS_SUCCESS, Some(0), 0);
        } else if let Some(event) = transfer.flatten() {
            // SAFETY: The client registered the event for this queue and owns the request now.
            self.synchronized(|| unsafe { event(queue, handle, first) });
        } else if let Some(event) = control {
            let code = ulong(third);
            // SAFETY: As above.
            self.synchronized(|| unsafe { event(queue, handle, first, second, code) });
        } else if let Some(event) = events.EvtIoDefault {
            // SAFETY: As above.
            self.synchronized(|| unsafe { event(queue, handle) });
        } else {
            request::complete(request, STATUS_INVALID_DEVICE_REQUEST, Some(0), 0);
        }
    }

    /// A request was cancelled while it waited: the client, which has it now, hears of it, or it is
    /// completed.
    pub(super) fn canceled_on_queue(&self, this: &Typed<Self>, request: &Typed<Request>) {
        if self.events.EvtIoCanceledOnQueue.is_some() {
            self.tell(this, request, Cancellation::OnQueue);
        } else {
            request::complete(request, STATUS_CANCELLED, Some(0), 0);
        }
    }

    /// A request that the client made cancelable is cancelled.
    pub fn canceled(&self, this: &Typed<Self>, request: &Typed<Request>) {
        self.tell(this, request, Cancellation::Marked);
    }

    /// Tells the client that a request of its is cancelled: here, or where that is allowed.
    fn tell(&self, this: &Typed<Self>, request: &Typed<Request>, kind: Cancellation) {
        if self.may_call_at(current_irql()) {
            return self.call_cancel(this, request, kind);
        }
        self.state
            .with(|state| state.tell_later(|each| each.object().is(request.object()), kind));
        self.dispatch_later(this, this_thread());
    }

    pub(super) fn call_cancel(
        &self,
        this: &Typed<Self>,
        request: &Typed<Request>,
        kind: Cancellation,
    ) {
        self.synchronized(|| match (kind, self.events.EvtIoCanceledOnQueue) {
            (Cancellation::Marked, _) => request.call_cancel_event(),
            // SAFETY: The client registered the event for this queue and gets a request of it, which
            // it owns now.
            (Cancellation::OnQueue, Some(event)) => unsafe {
                event(this.handle(), request.handle());
            },
            (Cancellation::OnQueue, None) => {}
        });
    }
}
