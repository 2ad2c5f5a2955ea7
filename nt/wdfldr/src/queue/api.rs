//! `WdfIoQueue...` on a queue that exists.

use super::{Mode, Queue, StateEvent, claim};
use crate::abi::{
    PFN_WDF_IO_QUEUE_STATE, STATUS_WDF_PAUSED, WDF_DRIVER_GLOBALS, WDF_REQUEST_PARAMETERS,
    WDFCONTEXT, WDFDEVICE, WDFFILEOBJECT, WDFOBJECT, WDFQUEUE, WDFREQUEST,
    WdfIoQueueAcceptRequests, WdfIoQueueDispatchRequests, WdfIoQueueDriverNoRequests,
    WdfIoQueueNoRequests, WdfIoQueuePnpHeld,
};
use crate::file::File;
use crate::kernel::{Outcome, status_of, ulong};
use crate::object::{self, Typed, lookup};
use crate::request::Request;
use crate::violation;
use nt_abi::{
    NTSTATUS, PULONG, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_NO_MORE_ENTRIES, STATUS_NOT_FOUND, STATUS_SUCCESS,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfIoQueueGetDevice`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueGetDevice(_: Globals, Queue: WDFQUEUE) -> WDFDEVICE {
    lookup::<self::Queue>(Queue).device().handle()
}

/// `WdfIoQueueGetState`. The optional outputs are the numbers of waiting and of driver-owned
/// requests. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueGetState(
    _: Globals,
    Queue: WDFQUEUE,
    QueueRequests: PULONG,
    DriverRequests: PULONG,
) -> i32 {
    let queue = lookup::<self::Queue>(Queue);
    let ((pending, owned), flags) = queue.state.with(|state| {
        let (pending, owned) = state.counts();
        let flags = [
            (state.accepting, WdfIoQueueAcceptRequests),
            (state.dispatching, WdfIoQueueDispatchRequests),
            (pending == 0, WdfIoQueueNoRequests),
            (owned == 0, WdfIoQueueDriverNoRequests),
            (!state.powered, WdfIoQueuePnpHeld),
        ];
        ((pending, owned), flags)
    });
    // SAFETY: An optional output; the client passes null or a place for it.
    if let Some(place) = unsafe { QueueRequests.as_mut() } {
        *place = ulong(pending);
    }
    // SAFETY: As above.
    if let Some(place) = unsafe { DriverRequests.as_mut() } {
        *place = ulong(owned);
    }
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, flag)| flag)
        .sum()
}

/// `WdfIoQueueStart`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueStart(_: Globals, Queue: WDFQUEUE) {
    let queue = lookup::<self::Queue>(Queue);
    queue.state.with(|state| {
        state.accept(true);
        state.dispatching = true;
    });
    queue.dispatch(&queue);
}

/// How a queue is brought to rest.
#[derive(Clone, Copy)]
struct Rest {
    dispatching: Option<bool>,
    accepting: Option<bool>,
    purge: bool,
    /// Whether it is over when no request is left, or when the driver has none.
    empty: bool,
}

/// Requests wait; those that the driver has go on.
const STOP: Rest = Rest {
    dispatching: Some(false),
    accepting: None,
    purge: false,
    empty: false,
};
/// Nothing comes in; what is there goes on.
const DRAIN: Rest = Rest {
    dispatching: Some(true),
    accepting: Some(false),
    purge: false,
    empty: true,
};
/// Nothing comes in; what is there is cancelled.
const PURGE: Rest = Rest {
    dispatching: Some(true),
    accepting: Some(false),
    purge: true,
    empty: true,
};
/// What is there is cancelled; what comes in waits.
const STOP_AND_PURGE: Rest = Rest {
    dispatching: Some(false),
    accepting: Some(true),
    purge: true,
    empty: false,
};

impl Typed<Queue> {
    fn begin(&self, rest: Rest) {
        if rest.purge {
            self.purge();
        }
        self.state.with(|state| {
            state.dispatching = rest.dispatching.unwrap_or(state.dispatching);
            if let Some(accepting) = rest.accepting {
                state.accept(accepting);
            }
        });
    }

    fn begin_and_wait(&self, rest: Rest) {
        self.begin(rest);
        self.wait(rest.empty);
    }

    fn begin_and_tell(&self, rest: Rest, event: PFN_WDF_IO_QUEUE_STATE, context: WDFCONTEXT) {
        self.begin(rest);
        if let Some(event) = StateEvent::new(event, context) {
            self.state.with(|state| {
                if rest.empty {
                    state.when_empty(event);
                } else {
                    state.when_idle(event);
                }
            });
        }
        self.dispatch(self);
    }
}

macro_rules! rests {
    ($($(#[$doc:meta])* $asynchronous:ident, $synchronous:ident: $rest:ident;)*) => {
        $(
            $(#[$doc])*
            pub unsafe extern "win64" fn $asynchronous(
                _: Globals,
                Queue: WDFQUEUE,
                Complete: PFN_WDF_IO_QUEUE_STATE,
                Context: WDFCONTEXT,
            ) {
                lookup::<self::Queue>(Queue).begin_and_tell($rest, Complete, Context);
            }

            /// The same, and waits until it is over. IRQL `PASSIVE_LEVEL`, not in a callback of the
            /// queue.
            pub unsafe extern "win64" fn $synchronous(_: Globals, Queue: WDFQUEUE) {
                lookup::<self::Queue>(Queue).begin_and_wait($rest);
            }
        )*
    };
}

rests! {
    /// `WdfIoQueueStop`. IRQL <= `DISPATCH_LEVEL`.
    WdfIoQueueStop, WdfIoQueueStopSynchronously: STOP;
    /// `WdfIoQueueDrain`. IRQL <= `DISPATCH_LEVEL`.
    WdfIoQueueDrain, WdfIoQueueDrainSynchronously: DRAIN;
    /// `WdfIoQueuePurge`. IRQL <= `DISPATCH_LEVEL`.
    WdfIoQueuePurge, WdfIoQueuePurgeSynchronously: PURGE;
    /// `WdfIoQueueStopAndPurge`. IRQL <= `DISPATCH_LEVEL`.
    WdfIoQueueStopAndPurge, WdfIoQueueStopAndPurgeSynchronously: STOP_AND_PURGE;
}

/// Takes a waiting request that fits, for the driver.
fn retrieve(
    queue: &Typed<Queue>,
    fits: impl Fn(&Typed<Request>) -> bool,
) -> Outcome<Typed<Request>> {
    queue.state.with(|state| {
        if matches!(state.mode(), Mode::Parallel(_)) {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        if !state.powered || !state.dispatching {
            return Err(STATUS_WDF_PAUSED);
        }
        while let Some(request) = state.find_pending(&fits) {
            state.remove_pending(|each| each.object().is(request.object()));
            if claim(&request) {
                state.own(request.clone());
                return Ok(request);
            }
        }
        Err(STATUS_NO_MORE_ENTRIES)
    })
}

/// # Safety
/// `place` is where a client wants a handle.
unsafe fn give(request: Outcome<Typed<Request>>, place: *mut WDFREQUEST) -> NTSTATUS {
    if place.is_null() {
        violation::null_parameter(c"a function that retrieves a request (OutRequest)");
    }
    let handle = request.as_ref().map_or(WDFOBJECT::NULL, Typed::handle);
    // SAFETY: By contract.
    unsafe { place.write(handle) };
    status_of(request.map(drop))
}

/// `WdfIoQueueRetrieveNextRequest`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueRetrieveNextRequest(
    _: Globals,
    Queue: WDFQUEUE,
    OutRequest: *mut WDFREQUEST,
) -> NTSTATUS {
    let queue = lookup::<self::Queue>(Queue);
    // SAFETY: The client passes a place for the handle.
    unsafe { give(retrieve(&queue, |_| true), OutRequest) }
}

/// `WdfIoQueueRetrieveRequestByFileObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueRetrieveRequestByFileObject(
    _: Globals,
    Queue: WDFQUEUE,
    FileObject: WDFFILEOBJECT,
    OutRequest: *mut WDFREQUEST,
) -> NTSTATUS {
    let queue = lookup::<self::Queue>(Queue);
    let file = lookup::<File>(FileObject).wdm();
    // SAFETY: The client passes a place for the handle.
    unsafe {
        give(
            retrieve(&queue, |request| request.file_object() == file),
            OutRequest,
        )
    }
}

/// `WdfIoQueueFindRequest`: the first request after `FoundRequest`, or the first of all, that belongs
/// to a file if one is named. It stays in the queue, with a reference for the caller.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueFindRequest(
    _: Globals,
    Queue: WDFQUEUE,
    FoundRequest: WDFREQUEST,
    FileObject: WDFFILEOBJECT,
    Parameters: *mut WDF_REQUEST_PARAMETERS,
    OutRequest: *mut WDFREQUEST,
) -> NTSTATUS {
    let queue = lookup::<self::Queue>(Queue);
    let file = (FileObject != WDFOBJECT::NULL).then(|| lookup::<File>(FileObject).wdm());
    let previous = (FoundRequest != WDFOBJECT::NULL).then(|| object::any(FoundRequest));
    let found = queue.state.with(|state| {
        let skipped = core::cell::Cell::new(previous.is_none());
        let found = state.find_pending(|request| {
            let is_previous = previous
                .as_ref()
                .is_some_and(|each| each.is(request.object()));
            let after = skipped.replace(skipped.get() || is_previous);
            after && file.is_none_or(|file| file == request.file_object())
        });
        if skipped.get() {
            found.ok_or(STATUS_NO_MORE_ENTRIES)
        } else {
            Err(STATUS_NOT_FOUND)
        }
    });
    if let Ok(request) = &found {
        if !Parameters.is_null() {
            // SAFETY: The client passes a structure to be filled.
            unsafe { request.write_parameters(Parameters) };
        }
        // The caller's reference, which it gives back by `WdfObjectDereference`.
        let _ = request.object().clone().into_raw();
    }
    // SAFETY: The client passes a place for the handle.
    unsafe { give(found, OutRequest) }
}

