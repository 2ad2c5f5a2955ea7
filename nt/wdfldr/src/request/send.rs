//! Passing a request on to the drivers below, and getting it back.
//!
//! While a request is away, a reference to it is the context of the framework's completion routine, and its
//! target keeps another. Who cancels it and who completes it agree by [`Flight`](super::Flight) that the
//! client hears of the end once, and not before the cancelling thread has let go of the IRP.

use super::{Request, flight::SendTimer, transfer::Transfer};
use crate::abi::{
    PFN_WDF_REQUEST_COMPLETION_ROUTINE, STATUS_IO_TIMEOUT, STATUS_REQUEST_NOT_ACCEPTED, SendFlags,
    WDF_DRIVER_GLOBALS, WDF_REQUEST_COMPLETION_PARAMS, WDF_REQUEST_SEND_OPTIONS, WDFCONTEXT,
    WDFIOTARGET, WDFOBJECT, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{Event, IofCallDriver, Outcome, Ptr, status_of, ulong};
use crate::object::{self, ObjectRef, Typed, lookup, lookup_raw};
use crate::violation;
use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::Ordering;
use nt_abi::{
    BOOLEAN, FALSE, IO_STACK_LOCATION, IRP, IRP_MJ_READ, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT,
    PVOID, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_MORE_PROCESSING_REQUIRED, TRUE,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

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
    /// Whether the buffers are in the IRP.
    begun: bool,
    /// The event of the thread that waits for it, in place of the client's routine.
    waiter: Option<Ptr<c_void>>,
}

/// How a client wants a request to be sent.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// 100 ns, negative for relative.
    pub timeout: Option<i64>,
    /// Whether it goes out even if the target is stopped or purged.
    pub ignores_state: bool,
}

impl Manner {
    /// What the options say.
    pub fn of(options: Option<&WDF_REQUEST_SEND_OPTIONS>) -> Self {
        let flags = options.map_or(0, |options| options.Flags);
        Self {
            timeout: options
                .filter(|options| flags & SendFlags::TIMEOUT != 0 && options.Timeout != 0)
                .map(|options| options.Timeout),
            ignores_state: flags & SendFlags::IGNORE_TARGET_STATE != 0,
        }
    }
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
            begun: false,
            waiter: None,
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
        let (transfer, begun) = self.state.with(|state| {
            let sending = &mut state.sending;
            sending.next = None;
            (sending.transfer.take(), core::mem::take(&mut sending.begun))
        });
        if let Some(transfer) = transfer.filter(|_| begun) {
            let written = transfer.end(irp);
            self.state.with(|state| {
                let sending = &mut state.sending;
                let length = match u32::from(sending.kind) {
                    IRP_MJ_READ | IRP_MJ_WRITE => 1,
                    _ => 5,
                };
                sending.parameters[length] = written;
            });
        }
    }

    /// Whether the client hears of its end.
    fn has_completion(&self) -> bool {
        self.state.with(|state| state.sending.completion.is_some())
    }

    /// The target that it was sent to.
    pub fn target(&self) -> Option<Typed<IoTarget>> {
        let target = self.state.with(|state| state.sending.target);
        lookup_raw(target)?.typed()
    }
}

impl Typed<Request> {
    /// Checks that the IRP has a location for each driver of the target, besides those that are left out.
    fn check_room(&self, target: &IoTarget, besides: i8) -> Outcome {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        let needed = target.stack_size().ok_or(STATUS_INVALID_DEVICE_STATE)?;
        // SAFETY: The request owns its IRP.
        let left = unsafe { (*irp.0).CurrentLocation } - besides;
        if left < needed {
            return Err(STATUS_REQUEST_NOT_ACCEPTED);
        }
        Ok(())
    }

