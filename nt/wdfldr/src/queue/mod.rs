//! `WDFQUEUE`: requests on their way to the driver's callbacks.

mod api;
mod callbacks;
mod create;
mod guarded;
mod power;
mod state;

pub use api::*;
pub use create::*;
pub use state::{Cancellation, Mode, QueueState};

use crate::abi::{PFN_WDF_IO_QUEUE_STATE, WDF_IO_QUEUE_CONFIG, WDFCONTEXT, bugcheck};
use crate::callback_lock::{CallbackLock, Constraints, Scope};
use crate::device::Device;
use crate::kernel::{Outcome, Ptr, this_thread};
use crate::object::Typed;
use crate::request::{self, Request};
use crate::violation;
use crate::work_item::SystemWorkItem;
use guarded::Guarded;
use nt_abi::{
    KIRQL, NTSTATUS, PASSIVE_LEVEL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_PENDING, STATUS_SUCCESS,
};
use state::Next;

/// Who is told about a change of state: a client's event or one of the framework's own.
#[derive(Clone, Copy)]
pub struct StateEvent {
    event: unsafe extern "win64" fn(crate::abi::WDFQUEUE, WDFCONTEXT),
    context: Ptr<core::ffi::c_void>,
}

impl StateEvent {
    const fn new(event: PFN_WDF_IO_QUEUE_STATE, context: WDFCONTEXT) -> Option<Self> {
        match event {
            Some(event) => Some(Self {
                event,
                context: Ptr(context),
            }),
            None => None,
        }
    }
}

type State = QueueState<Typed<Request>, StateEvent>;

/// A framework queue object.
pub struct Queue {
    device: Typed<Device>,
    events: WDF_IO_QUEUE_CONFIG,
    constraints: Constraints,
    /// The queue's own; the device's takes its place where the scope is the device.
    callback_lock: CallbackLock,
    /// Calls back in place of a thread that must not: above `PASSIVE_LEVEL` where callbacks are
    /// passive, or holding the callback lock already.
    worker: Option<SystemWorkItem>,
    state: Guarded,
}

/// Whether a waiting request can be had: whoever clears its cancel routine has it.
fn claim(request: &Typed<Request>) -> bool {
    request.disarm()
}

/// Gives a new request to a queue. The request is the queue's from here on, whatever comes of it.
/// IRQL <= `DISPATCH_LEVEL`.
pub fn submit(queue: &Typed<Queue>, request: &Typed<Request>) -> NTSTATUS {
    request.mark_pending();
    if let Err(status) = enqueue(queue, request) {
        request::complete(request, status, Some(0), 0);
    }
    STATUS_PENDING
}

