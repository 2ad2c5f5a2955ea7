//! The object manager: counted objects with a header, and handles to them.
//!
//! As on Windows, an object's body follows a header of 0x30 bytes, and drivers know the body alone. What
//! the header holds is this kernel's own.

mod handle;

use core::{
    ffi::c_void,
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use nt_abi::{
    _MODE::KernelMode, KPROCESSOR_MODE, LONG_PTR, NTSTATUS, PVOID, STATUS_OBJECT_TYPE_MISMATCH,
    STATUS_SUCCESS, ULONG,
};

pub use self::handle::{
    ObOpenObjectByPointer, ObReferenceObjectByHandle, OpenHandle, ZwClose, ZwMakeTemporaryObject,
    insert, open_handles,
};
use crate::{export::exports, irql::DISPATCH, verifier};

exports!("ntoskrnl.exe";
    ObOpenObjectByPointer, ObReferenceObjectByHandle, ObReferenceObjectByPointer,
    ObfDereferenceObject, ObfReferenceObject, ZwClose, ZwMakeTemporaryObject,
);

/// A type of objects. Drivers hold pointers to it (`POBJECT_TYPE`) and look at nothing in it.
#[derive(Debug)]
pub struct ObjectType {
    /// The name that Windows gives the type.
    pub name: &'static str,
    /// What is done with an object when the last handle to it is closed.
    pub(crate) handles_closed: Option<unsafe fn(PVOID)>,
    /// What is done with an object when its last reference is given up: whether it was, for then the object has been
    /// [revived](revive) and dereferenced once more.
    pub(crate) last_reference: Option<unsafe fn(PVOID) -> bool>,
}

impl ObjectType {
    /// A type whose objects come and go without notice.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            handles_closed: None,
            last_reference: None,
        }
    }
}

/// What lies before the body of an object.
#[repr(C, align(16))]
struct ObjectHeader {
    pointer_count: AtomicI64,
    handle_count: AtomicI64,
    kind: &'static ObjectType,
    /// Drops and frees the whole object.
    delete: unsafe fn(*mut c_void),
    /// Whether the object has a reference of its own (`OBJ_PERMANENT`).
    permanent: AtomicBool,
    reserved: u64,
}

const _: () = assert!(size_of::<ObjectHeader>() == 0x30);

/// An object: header and body.
#[repr(C)]
struct Object<T> {
    header: ObjectHeader,
    body: T,
}

