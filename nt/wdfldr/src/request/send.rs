//! Passing a request on to the drivers below, and getting it back.
//!
//! While a request is away, a reference to it is the context of the framework's completion routine. Who
//! cancels it and who completes it agree by [`Flight`] that the client hears of the end once, and not
//! before the cancelling thread has let go of the IRP.

use super::{Request, control::Transfer};
use crate::abi::{
    PFN_WDF_REQUEST_COMPLETION_ROUTINE, STATUS_IO_TIMEOUT, STATUS_REQUEST_NOT_ACCEPTED, SendFlags,
    WDF_DRIVER_GLOBALS, WDF_REQUEST_COMPLETION_PARAMS, WDF_REQUEST_SEND_OPTIONS, WDFCONTEXT,
    WDFIOTARGET, WDFOBJECT, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{Event, IoCancelIrp, IofCallDriver, Irp, Outcome, Ptr, print, ulong};
use crate::object::{self, ObjectRef, Typed, lookup};
use crate::violation;
use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use nt_abi::{
    BOOLEAN, FALSE, IO_STACK_LOCATION, IRP, NTSTATUS, PDEVICE_OBJECT, PVOID, STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_NOT_SUPPORTED, TRUE,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Where a request is that was sent.
pub struct Flight(AtomicU32);

impl Flight {
    const SENT: u32 = 1;
    const CANCELLING: u32 = 2;
    const DONE: u32 = 4;

    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether the request is with a lower driver.
    pub fn is_away(&self) -> bool {
        let away = self.0.load(Ordering::Acquire);
        away & Self::SENT != 0 && away & Self::DONE == 0
    }

    fn begin(&self) {
        self.0.store(Self::SENT, Ordering::Release);
    }

    /// Whether the calling thread may cancel; it says [`cancelled`](Self::cancelled) afterwards.
    fn may_cancel(&self) -> bool {
        let cancelling = Self::SENT | Self::CANCELLING;
        self.0
            .compare_exchange(Self::SENT, cancelling, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The cancelling thread has let go; returns whether it has to tell of the end.
    fn cancelled(&self) -> bool {
        self.0.fetch_and(!Self::CANCELLING, Ordering::AcqRel) & Self::DONE != 0
    }

    /// The request is back; returns whether this thread has to tell of it.
    fn done(&self) -> bool {
        self.0.fetch_or(Self::DONE, Ordering::AcqRel) & Self::CANCELLING == 0
    }
}

/// How a request is to be sent, and who hears of its end.
pub struct Sending {
    /// The stack location of the next driver, when the client formatted the request.
    next: Option<Next>,
    /// The buffers that go with it, if they are not the request's own.
    transfer: Option<Box<Transfer>>,
    /// What it was formatted as: the `Type` and `Parameters` that the completion routine gets.
    kind: u8,
    parameters: [usize; 6],
    completion: PFN_WDF_REQUEST_COMPLETION_ROUTINE,
    context: Ptr<c_void>,
    target: WDFIOTARGET,
}

#[derive(Clone, Copy)]
struct Next(IO_STACK_LOCATION);

// SAFETY: A copy of plain words; the pointers in it are followed by the driver that gets the request.
unsafe impl Send for Next {}

impl Sending {
    pub const fn new() -> Self {
        Self {
            next: None,
            transfer: None,
            kind: 0,
            parameters: [0; 6],
            completion: None,
            context: Ptr::NULL,
            target: WDFOBJECT::NULL,
        }
    }
}

impl Request {
    /// Takes note of what the lower driver is to get. Returns what went with an earlier format.
    pub(super) fn format(
        &self,
        next: IO_STACK_LOCATION,
        transfer: Option<Box<Transfer>>,
        parameters: [usize; 6],
    ) -> Option<Box<Transfer>> {
        self.state.with(|state| {
            let sending = &mut state.sending;
            sending.next = Some(Next(next));
            sending.kind = next.MajorFunction;
            sending.parameters = parameters;
            core::mem::replace(&mut sending.transfer, transfer)
        })
    }

    /// Takes the buffers of a request that is back.
    fn come_back(&self) {
        let Some(irp) = self.irp() else { return };
        if let Some(transfer) = self.state.with(|state| state.sending.transfer.take()) {
            let written = transfer.end(irp);
            self.state
                .with(|state| state.sending.parameters[5] = written);
        }
    }
}

impl Typed<Request> {
    /// Gives the request up to a lower driver: it ends there.
    fn send_and_forget(&self, target: &IoTarget) -> Outcome {
        if self.is_cancelable() || self.own.is_some() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let irp = self.irp.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if irp.is_null() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        object::delete(self.object());
        // SAFETY: The request owned the IRP, and the swap made this call its one owner; the target is
        // what the device is attached to.
        unsafe { Ptr(irp).forward(target.lower()) };
        if let Some(queue) = self.queue() {
            queue.finished(&queue, self);
        }
        Ok(())
    }

    /// What must be before the request goes out.
    fn prepare(&self, target: &Typed<IoTarget>) -> Outcome<(Irp, IO_STACK_LOCATION)> {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if self.is_cancelable() || self.flight.is_away() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let next = self.state.with(|state| {
            state.sending.target = target.handle();
            let next = state.sending.next.take();
            if next.is_some()
                && let Some(transfer) = &mut state.sending.transfer
            {
                transfer.begin(irp);
            }
            next
        });
        // Without a format there is nothing to be sent.
        let Next(next) = next.ok_or(STATUS_REQUEST_NOT_ACCEPTED)?;
        self.flight.begin();
        Ok((irp, next))
    }

    fn send(&self, target: &Typed<IoTarget>) -> Outcome {
        let (irp, next) = self.prepare(target)?;
        let reference = self.object().clone().into_raw();
        // SAFETY: The request owns its IRP, which has a location for the lower driver.
        unsafe { irp.set_next(next, completed, reference) };
        // SAFETY: As above; from here on the IRP is the lower driver's.
        unsafe { IofCallDriver(target.lower().0, irp.0) };
        Ok(())
    }

    /// Sends the request and waits until it is back, or for as long as `timeout` says and then until
    /// it is cancelled, which makes its status `STATUS_IO_TIMEOUT`. IRQL `PASSIVE_LEVEL`.
    pub(super) fn send_and_wait(&self, target: &Typed<IoTarget>, timeout: Option<i64>) -> Outcome {
        let (irp, next) = self.prepare(target)?;
        let done = Event::new();
        done.init();
        // SAFETY: The request owns its IRP, which has a location for the lower driver.
        unsafe { irp.set_next(next, signal, done.as_context()) };
        // SAFETY: As above; `signal` gives it back.
        unsafe { IofCallDriver(target.lower().0, irp.0) };
        if !done.wait_for(timeout) {
            // SAFETY: The IRP is the request's, which nobody completes before it is back.
            unsafe { IoCancelIrp(irp.0) };
            done.wait();
            // SAFETY: The request owns its IRP again.
            if unsafe { (*irp.0).IoStatus.Status } == STATUS_CANCELLED {
                // SAFETY: As above.
                unsafe { irp.set_status(STATUS_IO_TIMEOUT) };
            }
        }
        self.come_back();
        self.flight.done();
        Ok(())
    }

    /// `WdfRequestCancelSentRequest`.
    fn cancel_sent(&self) -> bool {
        let Some(irp) = self.irp() else { return false };
        if !self.flight.may_cancel() {
            return false;
        }
        // SAFETY: The IRP is away and is not completed further before the client hears that it is
        // back, which it does not before `cancelled` below.
        let delivered = unsafe { IoCancelIrp(irp.0) } != FALSE;
        if self.flight.cancelled() {
            self.call_completion();
        }
        delivered
    }

    /// Tells the client that the request is back.
    fn call_completion(&self) {
        let (completion, context, target) = self.state.with(|state| {
            let sending = &mut state.sending;
            (sending.completion.take(), sending.context, sending.target)
        });
        let (Some(event), Some(mut parameters)) = (completion, self.completion_params()) else {
            return;
        };
        // SAFETY: The client registered the event for this request, which it owns again.
        unsafe { event(self.handle(), target, &raw mut parameters, context.0) };
    }

    fn completion_params(&self) -> Option<WDF_REQUEST_COMPLETION_PARAMS> {
        let irp = self.irp()?;
        let (kind, parameters) = self
            .state
            .with(|state| (state.sending.kind, state.sending.parameters));
        Some(WDF_REQUEST_COMPLETION_PARAMS {
            Size: ulong(size_of::<WDF_REQUEST_COMPLETION_PARAMS>()),
            Type: i32::from(kind),
            // SAFETY: The request owns the IRP.
            IoStatus: unsafe { (*irp.0).IoStatus },
            Parameters: parameters,
        })
    }
}

/// The completion routine of requests that are sent and not waited for.
unsafe extern "win64" fn completed(_: PDEVICE_OBJECT, _: *mut IRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The context is the reference that was kept for this routine, which is called once.
    let object = unsafe { ObjectRef::from_raw(context) };
    if let Some(request) = object.typed::<Request>() {
        request.come_back();
        if request.flight.done() {
            request.call_completion();
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The completion routine of requests that are waited for.
unsafe extern "win64" fn signal(_: PDEVICE_OBJECT, _: *mut IRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The context is the event of the thread that waits for exactly this.
    unsafe { Event::signal(context) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// `WdfRequestSend`: whether it was sent; if not, `WdfRequestGetStatus` says why. Timeouts are there for
/// requests that are waited for. IRQL <= `DISPATCH_LEVEL`; `PASSIVE_LEVEL` to wait.
pub unsafe extern "win64" fn WdfRequestSend(
    _: Globals,
    Request: WDFREQUEST,
    Target: WDFIOTARGET,
    Options: *mut WDF_REQUEST_SEND_OPTIONS,
) -> BOOLEAN {
    let request = lookup::<self::Request>(Request);
    let target = lookup::<IoTarget>(Target);
    // SAFETY: The client passes null or its options.
    let options = unsafe { Options.as_ref() };
    let flags = options.map_or(0, |options| options.Flags);
    let timeout = options
        .filter(|_| flags & SendFlags::TIMEOUT != 0)
        .map(|options| options.Timeout);
    let forget = flags & SendFlags::SEND_AND_FORGET != 0;
    let wait = flags & SendFlags::SYNCHRONOUS != 0;
    let outcome = match (forget, wait) {
        _ if options.is_some_and(|options| options.Size as usize != size_of_val(options)) => {
            Err(STATUS_INVALID_PARAMETER)
        }
        (true, true) => Err(STATUS_INVALID_PARAMETER),
        (true, false) => request.send_and_forget(&target),
        (false, true) => request.send_and_wait(&target, timeout),
        (false, false) if timeout.is_some() => {
            print(
                c"WDFLDR: request %p: a timeout without waiting is not implemented\n",
                Request.0,
            );
            Err(STATUS_NOT_SUPPORTED)
        }
        (false, false) => request.send(&target),
    };
    match outcome {
        Ok(()) => TRUE,
        Err(status) => {
            if let Some(irp) = request.irp() {
                // SAFETY: The request owns the IRP, which did not go out.
                unsafe { irp.set_status(status) };
            }
            FALSE
        }
    }
}

/// `WdfRequestFormatRequestUsingCurrentType`: the lower driver gets what this one got.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestFormatRequestUsingCurrentType(
    _: Globals,
    Request: WDFREQUEST,
) {
    let request = lookup::<self::Request>(Request);
    request.format(request.location.0, None, [0; 6]);
}

/// `WdfRequestWdmFormatUsingStackLocation`: the lower driver gets these parameters.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestWdmFormatUsingStackLocation(
    _: Globals,
    Request: WDFREQUEST,
    Stack: *mut IO_STACK_LOCATION,
) {
    let request = lookup::<self::Request>(Request);
    // SAFETY: The client passes a stack location.
    let Some(stack) = (unsafe { Stack.as_ref() }) else {
        violation::null_parameter(c"WdfRequestWdmFormatUsingStackLocation")
    };
    request.format(*stack, None, [0; 6]);
}

/// `WdfRequestSetCompletionRoutine`; null takes it away. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestSetCompletionRoutine(
    _: Globals,
    Request: WDFREQUEST,
    CompletionRoutine: PFN_WDF_REQUEST_COMPLETION_ROUTINE,
    CompletionContext: WDFCONTEXT,
) {
    let request = lookup::<self::Request>(Request);
    request.state.with(|state| {
        state.sending.completion = CompletionRoutine;
        state.sending.context = Ptr(CompletionContext);
    });
}

/// `WdfRequestGetCompletionParams`: type and I/O status of a request that is back.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetCompletionParams(
    _: Globals,
    Request: WDFREQUEST,
    Params: *mut WDF_REQUEST_COMPLETION_PARAMS,
) {
    let request = lookup::<self::Request>(Request);
    if Params.is_null() {
        violation::null_parameter(c"WdfRequestGetCompletionParams");
    }
    if let Some(parameters) = request.completion_params() {
        // SAFETY: The client passes a structure to be filled.
        unsafe { Params.write(parameters) };
    }
}

/// `WdfRequestCancelSentRequest`: whether the cancellation was delivered. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestCancelSentRequest(
    _: Globals,
    Request: WDFREQUEST,
) -> BOOLEAN {
    lookup::<self::Request>(Request).cancel_sent().into()
}
