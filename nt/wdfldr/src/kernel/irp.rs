//! IRPs: what the headers of the kernel do inline.

use super::{
    Event, IO_NO_INCREMENT, IoAllocateIrp, IoFreeIrp, IoReuseIrp, IofCallDriver,
    IofCompleteRequest, Outcome, Ptr,
};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use nt_abi::{
    DEVICE_OBJECT, FALSE, IO_STACK_LOCATION, IRP, IoStackParameters, NTSTATUS, PDEVICE_OBJECT,
    PDRIVER_CANCEL, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_PENDING_RETURNED, STATUS_INSUFFICIENT_RESOURCES, STATUS_MORE_PROCESSING_REQUIRED,
};

/// The IRP that a dispatch routine was given, or that a request stands for.
pub type Irp = Ptr<IRP>;

/// A stack location of nothing.
pub const EMPTY: IO_STACK_LOCATION = IO_STACK_LOCATION {
    MajorFunction: 0,
    MinorFunction: 0,
    Flags: 0,
    Control: 0,
    Parameters: IoStackParameters {
        Others: [core::ptr::null_mut(); 4],
    },
    DeviceObject: core::ptr::null_mut(),
    FileObject: core::ptr::null_mut(),
    CompletionRoutine: None,
    Context: core::ptr::null_mut(),
};

/// A cancel routine.
pub type CancelRoutine = unsafe extern "win64" fn(PDEVICE_OBJECT, *mut IRP);

impl Irp {
    /// `IoGetCurrentIrpStackLocation`.
    ///
    /// # Safety
    /// The caller owns the IRP: it was dispatched to this driver and is not completed.
    pub unsafe fn stack(self) -> *mut IO_STACK_LOCATION {
        // SAFETY: By contract the IRP is alive.
        unsafe { (*self.0).CurrentStackLocation }
    }

