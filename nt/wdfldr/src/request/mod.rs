//! `WDFREQUEST`: an IRP while the framework and the client handle it.

mod api;
mod buffers;
mod cancel;
mod complete;
mod control;
mod flight;
mod others;
mod own;
mod read_write;
mod send;
mod transfer;
mod user_buffers;

pub use api::*;
pub use buffers::*;
pub use complete::complete;
pub use control::*;
pub use flight::{Flight, SendTimer};
pub use others::*;
pub use own::*;
pub use read_write::*;
pub use send::*;
pub use user_buffers::*;

use crate::abi::{PFN_WDF_REQUEST_CANCEL, WDF_REQUEST_PARAMETERS};
use crate::device::Device;
use crate::file::{self, File};
use crate::kernel::{Irp, Outcome, OwnedIrp, Ptr, SpinLock, ushort};
use crate::object::{self, Body, ObjectRef, Typed};
use crate::queue::Queue;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use nt_abi::{
    CreateParameters, DeviceIoControlParameters, FILE_OBJECT, IO_STACK_LOCATION, IRP,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_READ,
    IRP_MJ_WRITE, ReadWriteParameters, STATUS_INVALID_DEVICE_STATE,
};

/// A framework request object.
pub struct Request {
    device: Typed<Device>,
    /// The IRP; null when it is completed.
    irp: AtomicPtr<IRP>,
    /// The IRP of a request that the client created, which nobody completes.
    own: Option<OwnedIrp>,
    location: Location,
    file: Option<Typed<File>>,
    /// Whether `EvtIoInCallerContext` has it.
    in_caller_context: AtomicBool,
    /// Whether the cancel routine of a waiting request is set.
    armed: AtomicBool,
    /// Whether the client marked it cancelable.
    cancelable: AtomicBool,
    /// Whether the client's cancel event was or will be called.
    canceled: AtomicBool,
    flight: Flight,
    state: SpinLock<State>,
}

/// The stack location that the request came with.
struct Location(IO_STACK_LOCATION);

// SAFETY: A copy of plain words; the pointers in it are followed by whoever owns the request.
unsafe impl Send for Location {}
// SAFETY: As above.
unsafe impl Sync for Location {}

/// What changes while the request is handled.
struct State {
    queue: Option<Typed<Queue>>,
    cancel: PFN_WDF_REQUEST_CANCEL,
    sending: Sending,
    /// The time-out of a request that was sent with one, once there was any.
    timer: Option<Box<SendTimer>>,
    /// Input and output as memory objects, made when asked for.
    memory: [Option<ObjectRef>; 2],
}

/// Makes the request for an IRP that the dispatch routine owns.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, and then the IRP is still the caller's.
pub fn create(
    device: &Typed<Device>,
    irp: Irp,
    location: &IO_STACK_LOCATION,
) -> Outcome<Typed<Request>> {
    let file = file::find(device, location.FileObject);
    let body = Body::Request(Request::new(device.clone(), irp, *location, file));
    let client = device.object().client();
    let object = object::create(client, body, device.request_attributes(), None)?;
    object.typed().ok_or(STATUS_INVALID_DEVICE_STATE)
}

impl Request {
    fn new(
        device: Typed<Device>,
        irp: Irp,
        location: IO_STACK_LOCATION,
        file: Option<Typed<File>>,
    ) -> Self {
        Self {
            device,
            irp: AtomicPtr::new(irp.0),
            own: None,
            location: Location(location),
            file,
            in_caller_context: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            cancelable: AtomicBool::new(false),
            canceled: AtomicBool::new(false),
            flight: Flight::new(),
            state: SpinLock::new(State {
                queue: None,
                cancel: None,
                sending: Sending::new(),
                timer: None,
                memory: [None, None],
            }),
        }
    }

    pub const fn device(&self) -> &Typed<Device> {
        &self.device
    }

    pub const fn major(&self) -> u8 {
        self.location.0.MajorFunction
    }

