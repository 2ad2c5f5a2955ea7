//! An IRP as a value: owned, completed once, or pended so that it can be cancelled.

use core::{
    mem,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use wdk_sync::Status;
use wdk_sys::{
    DRIVER_CANCEL, IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP, NTSTATUS, PFILE_OBJECT, PIRP,
    STATUS_CANCELLED, STATUS_PENDING, ntddk::IofCompleteRequest,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `SL_PENDING_RETURNED` and `IO_NO_INCREMENT`, whose constants have another type than their places.
const PENDING_RETURNED: u8 = 1;
const NO_INCREMENT: i8 = 0;

/// A request that this driver has and nobody else. One that is dropped is completed with
/// `STATUS_CANCELLED`.
#[must_use]
pub struct Request(NonNull<IRP>);

// SAFETY: An IRP belongs to no thread: whoever has it may complete it.
unsafe impl Send for Request {}

impl Request {
    /// # Safety
    ///
    /// The I/O manager has passed `irp` to a dispatch routine of this driver, and it is given up to
    /// this value.
    pub const unsafe fn new(irp: PIRP) -> Self {
        // SAFETY: The I/O manager passes no null pointer.
        Self(unsafe { NonNull::new_unchecked(irp) })
    }

    /// The control code, and the lengths of input and output.
    #[must_use]
    pub fn control(&self) -> (u32, usize, usize) {
        // SAFETY: Requests are made of IRP_MJ_DEVICE_CONTROL alone.
        let control = unsafe { &self.stack().Parameters.DeviceIoControl };
        (
            control.IoControlCode,
            control.InputBufferLength as usize,
            control.OutputBufferLength as usize,
        )
    }

    /// The file on which it was sent.
    #[must_use]
    pub fn file(&self) -> PFILE_OBJECT {
        self.stack().FileObject
    }

    /// The input, which must be a `T`.
    ///
    /// # Errors
    ///
    /// [`Status::INFO_LENGTH_MISMATCH`] if it has another length.
    pub fn input<T: FromBytes>(&self) -> Result<T, Status> {
        let (_, length, _) = self.control();
        if length != size_of::<T>() {
            return Err(Status::INFO_LENGTH_MISMATCH);
        }
        // SAFETY: With METHOD_BUFFERED the system buffer holds the input, which is not empty.
        let input = unsafe { slice::from_raw_parts(self.buffer(), length) };
        T::read_from_bytes(input).map_err(|_| Status::INFO_LENGTH_MISMATCH)
    }

    /// Completes it with an output, if that has a place, and gives the status.
    pub fn answer<T: IntoBytes + Immutable>(self, output: &T) -> NTSTATUS {
        let output = output.as_bytes();
        let (_, _, room) = self.control();
        if room < output.len() {
            return self.complete(Status::BUFFER_TOO_SMALL, 0);
        }
        // SAFETY: With METHOD_BUFFERED the system buffer has room for the output, and is nobody
        // else's.
        unsafe { ptr::copy_nonoverlapping(output.as_ptr(), self.buffer(), output.len()) };
        self.complete(Status::SUCCESS, output.len())
    }

    /// Completes it, and gives the status.
    #[expect(
        clippy::must_use_candidate,
        reason = "a dispatch routine alone has a use for the status"
    )]
    pub fn complete(self, status: Status, information: usize) -> NTSTATUS {
        self.finish(status.into_raw(), information);
        mem::forget(self);
        status.into_raw()
    }

    fn finish(&self, status: NTSTATUS, information: usize) {
        let mut block = IO_STATUS_BLOCK {
            Information: information as u64,
            ..IO_STATUS_BLOCK::default()
        };
        block.__bindgen_anon_1.Status = status;
        // SAFETY: The request is this driver's.
        unsafe { (*self.0.as_ptr()).IoStatus = block };
        // SAFETY: As above; it is completed once, because its value ends here.
        unsafe { IofCompleteRequest(self.0.as_ptr(), NO_INCREMENT) };
    }

    /// Lets it wait: from now on it can be cancelled, and the dispatch routine returns
    /// `STATUS_PENDING`.
    ///
    /// # Errors
    ///
    /// It comes back as it was if it has been cancelled already.
    ///
    /// # Safety
    ///
    /// The caller holds the lock that `cancel` takes before it looks for the request.
    pub unsafe fn pend(self, cancel: DRIVER_CANCEL) -> Result<Pended, Self> {
        let routine = cancel.map_or(ptr::null_mut(), |routine| routine as *mut ());
        let pended = Pended(self.0);
        pended.routine().swap(routine, Ordering::SeqCst);
        if pended.is_cancelled() && pended.revoke() {
            return Err(self);
        }
        let stack = ptr::from_ref(self.stack()).cast_mut();
        // SAFETY: The stack location is this driver's. Whoever wants to complete the request waits
        // for the caller's lock.
        unsafe { (*stack).Control |= PENDING_RETURNED };
        mem::forget(self);
        Ok(pended)
    }

    /// `IoGetCurrentIrpStackLocation`.
    fn stack(&self) -> &IO_STACK_LOCATION {
        // SAFETY: The request is this driver's.
        let tail = unsafe { &(*self.0.as_ptr()).Tail };
        // SAFETY: While a driver has an IRP, the overlay is in use.
        let overlay = unsafe { &tail.Overlay };
        // SAFETY: As above.
        let stack = unsafe {
            overlay
                .__bindgen_anon_2
                .__bindgen_anon_1
                .CurrentStackLocation
        };
        // SAFETY: It is valid as long as the request is this driver's.
        unsafe { &*stack }
    }

    fn buffer(&self) -> *mut u8 {
        // SAFETY: The request is this driver's.
        let associated = unsafe { &(*self.0.as_ptr()).AssociatedIrp };
        // SAFETY: With METHOD_BUFFERED this is the member in use.
        unsafe { associated.SystemBuffer }.cast()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.finish(STATUS_CANCELLED, 0);
    }
}

