//! Requests that the I/O manager sends itself: an IRP, its buffer, and what came of it.

use core::{
    cell::UnsafeCell,
    ptr, slice,
    sync::atomic::{AtomicU8, Ordering},
};
use std::sync::{Arc, OnceLock};

use nt_abi::{
    _EVENT_TYPE::NotificationEvent, _KWAIT_REASON::Executive, _MODE::KernelMode, FALSE,
    IO_STATUS_BLOCK, KEVENT, NTSTATUS, PIO_STATUS_BLOCK, PKEVENT, PVOID, STATUS_PENDING,
};

use super::{
    call,
    irp::{Irp, Stack},
    object::{DeviceObject, FileObject},
    packet::{self, Origin},
    violation,
};
use crate::{
    Rules,
    address::to_usize,
    ke::{
        event::ddk::{KeInitializeEvent, KeSetEvent},
        wait::ddk::KeWaitForSingleObject,
    },
    thread::Thread,
    verifier,
};

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub status: NTSTATUS,
    pub information: u64,
    /// Whether some driver had marked the IRP as pending.
    pending: bool,
}

/// A buffer that drivers read and write: `Irp->AssociatedIrp.SystemBuffer`.
#[derive(Debug)]
pub struct SystemBuffer {
    words: Box<[UnsafeCell<u64>]>,
}

// SAFETY: The driver that owns the IRP has the buffer; the kernel looks into it before the IRP is
// sent and after it is completed.
unsafe impl Send for SystemBuffer {}
// SAFETY: As above.
unsafe impl Sync for SystemBuffer {}

impl SystemBuffer {
    /// A buffer of at least `size` bytes that begins with `content`.
    pub fn new(size: usize, content: &[u8]) -> Self {
        let mut words = vec![0_u64; size.max(content.len()).div_ceil(8)];
        for (word, bytes) in words.iter_mut().zip(content.chunks(8)) {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(value);
        }
        Self {
            words: words.into_iter().map(UnsafeCell::new).collect(),
        }
    }

    /// Where it lies; null if it is empty.
    pub fn address(&self) -> PVOID {
        self.words
            .first()
            .map_or(ptr::null_mut(), |first| first.get().cast())
    }

    /// Copies its beginning to `to`. Only after the IRP was completed.
    pub fn copy_to(&self, to: &mut [u8]) {
        let length = to.len().min(self.words.len() * 8);
        if length == 0 {
            return;
        }
        // SAFETY: The buffer is that long; drivers are done with it.
        let from = unsafe { slice::from_raw_parts(self.address().cast::<u8>(), length) };
        to[..length].copy_from_slice(from);
    }
}

/// Where a driver that built a request wants its result (`IoBuildDeviceIoControlRequest`).
#[derive(Debug)]
pub struct Sender {
    pub event: PKEVENT,
    pub status: PIO_STATUS_BLOCK,
    pub output: *mut u8,
    pub output_length: usize,
}

// SAFETY: The pointers are the driver's, which keeps what they point to until the event is set.
unsafe impl Send for Sender {}
// SAFETY: As above.
unsafe impl Sync for Sender {}

const SENT: u8 = 0;
const AWAITED: u8 = 1;
const DONE: u8 = 2;

/// A request on its way.
#[derive(Debug)]
pub struct Request {
    pub buffer: SystemBuffer,
    file: Option<FileObject>,
    sender: Option<Sender>,
    outcome: OnceLock<Outcome>,
    state: AtomicU8,
    event: UnsafeCell<EventCell>,
}

/// A `KEVENT` with a `Debug` implementation.
#[derive(Default)]
struct EventCell(#[expect(dead_code, reason = "the dispatcher reaches it by its address")] KEVENT);

impl core::fmt::Debug for EventCell {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KEVENT")
    }
}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the raw pointers in it belong to no thread"
)]
// SAFETY: The event is accessed by the dispatcher alone, which has its lock.
unsafe impl Send for Request {}
// SAFETY: As above.
unsafe impl Sync for Request {}

impl Request {
    /// A request with its IRP, ready for its first driver. `prepare` sets what differs from request to
    /// request.
    pub fn build(
        thread: &Thread,
        target: DeviceObject,
        file: Option<FileObject>,
        buffer: SystemBuffer,
        sender: Option<Sender>,
        prepare: impl FnOnce(Irp, Stack),
    ) -> (Arc<Self>, Irp) {
        let request = Arc::new(Self {
            buffer,
            file,
            sender,
            outcome: OnceLock::new(),
            state: AtomicU8::new(SENT),
            event: UnsafeCell::default(),
        });
        let irp = packet::allocate(target.stack_size(), Origin::Request(Arc::clone(&request)));
        irp.set_thread(thread.kthread());
        irp.set_system_buffer(request.buffer.address());
        if let Some(file) = file {
            irp.set_original_file(file.as_ptr());
        }
        if let Some(stack) = call::next_stack(irp) {
            stack.set_file(file.map_or(ptr::null_mut(), FileObject::as_ptr));
            prepare(irp, stack);
        }
        if let Some(file) = file {
            file.kernel().requests.lock().push(irp);
        }
        (request, irp)
    }

