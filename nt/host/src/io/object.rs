//! Driver, device and file objects: what of them is NT's, and what the kernel keeps beside it.

use core::{
    cell::UnsafeCell,
    fmt,
    ptr::{self, NonNull},
    sync::atomic::AtomicBool,
};
use std::sync::Arc;

use nt_abi::{
    CCHAR, CSHORT, DEVICE_OBJECT, DRIVER_EXTENSION, DRIVER_OBJECT, FILE_OBJECT, IO_TYPE_DEVICE,
    PDEVICE_OBJECT, PDRIVER_ADD_DEVICE, PDRIVER_DISPATCH, PDRIVER_OBJECT, PDRIVER_UNLOAD,
    PFILE_OBJECT, PVOID, ULONG, UNICODE_STRING, USHORT,
};
use parking_lot::Mutex;

use super::{fields::fields, irp::Irp, remove_tags};
use crate::ob::{self, ObjectType};

/// `IoDriverObjectType`.
pub static DRIVER_TYPE: ObjectType = ObjectType::new("Driver");
/// `IoDeviceObjectType`.
pub static DEVICE_TYPE: ObjectType = ObjectType::new("Device");
/// `IoFileObjectType`.
pub static FILE_TYPE: ObjectType = ObjectType {
    name: "File",
    handles_closed: Some(super::file::handles_closed),
    last_reference: Some(super::file::last_reference),
};

/// UTF-16 text that lives in one place, for the strings that NT structures point to.
#[derive(Debug)]
pub struct Text(Box<[u16]>);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = &self.0[..self.0.len() - 1];
        f.write_str(&String::from_utf16_lossy(units))
    }
}

impl Text {
    pub fn new(text: &str) -> Self {
        Self(text.encode_utf16().chain([0]).collect())
    }

    /// The text as a counted string that borrows it.
    pub fn counted(&self) -> UNICODE_STRING {
        let size = self.0.len() * size_of::<u16>();
        let maximum = USHORT::try_from(size).unwrap_or(USHORT::MAX - 1);
        UNICODE_STRING {
            Length: maximum - 2,
            MaximumLength: maximum,
            Buffer: self.0.as_ptr().cast_mut(),
        }
    }
}

/// Zeroed memory for a driver's own use (an extension), aligned to 16.
#[derive(Debug)]
pub struct Extension(Box<[UnsafeCell<u128>]>);

// SAFETY: The kernel gives out the address and never looks inside: what the memory is used for, and
// by which thread, is the driver's business.
unsafe impl Send for Extension {}
// SAFETY: As above.
unsafe impl Sync for Extension {}

impl Drop for Extension {
    fn drop(&mut self) {
        let start = self.address() as u64;
        remove_tags::forget(&(start..start + size_of_val(&*self.0) as u64));
    }
}

impl Extension {
    pub fn new(size: ULONG) -> Self {
        let words = (size as usize).div_ceil(size_of::<u128>());
        Self((0..words).map(|_| UnsafeCell::new(0)).collect())
    }

    /// Where it lies; null if it has no size.
    pub fn address(&self) -> PVOID {
        self.0
            .first()
            .map_or(ptr::null_mut(), |first| first.get().cast())
    }
}

/// What an object body consists of: the part that NT defines, in driver's hands, and the kernel's.
#[repr(C)]
pub struct Body<T, K> {
    nt: UnsafeCell<T>,
    kernel: K,
}

// SAFETY: The NT part is reached through raw pointers, field by field, under the rules of the I/O
// manager; the kernel's part is shared as it is.
unsafe impl<T, K: Sync> Sync for Body<T, K> {}
#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the raw pointers in it belong to no thread"
)]
// SAFETY: As above.
unsafe impl<T, K: Send> Send for Body<T, K> {}

