//! Requests that the client creates, to be sent to the drivers below again and again.

use super::{Request, Sending};
use crate::abi::{
    STATUS_WDF_REQUEST_INVALID_STATE, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES,
    WDF_REQUEST_REUSE_PARAMS, WDF_REQUEST_REUSE_SET_NEW_IRP, WDFIOTARGET, WDFOBJECT, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{EMPTY, Outcome, OwnedIrp, print, status_of};
use crate::object::{self, Body, Typed, create_simple_object, lookup};
use crate::violation;
use nt_abi::{
    NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Creates a request for a target.
///
/// # Errors
/// As for `WdfRequestCreate`.
///
/// # Safety
/// The attributes are null or the client's.
pub(super) unsafe fn create_for(
    globals: Globals,
    attributes: *const WDF_OBJECT_ATTRIBUTES,
    target: &IoTarget,
) -> Outcome<Typed<Request>> {
    target.stack_size().ok_or(STATUS_INVALID_DEVICE_STATE)?;
    let own = OwnedIrp::new(target.lower())?;
    let mut request = Request::new(target.device(), own.irp(), EMPTY, None);
    request.own = Some(own);
    // SAFETY: By contract.
    let object = unsafe { create_simple_object(globals, Body::Request(request), attributes) }?;
    object.typed().ok_or(STATUS_INVALID_DEVICE_STATE)
}

impl Request {
    /// Makes it ready to be formatted and sent again.
    fn reuse(&self, status: NTSTATUS) -> Outcome {
        if self.flight.is_away() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if let Some(own) = &self.own {
            own.reuse(status);
        } else {
            // SAFETY: The request owns its IRP, which is not away.
            unsafe { irp.set_status(status) };
            // SAFETY: As above.
            unsafe { irp.set_information(0) };
        }
        let before = self
            .state
            .with(|state| core::mem::replace(&mut state.sending, Sending::new()));
        drop(before);
        Ok(())
    }
}

/// `WdfRequestCreate`: for the local target of a device. The parent is the driver if the attributes name none.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestCreate(
    DriverGlobals: Globals,
    RequestAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    IoTarget: WDFIOTARGET,
    Request: *mut WDFREQUEST,
) -> NTSTATUS {
    if Request.is_null() {
        violation::null_parameter(c"WdfRequestCreate");
    }
    if IoTarget == WDFOBJECT::NULL {
        print(
            c"WDFLDR: WdfRequestCreate without a target (%p) is not implemented\n",
            0,
        );
        return STATUS_NOT_SUPPORTED;
    }
    let target = lookup::<self::IoTarget>(IoTarget);
    // SAFETY: The attributes are the client's.
    let created = unsafe { create_for(DriverGlobals, RequestAttributes, &target) };
    status_of(created.map(|request| {
        // SAFETY: The client passes a place for the handle.
        unsafe { Request.write(request.handle()) };
    }))
}

/// `WdfRequestReuse`: a request that was sent and is back can be formatted anew. A request's IRP is never
/// replaced, as there are none that the client has brought. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestReuse(
    _: Globals,
    Request: WDFREQUEST,
    ReuseParams: *mut WDF_REQUEST_REUSE_PARAMS,
) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    // SAFETY: The client passes its parameters.
    let Some(parameters) = (unsafe { ReuseParams.as_ref() }) else {
        violation::null_parameter(c"WdfRequestReuse");
    };
    if parameters.Size as usize != size_of_val(parameters) {
        return STATUS_INVALID_PARAMETER;
    }
    if parameters.Flags & WDF_REQUEST_REUSE_SET_NEW_IRP != 0 {
        return STATUS_WDF_REQUEST_INVALID_STATE;
    }
    status_of(request.reuse(parameters.Status))
}

/// Deletes a request that this module made for a call.
pub(super) fn delete(request: &Typed<Request>) {
    object::delete(request.object());
}