    /// Takes the IRP back from its last driver.
    pub fn complete(&self, irp: Irp) {
        if let Some(file) = self.file {
            file.kernel().requests.lock().retain(|other| *other != irp);
        }
        let outcome = Outcome {
            status: irp.status(),
            information: irp.information(),
            pending: irp.pending_returned() != FALSE,
        };
        if let Some(sender) = &self.sender {
            sender.tell(&outcome, &self.buffer);
        }
        // Set once: the IRP is freed here and cannot be completed again.
        let _ = self.outcome.set(outcome);
        crate::mm::mdl::free_chain(irp.mdl());
        packet::release(irp);
        if self.state.swap(DONE, Ordering::AcqRel) == AWAITED {
            // SAFETY: The waiter has initialised the event, and keeps the request.
            unsafe { KeSetEvent(self.event.get().cast(), 0, FALSE) };
        }
    }

    /// Waits until the request is done.
    pub fn wait(&self) -> Outcome {
        let event: PKEVENT = self.event.get().cast();
        if self.outcome.get().is_none() {
            // SAFETY: The event is part of this request, and nobody uses it before it is awaited.
            unsafe { KeInitializeEvent(event, NotificationEvent, FALSE) };
            let sent =
                self.state
                    .compare_exchange(SENT, AWAITED, Ordering::AcqRel, Ordering::Acquire);
            if sent.is_ok() {
                // SAFETY: The event was initialised; the wait is at `PASSIVE_LEVEL`, as requests are.
                unsafe {
                    KeWaitForSingleObject(
                        event.cast(),
                        Executive,
                        KernelMode as i8,
                        FALSE,
                        ptr::null_mut(),
                    )
                };
            }
        }
        // `complete` has set it before it was done.
        *self.outcome.wait()
    }
}

impl Sender {
    fn tell(&self, outcome: &Outcome, buffer: &SystemBuffer) {
        let length = self.output_length.min(to_usize(outcome.information));
        if length != 0 && (outcome.status.cast_unsigned() >> 30) != 3 {
            // SAFETY: The driver gave an output buffer of that length, and waits for the event.
            buffer.copy_to(unsafe { slice::from_raw_parts_mut(self.output, length) });
        }
        if !self.status.is_null() {
            let status = IO_STATUS_BLOCK {
                Status: outcome.status,
                Information: outcome.information,
            };
            // SAFETY: As above.
            unsafe { self.status.write(status) };
        }
        if !self.event.is_null() {
            // SAFETY: As above; the driver has initialised the event.
            unsafe { KeSetEvent(self.event, 0, FALSE) };
        }
    }
}

/// Sends a request to the top of a device's stack and waits for it.
pub fn send(
    thread: &Thread,
    device: DeviceObject,
    file: Option<FileObject>,
    buffer: SystemBuffer,
    prepare: impl FnOnce(Irp, Stack),
) -> (Arc<Request>, Outcome) {
    let top = device.top();
    let (request, irp) = Request::build(thread, top, file, buffer, None, prepare);
    let returned = call::call(thread, top, irp);
    let outcome = if returned == STATUS_PENDING {
        request.wait()
    } else {
        let Some(outcome) = request.outcome.get() else {
            not_completed(top, irp)
        };
        *outcome
    };
    if verifier::checks(Rules::IO) {
        check(top, returned, &outcome);
    }
    (request, outcome)
}

#[cold]
fn not_completed(device: DeviceObject, irp: Irp) -> ! {
    violation::raise(
        0x226,
        Some(irp),
        Some(device),
        "IofCallDriver",
        "The dispatch routine returned without passing the IRP on or completing it, or it should have \
         returned STATUS_PENDING.",
    )
}

/// What a dispatch routine returns must fit what it does with the IRP.
fn check(device: DeviceObject, returned: NTSTATUS, outcome: &Outcome) {
    let name = "IofCallDriver";
    let pending = returned == STATUS_PENDING;
    if pending && !outcome.pending {
        let sentence =
            "The dispatch routine returned STATUS_PENDING and did not call IoMarkIrpPending.";
        violation::raise(0x23D, None, Some(device), name, sentence);
    }
    if !pending && outcome.pending {
        let sentence =
            "The dispatch routine called IoMarkIrpPending and did not return STATUS_PENDING.";
        violation::raise(0x23E, None, Some(device), name, sentence);
    }
    if !pending && returned != outcome.status {
        let sentence = format!(
            "The dispatch routine returned 0x{returned:08X}, and the IRP's status is 0x{:08X}.",
            outcome.status
        );
        violation::raise(0x224, None, Some(device), name, sentence);
    }
}