/// A request that waits. Whoever is first has it: who [reclaims](Self::reclaim) it, or its cancel
/// routine.
pub struct Pended(NonNull<IRP>);

// SAFETY: As for `Request`.
unsafe impl Send for Pended {}

impl Pended {
    /// What a dispatch routine returns for it.
    pub const STATUS: NTSTATUS = STATUS_PENDING;

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, irp: PIRP) -> bool {
        self.0.as_ptr() == irp
    }

    /// The request, unless its cancel routine runs or is about to.
    #[must_use]
    pub fn reclaim(&self) -> Option<Request> {
        self.revoke().then_some(Request(self.0))
    }

    /// The request, for its cancel routine.
    ///
    /// # Safety
    ///
    /// The cancel routine of this request calls this, once.
    pub const unsafe fn cancelled(self) -> Request {
        Request(self.0)
    }

    /// Whether there was a cancel routine to take away: `IoSetCancelRoutine` with null.
    fn revoke(&self) -> bool {
        !self
            .routine()
            .swap(ptr::null_mut(), Ordering::SeqCst)
            .is_null()
    }

    /// `Irp->CancelRoutine`, as `IoSetCancelRoutine` uses it.
    fn routine(&self) -> &AtomicPtr<()> {
        // SAFETY: A request that waits is not completed.
        let routine = unsafe { &raw mut (*self.0.as_ptr()).CancelRoutine };
        // SAFETY: The member is a pointer, and drivers and the I/O manager exchange it atomically.
        unsafe { AtomicPtr::from_ptr(routine.cast()) }
    }

    /// `Irp->Cancel`.
    fn is_cancelled(&self) -> bool {
        // SAFETY: A request that waits is not completed.
        let cancel = unsafe { &raw mut (*self.0.as_ptr()).Cancel };
        // SAFETY: The member is a byte; the I/O manager writes it while drivers read it.
        unsafe { AtomicU8::from_ptr(cancel) }.load(Ordering::SeqCst) != 0
    }
}