    /// Gives the request up to a lower driver: it ends there.
    fn send_and_forget(&self, target: &IoTarget) -> Outcome {
        if self.is_cancelable() || self.own.is_some() || !target.file().is_null() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        // The lower driver gets the request's own location.
        self.check_room(target, 0)?;
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

    /// Gives a formatted request to a target, which sends it now or when it is started. `waiter` is the
    /// event of a thread that waits for it, and then keeps the time itself.
    fn submit(
        &self,
        target: &Typed<IoTarget>,
        manner: Manner,
        waiter: Option<Ptr<c_void>>,
    ) -> Outcome {
        self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if self.is_cancelable() || self.flight.is_away() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        self.check_room(target, 1)?;
        let due = manner.timeout.filter(|_| waiter.is_none());
        if due.is_some() {
            self.allocate_timer()?;
        }
        let formatted = self.state.with(|state| {
            let sending = &mut state.sending;
            sending.target = target.handle();
            sending.waiter = waiter;
            sending.next.is_some()
        });
        if !formatted {
            // Without a format there is nothing to be sent.
            return Err(STATUS_REQUEST_NOT_ACCEPTED);
        }
        self.flight.begin();
        let begin = || {
            if let Some(due) = due {
                self.with_timer(|timer| timer.set(self, due));
            }
        };
        let goes = target
            .take(self, manner.ignores_state, begin)
            .inspect_err(|_| self.flight.refused())?;
        if goes {
            self.go(target);
        }
        Ok(())
    }

    /// Gives the request a timer for its time-out, unless it has one. IRQL <= `DISPATCH_LEVEL`.
    fn allocate_timer(&self) -> Outcome {
        if self.state.with(|state| state.timer.is_none()) {
            let timer = SendTimer::new(self)?;
            self.state.with(|state| state.timer = Some(timer));
        }
        Ok(())
    }

    /// Calls `f` with the timer, which stays as long as the request.
    fn with_timer(&self, f: impl FnOnce(&SendTimer)) {
        let timer = self
            .state
            .with(|state| state.timer.as_deref().map(core::ptr::from_ref));
        if let Some(timer) = timer {
            // SAFETY: The timer is set once and lives as long as the request.
            f(unsafe { &*timer });
        }
    }

    /// Sends what a target has taken.
    pub fn go(&self, target: &IoTarget) {
        let next = self.state.with(|state| {
            let sending = &mut state.sending;
            let next = sending.next.take();
            sending.begun = true;
            if let (Some(transfer), Some(irp)) = (&mut sending.transfer, self.irp()) {
                transfer.begin(irp);
            }
            next
        });
        let (Some(irp), Some(Next(mut next))) = (self.irp(), next) else {
            return;
        };
        let file = target.file();
        if !file.is_null() {
            next.FileObject = file.0;
        }
        let reference = self.object().clone().into_raw();
        // SAFETY: The request owns its IRP, which has a location for the lower driver.
        unsafe { irp.set_next(next, completed, reference) };
        // SAFETY: As above; from here on the IRP is the lower driver's.
        unsafe { IofCallDriver(target.lower().0, irp.0) };
    }

    /// The request is back, from the lower driver or because it never went there.
    pub fn back(&self) {
        self.come_back();
        self.with_timer(|timer| timer.stop(self));
        if self.flight.done() {
            self.tell();
        }
    }

    /// The end of a request that the target kept: it comes back with a status of the framework's.
    pub fn not_sent(&self, status: NTSTATUS) {
        if let Some(irp) = self.irp() {
            // SAFETY: The request owns its IRP, which did not go out.
            unsafe { irp.set_status(status) };
            // SAFETY: As above.
            unsafe { irp.set_information(0) };
        }
        self.back();
    }

    /// Sends the request and waits until it is back, or for as long as `manner` says and then until
    /// it is cancelled, which makes its status `STATUS_IO_TIMEOUT`. IRQL `PASSIVE_LEVEL`.
    pub(super) fn send_and_wait(&self, target: &Typed<IoTarget>, manner: Manner) -> Outcome {
        let done = Event::new();
        done.init();
        self.submit(target, manner, Some(Ptr(done.as_context())))?;
        if !done.wait_for(manner.timeout) {
            self.flight.be_late();
            self.cancel_sent();
            done.wait();
        }
        Ok(())
    }

    /// Ends the flight: the target lets go, then the one who waits or the client hears of it, then those
    /// who wait for the target to have nothing left.
    pub fn tell(&self) {
        if let Some(irp) = self.irp().filter(|_| self.flight.is_late()) {
            // SAFETY: The request owns its IRP again.
            if unsafe { (*irp.0).IoStatus.Status } == STATUS_CANCELLED {
                // SAFETY: As above.
                unsafe { irp.set_status(STATUS_IO_TIMEOUT) };
            }
        }
        let idle = self.target().map(|target| target.let_go(self));
        match self.state.with(|state| state.sending.waiter.take()) {
            // SAFETY: The thread waits for exactly this.
            Some(waiter) => unsafe { Event::signal(waiter.0) },
            None => self.call_completion(),
        }
        for waiter in idle.into_iter().flatten() {
            // SAFETY: As above.
            unsafe { Event::signal(waiter.0) };
        }
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

/// The completion routine of requests that are sent.
unsafe extern "win64" fn completed(_: PDEVICE_OBJECT, _: *mut IRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The context is the reference that was kept for this routine, which is called once.
    let object = unsafe { ObjectRef::from_raw(context) };
    if let Some(request) = object.typed::<Request>() {
        request.back();
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// `WdfRequestAllocateTimer`: what a time-out needs, so that sending the request does not fail for want of it.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestAllocateTimer(_: Globals, Request: WDFREQUEST) -> NTSTATUS {
    status_of(lookup::<self::Request>(Request).allocate_timer())
}

/// `WdfRequestSend`: whether it was sent; if not, `WdfRequestGetStatus` says why. IRQL <= `DISPATCH_LEVEL`; `PASSIVE_LEVEL` to wait.
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
    let manner = Manner::of(options);
    let forget = flags & SendFlags::SEND_AND_FORGET != 0;
    let wait = flags & SendFlags::SYNCHRONOUS != 0;
    let outcome = match (forget, wait) {
        _ if options.is_some_and(|options| options.Size as usize != size_of_val(options)) => {
            Err(STATUS_INVALID_PARAMETER)
        }
        (true, true) => Err(STATUS_INVALID_PARAMETER),
        (true, false) => request.send_and_forget(&target),
        (false, true) => request.send_and_wait(&target, manner),
        // Nobody would complete it.
        (false, false) if request.own.is_none() && !request.has_completion() => {
            Err(STATUS_INVALID_DEVICE_REQUEST)
        }
        (false, false) => request.submit(&target, manner, None),
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
