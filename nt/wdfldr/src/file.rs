//! `WDFFILEOBJECT`: an open handle to a device, from create to close.

use crate::abi::{
    PFN_WDF_DEVICE_FILE_CREATE, PFN_WDF_FILE_EVENT, WDF_DRIVER_GLOBALS, WDF_FILEOBJECT_CONFIG,
    WDFDEVICE, WDFFILEOBJECT, WDFOBJECT, WdfFalse, WdfFileObjectCanBeOptional,
    WdfFileObjectNotRequired, WdfFileObjectWdfCanUseFsContext, WdfFileObjectWdfCanUseFsContext2,
    WdfTrue,
};
use crate::callback_lock::{CallbackLock, Constraints, Scope, synchronized};
use crate::device::Device;
use crate::kernel::{
    Irp, KeEnterCriticalRegion, KeLeaveCriticalRegion, Outcome, Ptr, current_irql,
};
use crate::object::{self, Attributes, Body, Typed, lookup, lookup_raw};
use crate::queue;
use crate::request::{self, Request};
use core::sync::atomic::{AtomicPtr, Ordering};
use nt_abi::{
    APC_LEVEL, FILE_OBJECT, IO_STACK_LOCATION, NTSTATUS, PUNICODE_STRING, PVOID,
    STATUS_ACCESS_DENIED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_PENDING,
    STATUS_SUCCESS, ULONG,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// What a device does about files: `WdfDeviceInitSetFileObjectConfig`.
#[derive(Clone, Copy)]
pub struct FileSetup {
    create: PFN_WDF_DEVICE_FILE_CREATE,
    close: PFN_WDF_FILE_EVENT,
    cleanup: PFN_WDF_FILE_EVENT,
    forward: i32,
    class: u32,
    attributes: Attributes,
    /// Those of the attributes, if the client gave some; else the framework synchronizes nothing.
    constraints: Constraints,
    explicit: bool,
}

impl FileSetup {
    /// Without a configuration there are no file objects.
    pub const NONE: Self = Self {
        create: None,
        close: None,
        cleanup: None,
        forward: crate::abi::WdfUseDefault,
        class: WdfFileObjectNotRequired,
        attributes: Attributes::DEFAULT,
        constraints: Constraints::DEFAULT,
        explicit: false,
    };

    /// `attributes` are the client's, if it gave some.
    pub fn new(config: &WDF_FILEOBJECT_CONFIG, attributes: Option<Attributes>) -> Self {
        Self {
            create: config.EvtDeviceFileCreate,
            close: config.EvtFileClose,
            cleanup: config.EvtFileCleanup,
            forward: config.AutoForwardCleanupClose,
            class: config.FileObjectClass,
            attributes: attributes.unwrap_or(Attributes::DEFAULT),
            constraints: Constraints::DEFAULT,
            explicit: attributes.is_some(),
        }
    }

    /// Resolves execution level and synchronization scope under a device with these.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_REQUEST` for the scope queue, and for the scope device where the device's
    /// callbacks do not run at `PASSIVE_LEVEL`, at which those of files run.
    pub const fn constrain(&mut self, device: Constraints) -> Outcome {
        if self.explicit {
            self.constraints = device.under(self.attributes.raw());
        }
        match self.constraints.scope {
            Scope::Queue => Err(STATUS_INVALID_DEVICE_REQUEST),
            Scope::Device if !device.passive => Err(STATUS_INVALID_DEVICE_REQUEST),
            Scope::Device | Scope::None => Ok(()),
        }
    }

    pub const fn constraints(&self) -> Constraints {
        self.constraints
    }

    const fn wanted(&self) -> bool {
        self.class & !WdfFileObjectCanBeOptional != WdfFileObjectNotRequired
    }

    /// Whether create, cleanup and close go on to the lower drivers.
    const fn forwards(&self, filter: bool) -> bool {
        match self.forward {
            WdfTrue => true,
            WdfFalse => false,
            _ => filter,
        }
    }
}

/// A framework file object.
pub struct File {
    device: WDFDEVICE,
    wdm: AtomicPtr<FILE_OBJECT>,
}

impl File {
    pub const fn device(&self) -> WDFDEVICE {
        self.device
    }

    /// Whether its events run one at a time with those of the device's queues.
    pub fn is_synchronized(&self) -> bool {
        lookup::<Device>(self.device).files.constraints.scope == Scope::Device
    }

    pub fn wdm(&self) -> *mut FILE_OBJECT {
        self.wdm.load(Ordering::Acquire)
    }
}

/// The lock that is held around the events of a device's files.
fn callback_lock(device: &Device) -> Option<&CallbackLock> {
    (device.files.constraints.scope == Scope::Device).then(|| device.callback_lock())
}

/// Where the framework keeps its handle in a WDM file object, if the client lets it.
///
/// # Safety
/// `file` is null or the file object of a request to a device with this setup.
unsafe fn place(setup: &FileSetup, file: *mut FILE_OBJECT) -> Option<*mut PVOID> {
    if file.is_null() {
        return None;
    }
    match setup.class & !WdfFileObjectCanBeOptional {
        // SAFETY: By contract the file object is alive; the context is the driver's.
        WdfFileObjectWdfCanUseFsContext => Some(unsafe { &raw mut (*file).FsContext }),
        // SAFETY: As above.
        WdfFileObjectWdfCanUseFsContext2 => Some(unsafe { &raw mut (*file).FsContext2 }),
        _ => None,
    }
}

/// The framework's file object for a WDM one of the device.
pub fn find(device: &Typed<Device>, file: *mut FILE_OBJECT) -> Option<Typed<File>> {
    if file.is_null() || !device.files.wanted() {
        return None;
    }
    // SAFETY: The file object came with a request to this device, or from its client.
    let Some(place) = (unsafe { place(&device.files, file) }) else {
        return device.find_file(file);
    };
    // SAFETY: The word is null or the handle that `create` put there; it is not followed.
    let handle = unsafe { place.read() };
    lookup_raw(WDFOBJECT(handle.addr()))?.typed()
}

/// Makes the framework's file object.
fn open(device: &Typed<Device>, file: *mut FILE_OBJECT) -> Outcome<Option<Typed<File>>> {
    let setup = &device.files;
    if !setup.wanted() {
        return Ok(None);
    }
    if file.is_null() {
        let optional = setup.class & WdfFileObjectCanBeOptional != 0;
        return if optional {
            Ok(None)
        } else {
            Err(STATUS_INVALID_PARAMETER)
        };
    }
    let body = Body::File(File {
        device: device.handle(),
        wdm: AtomicPtr::new(file),
    });
    let client = device.object().client();
    let object = object::create(client, body, &setup.attributes, Some(device.object()))?;
    object.make_permanent();
    // SAFETY: The file object came with the create request.
    if let Some(place) = unsafe { place(setup, file) } {
        // SAFETY: The client gave this word of its file objects to the framework.
        unsafe { place.write(core::ptr::without_provenance_mut(object.handle().0)) };
    } else {
        device
            .add_file(file, &object)
            .inspect_err(|_| object::delete(&object))?;
    }
    Ok(object.typed())
}

/// Takes the framework's file object away from a WDM one and deletes it.
fn forget(device: &Typed<Device>, file: *mut FILE_OBJECT) {
    let Some(object) = find(device, file) else {
        return;
    };
    // SAFETY: The file object came with a request to this device.
    if let Some(place) = unsafe { place(&device.files, file) } {
        // SAFETY: As in `open`.
        unsafe { place.write(core::ptr::null_mut()) };
    } else {
        device.remove_file(file);
    }
    object::delete(object.object());
}

/// `IRP_MJ_CREATE`. IRQL `PASSIVE_LEVEL`.
pub fn create(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    if !device.open_handle() {
        // SAFETY: The dispatch routine owns the IRP.
        return unsafe { irp.complete(STATUS_ACCESS_DENIED) };
    }
    let failed = |status| {
        forget(device, location.FileObject);
        device.close_handle();
        // SAFETY: As above.
        unsafe { irp.complete(status) }
    };
    let file = match open(device, location.FileObject) {
        Ok(file) => file,
        Err(status) => return failed(status),
    };
    let queue = device.route(location.MajorFunction);
    if queue.is_none() && device.files.create.is_none() {
        return if device.files.forwards(device.is_filter()) && !device.lower().is_null() {
            // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
            unsafe { irp.forward(device.lower()) }
        } else {
            // SAFETY: As above.
            unsafe { irp.complete(STATUS_SUCCESS) }
        };
    }
    let request = match request::create(device, irp, location) {
        Ok(request) => request,
        Err(status) => return failed(status),
    };
    if let Some(queue) = queue {
        return queue::submit(&queue, &request);
    }
    present(device, &request, file.as_ref());
    STATUS_PENDING
}

/// Calls `EvtDeviceFileCreate`, in a critical region as all request handlers are.
fn present(device: &Typed<Device>, request: &Typed<Request>, file: Option<&Typed<File>>) {
    request.mark_pending();
    let file = file.map_or(WDFOBJECT::NULL, Typed::handle);
    let region = u32::from(current_irql()) <= APC_LEVEL;
    if region {
        // SAFETY: At or below `APC_LEVEL`; left below, on the same thread.
        unsafe { KeEnterCriticalRegion() };
    }
    if let Some(event) = device.files.create {
        synchronized(callback_lock(device), || {
            // SAFETY: The client registered the event for its device and owns the request now.
            unsafe { event(device.handle(), request.handle(), file) };
        });
    } else {
        request::complete(request, STATUS_INVALID_DEVICE_REQUEST, Some(0), 0);
    }
    if region {
        // SAFETY: Entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
}

/// A create request is completed with an error: there will be no cleanup and no close.
pub fn abandon(request: &Request) {
    let device = request.device();
    forget(device, request.file_object());
    device.close_handle();
}

/// Tells the client of a file's cleanup or close.
fn notify(device: &Typed<Device>, location: &IO_STACK_LOCATION, event: PFN_WDF_FILE_EVENT) {
    if let Some(event) = event {
        let file = find(device, location.FileObject);
        let file = file.as_ref().map_or(WDFOBJECT::NULL, Typed::handle);
        // SAFETY: The client registered the event for the device's files.
        synchronized(callback_lock(device), || unsafe { event(file) });
    }
}

/// `IRP_MJ_CLEANUP`: the last handle is closed. Waiting requests of the file are cancelled.
/// IRQL `PASSIVE_LEVEL`.
pub fn cleanup(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    notify(device, location, device.files.cleanup);
    if !location.FileObject.is_null() {
        device.each_queue(|queue| queue.flush_file(location.FileObject));
    }
    finish(device, irp)
}

/// `IRP_MJ_CLOSE`: no request of the file is left. IRQL `PASSIVE_LEVEL`.
pub fn close(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    notify(device, location, device.files.close);
    forget(device, location.FileObject);
    device.close_handle();
    finish(device, irp)
}

/// Ends a cleanup or close request here or in the lower drivers.
fn finish(device: &Device, irp: Irp) -> NTSTATUS {
    if device.files.forwards(device.is_filter()) && !device.lower().is_null() {
        // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
        unsafe { irp.forward(device.lower()) }
    } else {
        // SAFETY: As above.
        unsafe { irp.complete(STATUS_SUCCESS) }
    }
}

/// `WdfFileObjectGetFileName`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfFileObjectGetFileName(
    _: Globals,
    FileObject: WDFFILEOBJECT,
) -> PUNICODE_STRING {
    let file = lookup::<File>(FileObject).wdm();
    // SAFETY: The WDM file object outlives the framework's.
    unsafe { &raw mut (*file).FileName }
}

/// `WdfFileObjectGetFlags`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfFileObjectGetFlags(_: Globals, FileObject: WDFFILEOBJECT) -> ULONG {
    let file = lookup::<File>(FileObject).wdm();
    // SAFETY: As above.
    unsafe { (*file).Flags }
}

/// `WdfFileObjectGetDevice`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfFileObjectGetDevice(
    _: Globals,
    FileObject: WDFFILEOBJECT,
) -> WDFDEVICE {
    lookup::<File>(FileObject).device
}

/// `WdfFileObjectWdmGetFileObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfFileObjectWdmGetFileObject(
    _: Globals,
    FileObject: WDFFILEOBJECT,
) -> *mut FILE_OBJECT {
    lookup::<File>(FileObject).wdm()
}

/// The files of a device whose file objects belong to somebody else
/// (`WdfFileObjectWdfCannotUseFsContexts`).
pub type OpenFile = (Ptr<FILE_OBJECT>, WDFFILEOBJECT);