    /// A copy of the current stack location.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn location(self) -> IO_STACK_LOCATION {
        // SAFETY: By contract the IRP is alive.
        let stack = unsafe { self.stack() };
        // SAFETY: The I/O manager keeps the current location of a live IRP valid.
        unsafe { stack.read() }
    }

    /// Sets `IoStatus.Status`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn set_status(self, status: NTSTATUS) {
        // SAFETY: By contract the IRP is alive and owned.
        unsafe { (*self.0).IoStatus.Status = status };
    }

    /// Sets `IoStatus.Information`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn set_information(self, information: u64) {
        // SAFETY: By contract the IRP is alive and owned.
        unsafe { (*self.0).IoStatus.Information = information };
    }

    /// `IoStatus.Information`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn information(self) -> u64 {
        // SAFETY: By contract the IRP is alive and owned.
        unsafe { (*self.0).IoStatus.Information }
    }

    /// `IoMarkIrpPending`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn mark_pending(self) {
        // SAFETY: By contract the IRP is alive.
        let stack = unsafe { self.stack() };
        // SAFETY: The location is this driver's.
        unsafe { (*stack).Control |= SL_PENDING_RETURNED };
    }

    /// Completes the IRP with a status and no information; returns the status.
    ///
    /// # Safety
    /// As [`stack`](Self::stack); the IRP is gone afterwards.
    pub unsafe fn complete(self, status: NTSTATUS) -> NTSTATUS {
        // SAFETY: Ownership passes through.
        unsafe { self.complete_with(status, 0) }
    }

    /// Completes the IRP with a status and information; returns the status.
    ///
    /// # Safety
    /// As [`complete`](Self::complete).
    pub unsafe fn complete_with(self, status: NTSTATUS, information: u64) -> NTSTATUS {
        // SAFETY: Ownership passes through.
        unsafe { self.set_status(status) };
        // SAFETY: As above.
        unsafe { self.set_information(information) };
        // SAFETY: The IRP is owned and given up here.
        unsafe { IofCompleteRequest(self.0, IO_NO_INCREMENT) };
        status
    }

    /// `IoSkipCurrentIrpStackLocation`: the next driver gets this driver's location.
    ///
    /// # Safety
    /// As [`stack`](Self::stack), and the IRP is passed to a lower driver next.
    pub unsafe fn skip(self) {
        // SAFETY: By contract the IRP is alive and owned.
        unsafe { (*self.0).CurrentLocation += 1 };
        // SAFETY: As above.
        let stack = unsafe { self.stack() };
        // SAFETY: The location above the current one is inside the IRP or one past its end.
        let upper = unsafe { stack.add(1) };
        // SAFETY: As above.
        unsafe { (*self.0).CurrentStackLocation = upper };
    }

    /// `IoSetNextIrpStackLocation`: makes the next driver's location the current one.
    ///
    /// # Safety
    /// As [`stack`](Self::stack), and the location was skipped before, or the next one filled in.
    pub unsafe fn advance(self) {
        // SAFETY: By contract the IRP is alive and owned.
        unsafe { (*self.0).CurrentLocation -= 1 };
        // SAFETY: As above.
        let stack = unsafe { self.stack() };
        // SAFETY: By contract there is a location below the current one.
        let lower = unsafe { stack.sub(1) };
        // SAFETY: As above.
        unsafe { (*self.0).CurrentStackLocation = lower };
    }

    /// Passes the IRP down and lets the lower driver finish it.
    ///
    /// # Safety
    /// As [`stack`](Self::stack); `lower` is the device that this one is attached to. The IRP is
    /// gone afterwards.
    pub unsafe fn forward(self, lower: Ptr<nt_abi::DEVICE_OBJECT>) -> NTSTATUS {
        // SAFETY: Ownership passes through.
        unsafe { self.skip() };
        // SAFETY: The IRP is owned and prepared for the next driver.
        unsafe { IofCallDriver(lower.0, self.0) }
    }

    /// Passes the IRP down, waits until the lower drivers are done with it, and owns it again.
    /// IRQL `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack); `lower` is the device that this one is attached to.
    pub unsafe fn forward_and_wait(self, lower: Ptr<nt_abi::DEVICE_OBJECT>) -> NTSTATUS {
        // SAFETY: By contract the IRP is owned.
        let location = unsafe { self.location() };
        // SAFETY: As above; the device is attached to the lower one.
        unsafe { self.call_and_wait(lower, location) }
    }

    /// Passes the IRP to a device with this location, waits until it is back, and owns it again.
    /// IRQL `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// The caller owns the IRP, which has a location for the device; the device stays until it is back.
    unsafe fn call_and_wait(
        self,
        lower: Ptr<nt_abi::DEVICE_OBJECT>,
        location: IO_STACK_LOCATION,
    ) -> NTSTATUS {
        let done = Event::new();
        done.init();
        // SAFETY: By contract the IRP is owned, and has a location for the device.
        unsafe { self.set_next(location, forwarded, done.as_context()) };
        // SAFETY: The next location was prepared just now.
        unsafe { IofCallDriver(lower.0, self.0) };
        // The completion routine signals in any case, so that the IRP is quiet before it is touched.
        done.wait();
        // SAFETY: `forwarded` stopped the completion, so the IRP is this driver's again.
        unsafe { (*self.0).IoStatus.Status }
    }

    /// Fills in the location of the next driver (`IoCopyCurrentIrpStackLocationToNext` when it is the
    /// current one), with a completion routine for every outcome.
    ///
    /// # Safety
    /// As [`stack`](Self::stack), and the IRP has a location for the next driver, to which it is passed
    /// next.
    pub unsafe fn set_next(
        self,
        mut location: IO_STACK_LOCATION,
        routine: unsafe extern "win64" fn(PDEVICE_OBJECT, *mut IRP, PVOID) -> NTSTATUS,
        context: PVOID,
    ) {
        // SAFETY: By the callers' contract the IRP is owned.
        let stack = unsafe { self.stack() };
        // SAFETY: A device that is attached to another gets IRPs with a location for the lower one,
        // which lies below its own.
        let next = unsafe { stack.sub(1) };
        location.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
        location.CompletionRoutine = Some(routine);
        location.Context = context;
        // SAFETY: As argued for `next`.
        unsafe { next.write(location) };
    }

    /// `IoSetCancelRoutine`: returns whether a routine was set before, that is, whether the caller
    /// won the race against `IoCancelIrp`.
    ///
    /// # Safety
    /// As [`stack`](Self::stack), or a cancel routine for it is set or about to be called.
    pub unsafe fn set_cancel_routine(self, routine: Option<CancelRoutine>) -> bool {
        // SAFETY: The field is pointer-sized, aligned and inside a live IRP; everybody changes it by
        // interlocked exchange.
        let field = unsafe { (&raw mut (*self.0).CancelRoutine).cast::<*mut ()>() };
        // SAFETY: As above.
        let field = unsafe { AtomicPtr::from_ptr(field) };
        let routine = routine.map_or(core::ptr::null_mut(), |routine| routine as *mut ());
        const { assert!(size_of::<PDRIVER_CANCEL>() == size_of::<*mut ()>()) };
        !field.swap(routine, Ordering::AcqRel).is_null()
    }

    /// Whether `IoCancelIrp` was called.
    ///
    /// # Safety
    /// As [`stack`](Self::stack).
    pub unsafe fn is_cancelled(self) -> bool {
        // SAFETY: The field is inside a live IRP; `IoCancelIrp` may set it at any time.
        let field = unsafe { &raw mut (*self.0).Cancel };
        // SAFETY: As above.
        let field = unsafe { AtomicU8::from_ptr(field) };
        field.load(Ordering::Acquire) != 0
    }

    /// The first word of `Tail.Overlay.DriverContext`, which belongs to the driver that owns the IRP.
    ///
    /// # Safety
    /// As [`stack`](Self::stack), or inside a cancel routine of the IRP.
    pub unsafe fn driver_context(self) -> *mut PVOID {
        // SAFETY: By contract the IRP is alive.
        unsafe { (&raw mut (*self.0).DriverContext).cast() }
    }
}