/// Declares a value that stands for an object of the I/O manager that is alive.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident: $nt:ident, $pointer:ident, $kernel:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name(NonNull<$nt>);

        // SAFETY: Objects are used by every thread.
        unsafe impl Send for $name {}
        // SAFETY: As above.
        unsafe impl Sync for $name {}

        impl $name {
            /// Makes the object; its first reference belongs to the caller.
            pub fn create(nt: $nt, kernel: $kernel) -> Self {
                let body = ob::create(&$kind, Body { nt: UnsafeCell::new(nt), kernel });
                Self(NonNull::from(&body.nt).cast())
            }

            /// The object at `pointer`; `None` if that is null.
            ///
            /// # Safety
            ///
            /// It must be an object that [`create`](Self::create) made, and be alive as long as the
            /// value and its copies are used.
            pub const unsafe fn new(pointer: $pointer) -> Option<Self> {
                match NonNull::new(pointer) {
                    Some(pointer) => Some(Self(pointer)),
                    None => None,
                }
            }

            /// The pointer that drivers know it by.
            pub const fn as_ptr(self) -> $pointer {
                self.0.as_ptr()
            }

            /// What the kernel keeps of it.
            pub fn kernel(self) -> &'static $kernel {
                let body = self.as_ptr().cast::<Body<$nt, $kernel>>();
                // SAFETY: The value stands for a body that `create` made and that is alive; the
                // callers keep the reference no longer than the value.
                unsafe { &(*body).kernel }
            }

            /// Gives up a reference that the caller owns.
            pub fn dereference(self) {
                // SAFETY: The object is alive; the caller owns a reference, as the name says.
                unsafe { ob::dereference(self.as_ptr().cast(), "ObfDereferenceObject") };
            }
        }
    };
}

object! {
    /// A driver object.
    DriverObject: DRIVER_OBJECT, PDRIVER_OBJECT, DriverPart, DRIVER_TYPE
}

/// What the kernel keeps of a driver.
#[derive(Debug)]
pub struct DriverPart {
    /// The driver's name, the last part of that of its object.
    pub name: Arc<str>,
    /// `\Driver\NAME`.
    pub object_name: Text,
    /// The name of the service's registry key.
    pub service_key: Text,
    /// Where the `DRIVER_EXTENSION` lies.
    pub extension: Box<UnsafeExtension>,
    /// What `IoAllocateDriverObjectExtension` allocated, by the client's address.
    pub client_extensions: Mutex<Vec<(usize, Extension)>>,
}

/// The `DRIVER_EXTENSION`, which the driver changes.
#[derive(Debug)]
pub struct UnsafeExtension(pub UnsafeCell<DRIVER_EXTENSION>);

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the raw pointers in it belong to no thread"
)]
// SAFETY: As for the NT part of a body.
unsafe impl Send for UnsafeExtension {}
// SAFETY: As above.
unsafe impl Sync for UnsafeExtension {}

fields! {
    DriverObject;
    get {
        first_device: PDEVICE_OBJECT = DeviceObject;
        unload: PDRIVER_UNLOAD = DriverUnload;
        majors: [PDRIVER_DISPATCH; 28] = MajorFunction;
    }
    set {
        set_first_device: PDEVICE_OBJECT = DeviceObject;
        set_majors: [PDRIVER_DISPATCH; 28] = MajorFunction;
    }
}

impl DriverObject {
    /// Takes a reference.
    pub fn reference(self) {
        // SAFETY: The object is alive.
        unsafe { ob::reference(self.as_ptr().cast(), "ObfReferenceObject") };
    }

    /// The dispatch routine for a major function code.
    #[inline]
    pub fn dispatch_routine(self, major: u8) -> PDRIVER_DISPATCH {
        // SAFETY: The object is alive; a routine is read as a whole, and the index is inside.
        let routines = unsafe { &raw const (*self.as_ptr()).MajorFunction };
        let routine = routines
            .cast::<PDRIVER_DISPATCH>()
            .wrapping_add(usize::from(major.min(27)));
        // SAFETY: As above: there are 28 routines.
        unsafe { routine.read() }
    }

    /// The driver's `AddDevice` routine.
    pub fn add_device_routine(self) -> PDRIVER_ADD_DEVICE {
        let extension = self.kernel().extension.0.get();
        // SAFETY: The extension lives with the object.
        unsafe { (*extension).AddDevice }
    }

