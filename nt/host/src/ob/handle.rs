//! Kernel handles.

use core::{ptr, sync::atomic::Ordering};

use nt_abi::{
    _MODE::KernelMode, ACCESS_MASK, HANDLE, KPROCESSOR_MODE, NTSTATUS, OBJ_EXCLUSIVE, OBJ_INHERIT,
    OBJ_VALID_ATTRIBUTES, PASSIVE_LEVEL, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
    ULONG, bugcheck::INVALID_KERNEL_HANDLE,
};
use parking_lot::Mutex;

use super::{ObjectType, dereference, header, reference};
use crate::{
    Rules, address::to_usize, bugcheck, fault, io::object::FILE_TYPE, irql::APC, thread, verifier,
};

/// The body of an object that a handle refers to.
struct Slot(PVOID);

// SAFETY: A slot owns a reference to an object, and objects may be used by every thread.
unsafe impl Send for Slot {}

static HANDLES: Mutex<Vec<Option<Slot>>> = Mutex::new(Vec::new());

/// Kernel handles are negative.
const KERNEL_HANDLE: u64 = 0xFFFF_FFFF_8000_0000;

/// `NtCurrentThread()`.
const CURRENT_THREAD: u64 = u64::MAX - 1;

/// A handle that is open, as reports list it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenHandle {
    /// The handle's value.
    pub value: u64,
    /// The address of the object.
    pub object: u64,
    /// The name of the object's type.
    pub kind: &'static str,
}

/// All handles that are open.
#[must_use]
pub fn open_handles() -> Vec<OpenHandle> {
    let handles = HANDLES.lock();
    handles
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| {
            let body = slot.as_ref()?.0;
            // SAFETY: The slot owns a reference to the object, and is not emptied under the lock.
            let kind = unsafe { header(body) }.kind.name;
            Some(OpenHandle {
                value: value_of(index) as u64,
                object: body as u64,
                kind,
            })
        })
        .collect()
}

/// Opens a handle to an object, for which it takes a reference of its own.
///
/// # Safety
///
/// `body` must be the body of an object that is alive.
pub unsafe fn insert(body: PVOID) -> HANDLE {
    // SAFETY: This function has the same contract.
    unsafe { reference(body, "ObOpenObjectByPointer") };
    // SAFETY: As above.
    unsafe { header(body) }
        .handle_count
        .fetch_add(1, Ordering::Relaxed);
    let mut handles = HANDLES.lock();
    let free = handles.iter().position(Option::is_none).unwrap_or_else(|| {
        handles.push(None);
        handles.len() - 1
    });
    handles[free] = Some(Slot(body));
    drop(handles);
    value_of(free)
}

const fn value_of(index: usize) -> HANDLE {
    ptr::without_provenance_mut(to_usize(KERNEL_HANDLE | (index as u64 + 1) << 2))
}

fn index_of(handle: HANDLE) -> Option<usize> {
    let value = handle as u64;
    if value & KERNEL_HANDLE != KERNEL_HANDLE || value & 3 != 0 {
        return None;
    }
    usize::try_from((value & !KERNEL_HANDLE) >> 2)
        .ok()?
        .checked_sub(1)
}

/// Takes a reference to what a handle refers to.
fn reference_by_handle(handle: HANDLE) -> Option<PVOID> {
    if handle as u64 == CURRENT_THREAD {
        let body = thread::current().kthread().cast();
        // SAFETY: The running thread's object is alive.
        unsafe { reference(body, "ObReferenceObjectByHandle") };
        return Some(body);
    }
    let handles = HANDLES.lock();
    let body = handles.get(index_of(handle)?)?.as_ref()?.0;
    // SAFETY: The slot owns a reference to the object, and is not emptied under the lock.
    unsafe { reference(body, "ObReferenceObjectByHandle") };
    drop(handles);
    Some(body)
}