/// Puts a request at the end of a queue and presents what can be presented.
fn enqueue(queue: &Typed<Queue>, request: &Typed<Request>) -> Outcome {
    let thread = this_thread();
    request.set_queue(Some(queue.clone()));
    let (first, cancelled, irql) = queue.state.with_irql(|state, irql| {
        if !state.accepting {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        state.reserve()?;
        state.push(request.clone());
        let first = if queue.may_call_at(irql) {
            state.next(thread, claim)
        } else {
            Next::Nothing
        };
        Ok((first, queue.arm_last(state, request), irql))
    })?;
    if cancelled {
        queue.canceled_on_queue(queue, request);
    }
    queue.run(queue, first, thread, irql);
    Ok(())
}

impl Queue {
    /// The device that the queue belongs to.
    pub const fn device(&self) -> &Typed<Device> {
        &self.device
    }

    /// When and at which IRQL callbacks run.
    pub const fn constraints(&self) -> Constraints {
        self.constraints
    }

    /// The lock that the queue's callbacks run under, if any run under one.
    pub fn callback_lock(&self) -> &CallbackLock {
        if self.constraints.scope == Scope::Device {
            self.device.callback_lock()
        } else {
            &self.callback_lock
        }
    }

    /// Makes a request that stayed in the queue cancelable; returns whether it is cancelled already,
    /// and then takes it out.
    fn arm_last(&self, state: &mut State, request: &Typed<Request>) -> bool {
        let stayed = state
            .last()
            .is_some_and(|last| last.object().is(request.object()));
        let cancelled = stayed && !request.arm(canceled_in_queue);
        if cancelled {
            state.remove_pending(|each| each.object().is(request.object()));
            if self.events.EvtIoCanceledOnQueue.is_some() {
                state.own(request.clone());
            }
        }
        cancelled
    }

    /// Presents and notifies until there is nothing to do. IRQL <= `DISPATCH_LEVEL`.
    pub fn dispatch(&self, this: &Typed<Self>) {
        let thread = this_thread();
        let (next, irql) = self.next(thread);
        self.run(this, next, thread, irql);
    }

    fn next(&self, thread: usize) -> (Next<Typed<Request>, StateEvent>, KIRQL) {
        self.state.with_irql(|state, irql| {
            if self.may_call_at(irql) {
                (state.next(thread, claim), irql)
            } else {
                (Next::Nothing, irql)
            }
        })
    }

    /// Whether this thread may call the client back, at this IRQL; if not, a worker thread takes over.
    fn may_call_at(&self, irql: KIRQL) -> bool {
        let level = u32::from(irql) == PASSIVE_LEVEL || !self.constraints.passive;
        level && !self.synchronization().is_some_and(CallbackLock::is_mine)
    }

    /// Has a worker thread do what this one must not, unless this one's own presentation will.
    fn dispatch_later(&self, this: &Typed<Self>, thread: usize) {
        if let Some(worker) = &self.worker
            && !self.state.with(|state| state.is_presenting(thread))
        {
            worker.enqueue(dispatch_from_worker, this.object().clone());
        }
    }

    fn run(
        &self,
        this: &Typed<Self>,
        mut next: Next<Typed<Request>, StateEvent>,
        thread: usize,
        irql: KIRQL,
    ) {
        if !self.may_call_at(irql) {
            return self.dispatch_later(this, thread);
        }
        loop {
            match next {
                Next::Present(request) => {
                    self.present(this, &request, irql);
                    let after = self.state.with_irql(|state, irql| {
                        state.presented(thread);
                        irql
                    });
                    if after != irql {
                        violation::stop(
                            bugcheck::WDF_VERIFIER_IRQL_MISMATCH,
                            irql.into(),
                            after.into(),
                        );
                    }
                }
                Next::Cancel(request, kind) => self.call_cancel(this, &request, kind),
                Next::Notify(told) => {
                    let context = told.context.0;
                    // SAFETY: The event was registered for this queue, by the client or by the
                    // framework with a context that lives until it is called.
                    self.synchronized(|| unsafe { (told.event)(this.handle(), context) });
                }
                Next::Nothing => return,
            }
            next = self.next(thread).0;
        }
    }

    /// A request of the driver's left the queue, completed or forwarded.
    pub fn finished(&self, this: &Typed<Self>, request: &Typed<Request>) {
        self.state
            .with(|state| state.disown(|each| each.object().is(request.object())));
        self.dispatch(this);
    }
}

/// The cancel routine of requests that wait in a queue.
unsafe extern "win64" fn canceled_in_queue(_: nt_abi::PDEVICE_OBJECT, irp: *mut nt_abi::IRP) {
    // SAFETY: `IoCancelIrp` calls this for an IRP that `arm` prepared, with the cancel lock held.
    let request = unsafe { Request::from_cancelled(Ptr(irp)) };
    let Some(queue) = request.queue() else { return };
    queue.state.with(|state| {
        state.remove_pending(|each| each.object().is(request.object()));
        if queue.events.EvtIoCanceledOnQueue.is_some() {
            // Room was reserved when the request came in; if the dispatcher dropped it meanwhile,
            // the list still has the place.
            state.own(request.clone());
        }
    });
    queue.canceled_on_queue(&queue, &request);
    queue.dispatch(&queue);
}

/// A worker thread dispatches for a queue that was called above `PASSIVE_LEVEL`.
fn dispatch_from_worker(object: &crate::object::ObjectRef) {
    if let Some(queue) = object.clone().typed::<Queue>() {
        queue.dispatch(&queue);
    }
}

/// Moves a request that the driver owns to another queue.
pub fn forward(queue: &Typed<Queue>, request: &Typed<Request>) -> NTSTATUS {
    let previous = request.queue();
    if !queue.state.with(|state| state.accepting) {
        return crate::abi::STATUS_WDF_BUSY;
    }
    match enqueue(queue, request) {
        Ok(()) => {
            if let Some(previous) = previous {
                previous.finished(&previous, request);
            }
            STATUS_SUCCESS
        }
        Err(status) => {
            request.set_queue(previous);
            status
        }
    }
}

/// Puts a request that the driver retrieved back to the front of its manual queue.
pub fn requeue(queue: &Typed<Queue>, request: &Typed<Request>) -> NTSTATUS {
    if queue.state.with(|state| state.mode()) != Mode::Manual {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    put_back(queue, request);
    STATUS_SUCCESS
}

/// The client answers `EvtIoStop` for a request: it keeps it, or gives it back to the queue.
pub fn acknowledge_stop(queue: &Typed<Queue>, request: &Typed<Request>, give_back: bool) {
    if give_back {
        put_back(queue, request);
    } else {
        queue
            .state
            .with(|state| state.acknowledge(|each| each.object().is(request.object())));
        queue.dispatch(queue);
    }
}

/// From the driver back to the front of the queue, cancelable as what waits there is.
fn put_back(queue: &Typed<Queue>, request: &Typed<Request>) {
    let cancelled = queue.state.with(|state| {
        if !state.disown(|each| each.object().is(request.object())) {
            return false;
        }
        if request.arm(canceled_in_queue) {
            state.push_front(request.clone());
            return false;
        }
        if queue.events.EvtIoCanceledOnQueue.is_some() {
            state.own(request.clone());
        }
        true
    });
    if cancelled {
        queue.canceled_on_queue(queue, request);
    }
    queue.dispatch(queue);
}