    /// The driver's devices, the one that was created last first.
    pub fn devices(self) -> Vec<DeviceObject> {
        let mut devices = Vec::new();
        // SAFETY: What a driver's list links are devices that are alive, or null.
        let mut next = unsafe { DeviceObject::new(self.first_device()) };
        while let Some(device) = next {
            devices.push(device);
            // SAFETY: As above.
            next = unsafe { DeviceObject::new(device.next_device()) };
        }
        devices
    }
}

object! {
    /// A device object.
    DeviceObject: DEVICE_OBJECT, PDEVICE_OBJECT, DevicePart, DEVICE_TYPE
}

/// What the kernel keeps of a device.
#[derive(Debug)]
pub struct DevicePart {
    /// Its name in the namespace, if it has one.
    pub name: Option<String>,
    /// The memory that `DeviceExtension` points to.
    pub extension: Extension,
    /// Whether opens are exclusive.
    pub exclusive: bool,
    /// What changes.
    pub state: Mutex<DeviceState>,
}

/// What changes of a device, under the lock of [`DevicePart::state`].
#[derive(Debug, Default)]
pub struct DeviceState {
    /// The device that this one is attached to.
    pub lower: Option<DeviceObject>,
    /// `IoDeleteDevice` was called; the object goes with its last reference.
    pub deleted: bool,
    /// How many files are open on it.
    pub opens: u32,
}

fields! {
    DeviceObject;
    get {
        kind: CSHORT = Type;
        driver_pointer: PDRIVER_OBJECT = DriverObject;
        next_device: PDEVICE_OBJECT = NextDevice;
        upper_pointer: PDEVICE_OBJECT = AttachedDevice;
        flags: ULONG = Flags;
        stack_size: CCHAR = StackSize;
        alignment: ULONG = AlignmentRequirement;
        sector_size: USHORT = SectorSize;
    }
    set {
        set_kind: CSHORT = Type;
        set_next_device: PDEVICE_OBJECT = NextDevice;
        set_upper: PDEVICE_OBJECT = AttachedDevice;
        set_flags: ULONG = Flags;
        set_stack_size: CCHAR = StackSize;
        set_alignment: ULONG = AlignmentRequirement;
        set_sector_size: USHORT = SectorSize;
        set_reference_count: i32 = ReferenceCount;
    }
}

impl DeviceObject {
    /// Takes a reference.
    pub fn reference(self) {
        // SAFETY: The object is alive.
        unsafe { ob::reference(self.as_ptr().cast(), "ObfReferenceObject") };
    }

    /// The address, as a parameter of bug checks.
    pub fn address(self) -> u64 {
        self.as_ptr() as u64
    }

    /// Whether it is one, by its `Type`.
    pub fn is_valid(self) -> bool {
        self.kind() == IO_TYPE_DEVICE
    }

    /// The driver whose device it is.
    pub fn driver(self) -> Option<DriverObject> {
        // SAFETY: A device's driver object lives longer than the device.
        unsafe { DriverObject::new(self.driver_pointer()) }
    }

    /// The device that is attached to this one.
    pub fn upper(self) -> Option<Self> {
        // SAFETY: Who is attached is alive until it is detached.
        unsafe { Self::new(self.upper_pointer()) }
    }

    /// The topmost device of the stack that this one is in.
    pub fn top(self) -> Self {
        let mut top = self;
        while let Some(upper) = top.upper() {
            top = upper;
        }
        top
    }
}

object! {
    /// A file object.
    FileObject: FILE_OBJECT, PFILE_OBJECT, FilePart, FILE_TYPE
}

/// What the kernel keeps of a file.
#[derive(Debug)]
pub struct FilePart {
    /// The name that was opened, below the device's.
    pub name: Text,
    /// Whether handles of the kernel's table refer to it: the last reference closes it then.
    pub by_handle: AtomicBool,
    /// The requests on their way, for cancellation.
    pub requests: Mutex<Vec<Irp>>,
}

fields! {
    FileObject;
    get {
        device_pointer: PDEVICE_OBJECT = DeviceObject;
    }
    set {
        set_name: UNICODE_STRING = FileName;
        set_flags: ULONG = Flags;
    }
}