/// Makes an object and returns its body, with one reference that belongs to the caller.
///
/// The body is dropped with the last reference; that the reference returned here is `'static` is the
/// caller's to live up to.
pub fn create<T: Sync>(kind: &'static ObjectType, body: T) -> &'static T {
    const { assert!(offset_of!(Object<T>, body) == size_of::<ObjectHeader>()) };
    let header = ObjectHeader {
        pointer_count: AtomicI64::new(1),
        handle_count: AtomicI64::new(0),
        kind,
        delete: delete::<T>,
        permanent: AtomicBool::new(false),
        reserved: 0,
    };
    &Box::leak(Box::new(Object { header, body })).body
}

/// Drops an [`Object`] by the address of its body.
unsafe fn delete<T>(body: *mut c_void) {
    let object = body
        .wrapping_byte_sub(size_of::<ObjectHeader>())
        .cast::<Object<T>>();
    // SAFETY: `create` leaked this box, and made this the `delete` of its type; the last reference is
    // gone, so this runs once and nothing refers to the object any more.
    drop(unsafe { Box::from_raw(object) });
}

/// The header of an object.
///
/// # Safety
///
/// `body` must be the body of an object of this kernel that is alive.
unsafe fn header<'a>(body: PVOID) -> &'a ObjectHeader {
    // SAFETY: By the contract of this function a header lies there; it has atomic fields, and others
    // that never change.
    unsafe {
        &*body
            .wrapping_byte_sub(size_of::<ObjectHeader>())
            .cast::<ObjectHeader>()
    }
}

/// Whether an object is of a type.
///
/// # Safety
///
/// `body` must be the body of an object that is alive.
pub unsafe fn is_of(body: PVOID, kind: &'static ObjectType) -> bool {
    // SAFETY: This function has the same contract.
    ptr::eq(unsafe { header(body) }.kind, kind)
}

/// Takes a reference to an object.
///
/// # Safety
///
/// `body` must be the body of an object that is alive.
pub unsafe fn reference(body: PVOID, function: &'static str) -> LONG_PTR {
    // SAFETY: This function has the same contract.
    let count = unsafe { header(body) }
        .pointer_count
        .fetch_add(1, Ordering::Relaxed)
        + 1;
    if count <= 1 {
        verifier::violation(
            0x3F,
            [body as u64, 1, 0],
            function,
            "An object was referenced whose reference count is zero.",
        );
    }
    count
}

/// Takes a reference to an object whose last one may be gone, but not the object; false if it is.
///
/// # Safety
///
/// The memory of the object with this body must not be freed meanwhile.
pub unsafe fn reference_if_alive(body: PVOID) -> bool {
    // SAFETY: This function has the same contract.
    let count = unsafe { &header(body).pointer_count };
    let more = |count: i64| (count > 0).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

/// Gives an object a reference of its own.
///
/// # Safety
///
/// `body` must be the body of an object that is alive.
pub unsafe fn make_permanent(body: PVOID, function: &'static str) {
    // SAFETY: This function has the same contract.
    if !unsafe { header(body) }
        .permanent
        .swap(true, Ordering::Relaxed)
    {
        // SAFETY: As above.
        unsafe { reference(body, function) };
    }
}

/// Gives up a reference to an object, which is deleted with the last one.
///
/// # Safety
///
/// The caller must own a reference to the object with this body.
pub unsafe fn dereference(body: PVOID, function: &'static str) -> LONG_PTR {
    // SAFETY: The caller owns a reference, so the object is alive.
    let header = unsafe { header(body) };
    let count = header.pointer_count.fetch_sub(1, Ordering::AcqRel) - 1;
    if count < 0 {
        verifier::violation(
            0x3F,
            [body as u64, u64::MAX, 0],
            function,
            "An object was dereferenced whose reference count is zero.",
        );
    }
    if count == 0 {
        // SAFETY: That was the last reference: nobody else has the object.
        let done = header
            .kind
            .last_reference
            .is_some_and(|last| unsafe { last(body) });
        if !done {
            // SAFETY: As above.
            unsafe { (header.delete)(body) };
        }
    }
    count
}

/// Gives an object a reference again whose last one was given up just now.
///
/// # Safety
///
/// The type of the object calls this with the body that it got as `last_reference` of [`ObjectType`].
pub unsafe fn revive(body: PVOID) {
    // SAFETY: By the contract of this function the object is there, and nobody else's.
    unsafe { header(body) }
        .pointer_count
        .store(1, Ordering::Release);
}

/// Gives up a reference to an object of the kernel.
pub fn dereference_typed<T: Sync>(body: &'static T) {
    // SAFETY: The kernel's own objects are made by `create`; who calls this gives a reference up.
    unsafe {
        dereference(
            ptr::from_ref(body).cast_mut().cast(),
            "ObfDereferenceObject",
        )
    };
}

/// `ObfReferenceObject`, behind the macro `ObReferenceObject`: takes a reference to an object and returns
/// the new count. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Object` must be an object of this kernel that is alive.
#[allow(non_snake_case, reason = "NT's name")]
pub unsafe extern "win64" fn ObfReferenceObject(Object: PVOID) -> LONG_PTR {
    verifier::thread_at_most(DISPATCH, "ObfReferenceObject");
    // SAFETY: This function has the same contract.
    unsafe { reference(Object, "ObfReferenceObject") }
}

/// `ObfDereferenceObject`, behind the macro `ObDereferenceObject`: gives a reference up and returns the
/// new count. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// The caller must own a reference to `Object`.
#[allow(non_snake_case, reason = "NT's name")]
pub unsafe extern "win64" fn ObfDereferenceObject(Object: PVOID) -> LONG_PTR {
    verifier::thread_at_most(DISPATCH, "ObfDereferenceObject");
    // SAFETY: This function has the same contract.
    unsafe { dereference(Object, "ObfDereferenceObject") }
}

/// `ObReferenceObjectByPointer`: takes a reference to an object. IRQL <= `DISPATCH_LEVEL`.
///
/// For `UserMode` alone it must be of the type asked for, `STATUS_OBJECT_TYPE_MISMATCH` otherwise.
///
/// # Safety
///
/// `Object` must be an object of this kernel that is alive.
#[allow(non_snake_case, reason = "NT's names")]
pub unsafe extern "win64" fn ObReferenceObjectByPointer(
    Object: PVOID,
    _DesiredAccess: ULONG,
    ObjectType: *mut ObjectType,
    AccessMode: KPROCESSOR_MODE,
) -> NTSTATUS {
    verifier::thread_at_most(DISPATCH, "ObReferenceObjectByPointer");
    // SAFETY: This function has the same contract.
    let kind = unsafe { header(Object) }.kind;
    if i32::from(AccessMode) != KernelMode && !ptr::eq(kind, ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    // SAFETY: As above.
    unsafe { reference(Object, "ObReferenceObjectByPointer") };
    STATUS_SUCCESS
}