    /// The WDM file object that the request came through; may be null.
    pub const fn file_object(&self) -> *mut FILE_OBJECT {
        self.location.0.FileObject
    }

    pub const fn file(&self) -> Option<&Typed<File>> {
        self.file.as_ref()
    }

    /// The IRP, as long as it is not completed.
    pub fn irp(&self) -> Option<Irp> {
        let irp = self.irp.load(Ordering::Acquire);
        (!irp.is_null()).then_some(Ptr(irp))
    }

    /// The queue that the request is in or was presented from.
    pub fn queue(&self) -> Option<Typed<Queue>> {
        self.state.with(|state| state.queue.clone())
    }

    pub fn set_queue(&self, queue: Option<Typed<Queue>>) {
        let previous = self
            .state
            .with(|state| core::mem::replace(&mut state.queue, queue));
        drop(previous);
    }

    /// Says whether `EvtIoInCallerContext` has the request now.
    pub fn set_in_caller_context(&self, is: bool) {
        self.in_caller_context.store(is, Ordering::Release);
    }

    /// Marks the IRP pending, before anybody can complete it.
    pub fn mark_pending(&self) {
        if let Some(irp) = self.irp() {
            // SAFETY: The request owns its IRP until it is completed, and nobody else has the
            // request yet.
            unsafe { irp.mark_pending() };
        }
    }

    const fn control(&self) -> DeviceIoControlParameters {
        // SAFETY: Every member of the union is words.
        unsafe { self.location.0.Parameters.DeviceIoControl }
    }

    const fn transfer(&self) -> ReadWriteParameters {
        // SAFETY: Every member of the union is words.
        unsafe { self.location.0.Parameters.Read }
    }

    const fn creation(&self) -> CreateParameters {
        // SAFETY: Every member of the union is words.
        unsafe { self.location.0.Parameters.Create }
    }

    /// The parameters as `WDF_REQUEST_PARAMETERS` lays them out.
    pub fn parameters(&self) -> [usize; 4] {
        match u32::from(self.major()) {
            IRP_MJ_CREATE => {
                let create = self.creation();
                let shared =
                    (u32::from(create.ShareAccess) << 16) | u32::from(create.FileAttributes);
                let words = [create.Options, shared, create.EaLength].map(|word| word as usize);
                let [options, shared, length] = words;
                [create.SecurityContext.addr(), options, shared, length]
            }
            IRP_MJ_READ | IRP_MJ_WRITE => {
                let transfer = self.transfer();
                // SAFETY: The union has one member.
                let offset = unsafe { transfer.ByteOffset.QuadPart };
                let offset = usize::from_ne_bytes(offset.to_ne_bytes());
                [transfer.Length as usize, transfer.Key as usize, offset, 0]
            }
            IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL => {
                let control = self.control();
                let code = control.IoControlCode;
                let words = [control.OutputBufferLength, control.InputBufferLength, code];
                let [output, input, code] = words.map(|word| word as usize);
                [output, input, code, control.Type3InputBuffer.addr()]
            }
            // SAFETY: Every member of the union is words.
            _ => unsafe { self.location.0.Parameters.Others }.map(<*mut _>::addr),
        }
    }

    /// Fills in `WDF_REQUEST_PARAMETERS`; returns whether its size is right.
    ///
    /// # Safety
    /// `place` is writable as such.
    pub unsafe fn write_parameters(&self, place: *mut WDF_REQUEST_PARAMETERS) -> bool {
        // SAFETY: By contract.
        let parameters = unsafe { &mut *place };
        if usize::from(parameters.Size) < size_of::<WDF_REQUEST_PARAMETERS>() {
            return false;
        }
        *parameters = WDF_REQUEST_PARAMETERS {
            Size: ushort(size_of::<WDF_REQUEST_PARAMETERS>()),
            MinorFunction: self.location.0.MinorFunction,
            Type: i32::from(self.major()),
            Parameters: self.parameters(),
        };
        true
    }
}