/// `ObReferenceObjectByHandle`: takes a reference to the object that a handle refers to. IRQL =
/// `PASSIVE_LEVEL`.
///
/// Returns `STATUS_OBJECT_TYPE_MISMATCH` if the object is not of the type asked for, and
/// `STATUS_INVALID_HANDLE` with Driver Verifier off; with it on, a handle that is none is bug check 0xC4
/// (0x3C), a null handle 0xC4 (0xF5), and one that is asked for in `UserMode`, which has no kernel handles, 0xC4
/// (0xF7). Access rights are not checked: the caller is the kernel.
///
/// # Safety
///
/// `Object` must be valid for a write, `ObjectType` a type of this kernel or null.
#[allow(non_snake_case, reason = "NT's names")]
pub unsafe extern "win64" fn ObReferenceObjectByHandle(
    Handle: HANDLE,
    _DesiredAccess: ACCESS_MASK,
    ObjectType: *mut ObjectType,
    AccessMode: KPROCESSOR_MODE,
    Object: *mut PVOID,
    _HandleInformation: PVOID,
) -> NTSTATUS {
    const NAME: &str = "ObReferenceObjectByHandle";
    let thread = thread::current();
    if u32::from(thread.irql()) > PASSIVE_LEVEL {
        verifier::rule(0x2001B, NAME, "IrqlObPassive: IRQL must be PASSIVE_LEVEL.");
    }
    let Some(body) = reference_by_handle(Handle) else {
        return refuse(Handle, ObjectType, NAME);
    };
    if i32::from(AccessMode) != KernelMode && Handle as u64 != CURRENT_THREAD {
        // SAFETY: The object was referenced just now.
        unsafe { dereference(body, NAME) };
        if verifier::checks(Rules::HANDLES) {
            let mode = AccessMode.cast_unsigned().into();
            let parameters = [Handle as u64, ObjectType as u64, mode];
            let sentence = "The handle is the kernel's, and is asked for in UserMode.";
            verifier::violation(0xF7, parameters, NAME, sentence);
        }
        return STATUS_INVALID_HANDLE;
    }
    // SAFETY: The object was referenced just now.
    let kind = unsafe { header(body) }.kind;
    if !ObjectType.is_null() && !ptr::eq(kind, ObjectType) {
        // SAFETY: That reference is given up again.
        unsafe { dereference(body, NAME) };
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    // SAFETY: The caller vouches for the pointer.
    unsafe { Object.write(body) };
    STATUS_SUCCESS
}

fn refuse(handle: HANDLE, kind: *mut ObjectType, function: &'static str) -> NTSTATUS {
    if verifier::checks(Rules::HANDLES) {
        let (rule, sentence) = if handle.is_null() {
            (0xF5, "The handle is null.")
        } else {
            (0x3C, "The handle is not open.")
        };
        verifier::violation(rule, [handle as u64, kind as u64, 0], function, sentence);
    }
    STATUS_INVALID_HANDLE
}

/// `ObOpenObjectByPointer`: opens a handle to an object, if it is of the type asked for. IRQL <= `APC_LEVEL`.
///
/// Returns `STATUS_OBJECT_TYPE_MISMATCH` if it is of another one, and `STATUS_INVALID_PARAMETER` for attributes that
/// there are not or that exclude each other. Access rights are not checked: the caller is the kernel.
///
/// # Safety
///
/// `Object` must be an object of this kernel that is alive, `ObjectType` a type of this kernel or null, and `Handle`
/// valid for a write.
#[allow(non_snake_case, reason = "NT's names")]
pub unsafe extern "win64" fn ObOpenObjectByPointer(
    Object: PVOID,
    HandleAttributes: ULONG,
    _PassedAccessState: PVOID,
    _DesiredAccess: ACCESS_MASK,
    ObjectType: *mut ObjectType,
    _AccessMode: KPROCESSOR_MODE,
    Handle: *mut HANDLE,
) -> NTSTATUS {
    const NAME: &str = "ObOpenObjectByPointer";
    verifier::thread_at_most(APC, NAME);
    // SAFETY: This function has the same contract.
    let kind = unsafe { header(Object) }.kind;
    let not_exclusive = HandleAttributes & OBJ_INHERIT != 0 || ptr::eq(kind, &raw const FILE_TYPE);
    let exclusive = HandleAttributes & OBJ_EXCLUSIVE != 0;
    if HandleAttributes & !OBJ_VALID_ATTRIBUTES != 0 || exclusive && not_exclusive {
        return STATUS_INVALID_PARAMETER;
    }
    if !ObjectType.is_null() && !ptr::eq(kind, ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: As above.
    let handle = unsafe { insert(Object) };
    // SAFETY: The caller vouches for the pointer.
    unsafe { Handle.write(handle) };
    STATUS_SUCCESS
}

/// `ZwMakeTemporaryObject`: takes the reference back that a permanent object has of its own. IRQL =
/// `PASSIVE_LEVEL`.
///
/// An object that is not permanent is left as it is. A handle that is none is answered as by
/// [`ObReferenceObjectByHandle`].
///
/// # Safety
///
/// None beyond that of every call into the kernel.
#[allow(non_snake_case, reason = "NT's names")]
pub unsafe extern "win64" fn ZwMakeTemporaryObject(Handle: HANDLE) -> NTSTATUS {
    const NAME: &str = "ZwMakeTemporaryObject";
    check_passive(NAME);
    let Some(body) = reference_by_handle(Handle) else {
        return refuse(Handle, ptr::null_mut(), NAME);
    };
    // SAFETY: The object was referenced just now.
    if unsafe { header(body) }
        .permanent
        .swap(false, Ordering::Relaxed)
    {
        // SAFETY: The object's own reference, which it had as a permanent one.
        unsafe { dereference(body, NAME) };
    }
    // SAFETY: The reference from above.
    unsafe { dereference(body, NAME) };
    STATUS_SUCCESS
}

fn check_passive(function: &'static str) {
    if u32::from(thread::current().irql()) > PASSIVE_LEVEL {
        let sentence = "IrqlZwPassive: IRQL must be PASSIVE_LEVEL.";
        verifier::rule(0x2001F, function, sentence);
    }
}

/// `ZwClose`: closes a handle and gives up the reference that it holds. IRQL = `PASSIVE_LEVEL`.
///
/// A handle that is none is bug check 0x93, `INVALID_KERNEL_HANDLE`.
///
/// # Safety
///
/// Nobody may use the handle any more.
#[allow(non_snake_case, reason = "NT's names")]
pub unsafe extern "win64" fn ZwClose(Handle: HANDLE) -> NTSTATUS {
    check_passive("ZwClose");
    let slot = index_of(Handle).and_then(|index| HANDLES.lock().get_mut(index)?.take());
    let Some(Slot(body)) = slot else {
        bugcheck::raise(
            INVALID_KERNEL_HANDLE,
            [Handle as u64, 1, 0, 0],
            "ZwClose",
            "The handle is not open.",
        );
    };
    // SAFETY: The slot owned a reference, so the object is alive.
    let header = unsafe { header(body) };
    let handles = header.handle_count.fetch_sub(1, Ordering::AcqRel) - 1;
    if let Some(closed) = header.kind.handles_closed.filter(|_| handles == 0) {
        // SAFETY: As above.
        unsafe { closed(body) };
    }
    // SAFETY: The slot's reference is given up, once.
    unsafe { dereference(body, "ZwClose") };
    STATUS_SUCCESS
}