/// The completion routine of [`Irp::forward_and_wait`].
unsafe extern "win64" fn forwarded(_: PDEVICE_OBJECT, _: *mut IRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The context is the event of the thread that waits for exactly this.
    unsafe { Event::signal(context) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// An IRP of this driver's own, freed when dropped.
pub struct OwnedIrp(Irp);

impl OwnedIrp {
    /// An IRP for a device. IRQL <= `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(device: Ptr<DEVICE_OBJECT>) -> Outcome<Self> {
        // SAFETY: The device is one that this driver is attached to, which stays as long.
        let size = unsafe { (*device.0).StackSize };
        // SAFETY: The function fails by returning null.
        let irp = unsafe { IoAllocateIrp(size, FALSE) };
        if irp.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        Ok(Self(Ptr(irp)))
    }

    pub const fn irp(&self) -> Irp {
        self.0
    }

    /// Asks a device, with this location and a status to begin with, and waits for the answer.
    /// IRQL `PASSIVE_LEVEL`.
    ///
    /// # Safety
    /// It is the device that the IRP was made for, which stays until the answer is there.
    pub unsafe fn ask(
        &self,
        device: Ptr<DEVICE_OBJECT>,
        location: IO_STACK_LOCATION,
        status: NTSTATUS,
    ) -> NTSTATUS {
        // SAFETY: The IRP is this driver's own.
        unsafe { self.0.set_status(status) };
        // SAFETY: As above; it was made for the device, which stays by contract.
        unsafe { self.0.call_and_wait(device, location) }
    }

    /// What the last answer gave besides its status, where that is an address.
    pub fn information(&self) -> PVOID {
        // SAFETY: The IRP is this driver's own.
        let information = unsafe { (*self.0.0).IoStatus.Information };
        usize::try_from(information).map_or(
            core::ptr::null_mut(),
            core::ptr::with_exposed_provenance_mut,
        )
    }

    /// Makes it as new, with a status. IRQL <= `DISPATCH_LEVEL`.
    pub fn reuse(&self, status: NTSTATUS) {
        // SAFETY: The IRP is this driver's; the callers see to it that it is with no lower driver.
        unsafe { IoReuseIrp(self.0.0, status) };
    }
}

impl Drop for OwnedIrp {
    fn drop(&mut self) {
        // SAFETY: The IRP was allocated and is this driver's: one that is sent is kept until it is back.
        unsafe { IoFreeIrp(self.0.0) };
    }
}
