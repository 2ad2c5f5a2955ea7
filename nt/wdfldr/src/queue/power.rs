//! Stopping, draining, purging, and what power does to a queue.

use super::{Queue, QueueState, StateEvent, claim};
use crate::abi::{WDFCONTEXT, WDFQUEUE, WdfRequestStopRequestCancelable};
use crate::kernel::{Event, Ptr};
use crate::object::{ObjectRef, Typed};
use crate::request::Request;

/// Ends a wait of the framework's own.
unsafe extern "win64" fn signal(_: WDFQUEUE, context: WDFCONTEXT) {
    // SAFETY: The context is the event of a thread in `Queue::wait`, which waits for this.
    unsafe { Event::signal(context) };
}

impl Queue {
    /// Before the cleanup event: the queue loses its requests and its device. IRQL `PASSIVE_LEVEL`.
    pub fn quiesce(&self, object: &ObjectRef) {
        if let Some(this) = object.clone().typed::<Self>() {
            this.purge_and_wait();
        }
        if let Some(worker) = &self.worker {
            worker.flush();
        }
        self.device().remove_queue(object.handle());
    }
}

impl Typed<Queue> {
    /// The device has power: the queue dispatches, and what it holds goes on.
    pub fn power_on(&self) {
        if self.state.is_power_managed() {
            self.state.with(|state| state.powered = true);
            self.resume_owned();
            self.dispatch(self);
        }
    }

    /// Tells the client of each request that it acknowledged that it can go on.
    fn resume_owned(&self) {
        self.each_owned(|request| {
            let kept = self
                .state
                .with(|state| state.resume(|each| each.object().is(request.object())));
            if let (Some(event), true) = (self.events.EvtIoResume, kept) {
                // SAFETY: The client registered the event for this queue and owns the request.
                self.synchronized(|| unsafe { event(self.handle(), request.handle()) });
            }
        });
    }

    /// The device loses power: a power-managed queue stops, tells the client of each request that it
    /// has, and waits until it gave them up or acknowledged. IRQL `PASSIVE_LEVEL`.
    pub fn hold(&self, action: u32) {
        if self.state.is_power_managed() {
            self.state.with(|state| state.powered = false);
            self.tell_stop(action);
            self.wait(false);
        }
    }

    /// The device is going: a power-managed queue loses its requests for good. IRQL `PASSIVE_LEVEL`.
    pub fn purge_power_managed(&self, action: u32) {
        if self.state.is_power_managed() {
            self.state.with(QueueState::shut_down);
            self.purge();
            self.tell_stop(action);
            self.wait(true);
        }
    }

    /// The device is removed: the queue loses its requests for good. IRQL `PASSIVE_LEVEL`.
    pub fn shut_down(&self) {
        self.state.with(QueueState::shut_down);
        self.purge_and_wait();
    }

    /// Cancels what waits and what the client made cancelable, accepts nothing more, and waits until
    /// no request is left. IRQL `PASSIVE_LEVEL`.
    pub fn purge_and_wait(&self) {
        self.purge();
        self.wait(true);
    }

    /// `EvtIoStop` for each request that the driver has.
    fn tell_stop(&self, action: u32) {
        let Some(event) = self.events.EvtIoStop else {
            return;
        };
        self.each_owned(|request| {
            let cancelable = if request.is_cancelable() {
                WdfRequestStopRequestCancelable
            } else {
                0
            };
            let action = action | cancelable;
            // SAFETY: The client registered the event for this queue and owns the request.
            self.synchronized(|| unsafe { event(self.handle(), request.handle(), action) });
        });
    }

    /// Calls `f` for each request that the driver has now; it may lose requests meanwhile.
    fn each_owned(&self, f: impl Fn(&Typed<Request>)) {
        let (_, count) = self.state.with(|state| state.counts());
        let mut requests = alloc::vec::Vec::new();
        if requests.try_reserve(count).is_err() {
            return;
        }
        self.state.with(|state| {
            requests.extend((0..count).map_while(|index| state.owned(index)));
        });
        for request in &requests {
            f(request);
        }
    }

    /// Whether requests that become cancelable are to be cancelled at once.
    pub fn is_cancelling(&self) -> bool {
        self.state.with(|state| state.cancelling)
    }

    /// Stops accepting, completes what waits as cancelled, and cancels what is cancelable.
    pub fn purge(&self) {
        self.state.with(|state| {
            state.accepting = false;
            state.cancelling = true;
        });
        while let Some(request) = self.state.with(|state| {
            let request = state.take(claim)?;
            if self.events.EvtIoCanceledOnQueue.is_some() {
                state.own(request.clone());
            }
            Some(request)
        }) {
            self.canceled_on_queue(self, &request);
        }
        self.each_owned(Typed::cancel_from_queue);
    }

    /// Cancels the waiting requests of a file that is closing.
    pub fn flush_file(&self, file: *mut nt_abi::FILE_OBJECT) {
        while let Some(request) = self.state.with(|state| {
            let request = state.find_pending(|each| each.file_object() == file)?;
            state.remove_pending(|each| each.object().is(request.object()));
            Some(request)
        }) {
            if claim(&request) {
                if self.events.EvtIoCanceledOnQueue.is_some() {
                    self.state.with(|state| state.own(request.clone()));
                }
                self.canceled_on_queue(self, &request);
            }
        }
    }

    /// Waits until the driver has no request (`empty` false), or until there is none at all.
    /// IRQL `PASSIVE_LEVEL`.
    pub fn wait(&self, empty: bool) {
        let done = Event::new();
        done.init();
        let waiter = StateEvent {
            event: signal,
            context: Ptr(done.as_context()),
        };
        self.state.with(|state| {
            if empty {
                state.when_empty(waiter);
            } else {
                state.when_idle(waiter);
            }
        });
        self.dispatch(self);
        done.wait();
    }
}
