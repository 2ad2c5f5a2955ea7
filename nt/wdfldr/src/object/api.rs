//! `WdfObject...`: contexts, references and deletion.

use super::attributes::{Attributes, ParentRule, Rules};
use super::context::Contexts;
use super::{Body, create, delete, lookup_raw, registry};
use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT,
};
use crate::client::Client;
use crate::kernel::status_of;
use crate::object::ObjectRef;
use crate::violation;
use core::ffi::{c_char, c_void};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use nt_abi::{LONG, NTSTATUS, PVOID, STATUS_OBJECT_NAME_INVALID};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Any object, or a bug check for a handle that names none.
pub fn any(handle: WDFOBJECT) -> ObjectRef {
    lookup_raw(handle).unwrap_or_else(|| violation::invalid_handle(handle, c"WDFOBJECT"))
}

/// `WdfObjectGetTypedContextWorker`: the context of a type, or null. IRQL <= `DISPATCH_LEVEL` + 1.
pub unsafe extern "win64" fn WdfObjectGetTypedContextWorker(
    _: Globals,
    Handle: WDFOBJECT,
    TypeInfo: *const WDF_OBJECT_CONTEXT_TYPE_INFO,
) -> PVOID {
    let object = any(Handle);
    object
        .contexts
        .find(TypeInfo.addr())
        .map_or(core::ptr::null_mut(), <*mut u8>::cast)
}

/// `WdfObjectAllocateContext`. Returns `STATUS_OBJECT_NAME_EXISTS` (a success code) when there is a
/// context of that type already. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfObjectAllocateContext(
    _: Globals,
    Handle: WDFOBJECT,
    ContextAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Context: *mut PVOID,
) -> NTSTATUS {
    let object = any(Handle);
    let rules = Rules {
        parent: ParentRule::Forbidden,
        levels: false,
    };
    // SAFETY: The client passes its attributes.
    let attributes = match unsafe { Attributes::read(ContextAttributes, rules) } {
        Ok(attributes) if attributes.type_info().is_some() => attributes,
        Ok(_) => return STATUS_OBJECT_NAME_INVALID,
        Err(status) => return status,
    };
    if object.is_deleting() {
        return nt_abi::STATUS_DELETE_PENDING;
    }
    match registry::add_context(&object, &attributes) {
        Ok((context, status)) => {
            // SAFETY: An optional output; the client passes null or a place for a pointer.
            if let Some(place) = unsafe { Context.as_mut() } {
                *place = context.cast();
            }
            status
        }
        Err(status) => status,
    }
}

/// `WdfObjectContextGetObject`. IRQL <= `DISPATCH_LEVEL` + 1.
pub unsafe extern "win64" fn WdfObjectContextGetObject(
    _: Globals,
    ContextPointer: *mut c_void,
) -> WDFOBJECT {
    let Some(context) = NonNull::new(ContextPointer.cast::<u8>()) else {
        violation::null_parameter(c"WdfObjectContextGetObject")
    };
    // SAFETY: The client passes the address of a context, which lies behind its prefix.
    let object = unsafe { Contexts::object_of(context) };
    object.unwrap_or_else(|| {
        violation::invalid_handle(WDFOBJECT(ContextPointer.addr()), c"context of an object")
    })
}

/// `WdfObjectReferenceActual`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfObjectReferenceActual(
    _: Globals,
    Handle: WDFOBJECT,
    _: PVOID,
    _: LONG,
    _: *const c_char,
) {
    let _ = any(Handle).into_raw();
}

/// `WdfObjectDereferenceActual`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfObjectDereferenceActual(
    _: Globals,
    Handle: WDFOBJECT,
    _: PVOID,
    _: LONG,
    _: *const c_char,
) {
    let raw = any(Handle).into_raw();
    // SAFETY: The reference that the client took, which it gives back. Where it took none, it ends
    // the object's existence, which the next line finds out: the object is alive by the reference of
    // the look-up.
    drop(unsafe { ObjectRef::from_raw(raw) });
    // SAFETY: The reference of the look-up.
    drop(unsafe { ObjectRef::from_raw(raw) });
}

/// `WdfObjectCreate`: an object without a purpose of its own, a parent for others.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfObjectCreate(
    DriverGlobals: Globals,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    Object: *mut WDFOBJECT,
) -> NTSTATUS {
    // SAFETY: The globals are those of a bound client; the other pointers are the client's.
    unsafe { create_simple(DriverGlobals, Body::Plain, Attributes, Object) }
}

/// Creates an object of a kind that needs nothing but attributes: under the parent that they name, or
/// under the driver.
///
/// # Safety
/// The pointers are those that a client passed to a creation function.
pub unsafe fn create_simple(
    globals: Globals,
    body: Body,
    attributes: *const WDF_OBJECT_ATTRIBUTES,
    handle: *mut WDFOBJECT,
) -> NTSTATUS {
    // SAFETY: By contract.
    let outcome = unsafe { create_simple_object(globals, body, attributes) }.map(|object| {
        // SAFETY: Creation functions require a place for the handle.
        unsafe { handle.write(object.handle()) };
    });
    status_of(outcome)
}

/// As [`create_simple`], and gives the object.
///
/// # Errors
/// As creation functions document.
///
/// # Safety
/// As [`create_simple`].
pub unsafe fn create_simple_object(
    globals: Globals,
    body: Body,
    attributes: *const WDF_OBJECT_ATTRIBUTES,
) -> crate::kernel::Outcome<ObjectRef> {
    let rules = Rules {
        parent: ParentRule::Optional,
        levels: false,
    };
    // SAFETY: By contract.
    let attributes = unsafe { Attributes::read(attributes, rules) }?;
    create_under(Client::from_globals(globals), body, &attributes)
}

/// Creates an object under the parent that its attributes name, or under the driver.
///
/// # Errors
/// As creation functions document.
pub fn create_under(
    client: &'static Client,
    body: Body,
    attributes: &Attributes,
) -> crate::kernel::Outcome<ObjectRef> {
    let parent = if attributes.parent() == WDFOBJECT::NULL {
        lookup_raw(client.driver())
    } else {
        Some(any(attributes.parent()))
    };
    create(client, body, attributes, parent.as_ref())
}

/// `WdfObjectDelete`. Objects that only the framework deletes are left alone, with a message.
/// IRQL <= `DISPATCH_LEVEL`; `PASSIVE_LEVEL` for control devices.
pub unsafe extern "win64" fn WdfObjectDelete(_: Globals, Object: WDFOBJECT) {
    let object = any(Object);
    if object.permanent.load(Ordering::Relaxed) {
        crate::kernel::print(
            c"WDFLDR: WdfObjectDelete on an object that only the framework deletes: %p\n",
            Object.0,
        );
        return;
    }
    delete(&object);
}