/// `WdfIoQueueRetrieveFoundRequest`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueRetrieveFoundRequest(
    _: Globals,
    Queue: WDFQUEUE,
    FoundRequest: WDFREQUEST,
    OutRequest: *mut WDFREQUEST,
) -> NTSTATUS {
    let queue = lookup::<self::Queue>(Queue);
    let wanted = object::any(FoundRequest);
    let found = retrieve(&queue, |request| request.object().is(&wanted));
    let found = found.map_err(|status| {
        if status == STATUS_NO_MORE_ENTRIES {
            STATUS_NOT_FOUND
        } else {
            status
        }
    });
    // SAFETY: The client passes a place for the handle.
    unsafe { give(found, OutRequest) }
}

/// `WdfIoQueueReadyNotify`: tells a manual queue's owner that it is no longer empty; a null event
/// takes the notification away. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueReadyNotify(
    _: Globals,
    Queue: WDFQUEUE,
    QueueReady: PFN_WDF_IO_QUEUE_STATE,
    Context: WDFCONTEXT,
) -> NTSTATUS {
    let queue = lookup::<self::Queue>(Queue);
    let event = StateEvent::new(QueueReady, Context);
    let status = queue.state.with(|state| {
        if state.mode() != Mode::Manual || state.set_ready(event) {
            STATUS_INVALID_DEVICE_REQUEST
        } else {
            STATUS_SUCCESS
        }
    });
    queue.dispatch(&queue);
    status
}
