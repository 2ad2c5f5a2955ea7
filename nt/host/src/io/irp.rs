//! An IRP and its stack locations, field by field.

use core::{
    mem::transmute,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use nt_abi::{
    BOOLEAN, CCHAR, CHAR, CSHORT, IO_STACK_LOCATION, IO_STATUS_BLOCK, IO_TYPE_IRP, IRP,
    IoStackParameters, KIRQL, KPROCESSOR_MODE, LIST_ENTRY, NTSTATUS, PDEVICE_OBJECT,
    PDRIVER_CANCEL, PETHREAD, PFILE_OBJECT, PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION,
    PIO_STATUS_BLOCK, PIRP, PKEVENT, PMDL, PVOID, TRUE, UCHAR, ULONG_PTR, USHORT,
};

use super::fields::fields;

/// An IRP that is alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Irp(NonNull<IRP>);

// SAFETY: An IRP passes from thread to thread; the rules of the I/O manager say who owns it when.
unsafe impl Send for Irp {}

fields! {
    Irp;
    get {
        kind: CSHORT = Type;
        status: NTSTATUS = IoStatus.Status;
        information: ULONG_PTR = IoStatus.Information;
        stack_count: CHAR = StackCount;
        current_location: CHAR = CurrentLocation;
        current_stack: PIO_STACK_LOCATION = CurrentStackLocation;
        pending_returned: BOOLEAN = PendingReturned;
        allocation_flags: UCHAR = AllocationFlags;
        mdl: PMDL = MdlAddress;
        thread: PETHREAD = Thread;
    }
    set {
        set_kind: CSHORT = Type;
        set_size: USHORT = Size;
        set_status: NTSTATUS = IoStatus.Status;
        set_information: ULONG_PTR = IoStatus.Information;
        set_io_status: IO_STATUS_BLOCK = IoStatus;
        set_stack_count: CHAR = StackCount;
        set_current_location: CHAR = CurrentLocation;
        set_current_stack: PIO_STACK_LOCATION = CurrentStackLocation;
        set_pending_returned: BOOLEAN = PendingReturned;
        set_cancel_irql: KIRQL = CancelIrql;
        set_apc_environment: CCHAR = ApcEnvironment;
        set_allocation_flags: UCHAR = AllocationFlags;
        set_requestor_mode: KPROCESSOR_MODE = RequestorMode;
        set_system_buffer: PVOID = SystemBuffer;
        set_user_buffer: PVOID = UserBuffer;
        set_user_event: PKEVENT = UserEvent;
        set_user_status: PIO_STATUS_BLOCK = UserIosb;
        set_mdl: PMDL = MdlAddress;
        set_thread: PETHREAD = Thread;
        set_thread_list: LIST_ENTRY = ThreadListEntry;
        set_original_file: PFILE_OBJECT = OriginalFileObject;
    }
}

impl Irp {
    /// The IRP at `irp`; `None` if that is null.
    ///
    /// # Safety
    ///
    /// It must be an IRP (or memory that was one and is readable), and live as long as the value and
    /// its copies are used.
    pub const unsafe fn new(irp: PIRP) -> Option<Self> {
        match NonNull::new(irp) {
            Some(irp) => Some(Self(irp)),
            None => None,
        }
    }

    /// The pointer that drivers know it by.
    pub const fn as_ptr(self) -> PIRP {
        self.0.as_ptr()
    }

    /// The address, as a parameter of bug checks.
    pub fn address(self) -> u64 {
        self.as_ptr() as u64
    }

    /// Whether it is one, by its `Type`.
    pub fn is_valid(self) -> bool {
        self.kind() == IO_TYPE_IRP
    }

    /// The stack location of the driver that owns the IRP.
    ///
    /// Only while a driver owns it: `CurrentLocation` is then from 1 to `StackCount`.
    pub fn stack(self) -> Option<Stack> {
        let inside = (1..=self.stack_count()).contains(&self.current_location());
        NonNull::new(self.current_stack())
            .filter(|_| inside)
            .map(Stack)
    }

    /// Moves the current stack location by so many towards the first driver, which has the last one.
    pub fn move_stack(self, by: i8) {
        self.set_current_location(self.current_location().wrapping_add(by));
        self.set_current_stack(self.current_stack().wrapping_offset(by.into()));
    }

    fn cancel_flag(self) -> &'static AtomicU8 {
        // SAFETY: The IRP is alive while its value is used.
        let flag = unsafe { &raw mut (*self.as_ptr()).Cancel };
        // SAFETY: A byte is aligned; drivers read it while `IoCancelIrp` writes, no other access is
        // made. The reference is used at once and not kept.
        unsafe { AtomicU8::from_ptr(flag) }
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(self) -> bool {
        self.cancel_flag().load(Ordering::Acquire) != 0
    }

    /// Marks it as cancelled.
    pub fn mark_cancelled(self) {
        self.cancel_flag().store(TRUE, Ordering::Release);
    }

    fn cancel_routine_slot(self) -> &'static AtomicPtr<()> {
        // SAFETY: The IRP is alive while its value is used.
        let slot = unsafe { &raw mut (*self.as_ptr()).CancelRoutine };
        // SAFETY: The field is aligned and as large as a pointer; drivers access it with the
        // interlocked exchange of `IoSetCancelRoutine`. The reference is used at once and not kept.
        unsafe { AtomicPtr::from_ptr(slot.cast()) }
    }

    /// The address of the cancel routine, or null.
    pub fn cancel_routine(self) -> *mut () {
        self.cancel_routine_slot().load(Ordering::Acquire)
    }

    /// Takes the cancel routine away.
    pub fn take_cancel_routine(self) -> PDRIVER_CANCEL {
        let routine = self
            .cancel_routine_slot()
            .swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: What lies in the slot is null or a cancel routine that a driver set, and null is
        // what `None` is made of.
        unsafe { transmute::<*mut (), PDRIVER_CANCEL>(routine) }
    }
}

/// A stack location of an IRP that is alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stack(NonNull<IO_STACK_LOCATION>);

fields! {
    Stack;
    get {
        major: UCHAR = MajorFunction;
        minor: UCHAR = MinorFunction;
        control: UCHAR = Control;
        device: PDEVICE_OBJECT = DeviceObject;
        completion_routine: PIO_COMPLETION_ROUTINE = CompletionRoutine;
        context: PVOID = Context;
        parameters: IoStackParameters = Parameters;
    }
    set {
        set_major: UCHAR = MajorFunction;
        set_minor: UCHAR = MinorFunction;
        set_control: UCHAR = Control;
        set_device: PDEVICE_OBJECT = DeviceObject;
        set_file: PFILE_OBJECT = FileObject;
        set_parameters: IoStackParameters = Parameters;
    }
}

impl Stack {
    const fn as_ptr(self) -> PIO_STACK_LOCATION {
        self.0.as_ptr()
    }

    /// Fills it with zeros, once its driver is done with the IRP.
    pub const fn clear(self) {
        // SAFETY: The location is alive, and its driver has given the IRP up.
        unsafe { self.as_ptr().write_bytes(0, 1) };
    }
}
