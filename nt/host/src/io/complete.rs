//! Completing an IRP: `IofCompleteRequest`.

use core::ptr;

use nt_abi::{
    CCHAR, NT_SUCCESS, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIRP, PVOID,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    bugcheck::{IRQL_UNEXPECTED_VALUE, MULTIPLE_IRP_COMPLETE_REQUESTS},
};

use super::{
    irp::{Irp, Stack},
    packet, violation,
};
use crate::{
    Rules, bugcheck,
    irql::DISPATCH,
    thread::{self, Thread},
    verifier,
};

const NAME: &str = "IofCompleteRequest";

/// Completes an IRP: the completion routines of the drivers above run, from the lowest up, unless one
/// takes the IRP back; then whoever sent it gets it. `<= DISPATCH_LEVEL`. DDI: `IoCompleteRequest`.
///
/// Bug check 0x44 if it was completed before; with Driver Verifier 0xC9 (0xE IRQL, 0x6 status, 0x7
/// cancel routine) and 0xC4 (0xFB: a completion routine changed the APC state).
///
/// # Safety
///
/// The IRP belongs to the caller, who gives it up.
pub unsafe extern "win64" fn IofCompleteRequest(Irp: PIRP, _PriorityBoost: CCHAR) {
    let thread = thread::current();
    // SAFETY: Alive by the contract of this function; one that was freed is still readable.
    let irp = unsafe { super::irp::Irp::new(Irp) };
    let Some(irp) = irp.filter(|irp| irp.is_valid() && irp.stack().is_some()) else {
        bugcheck::raise(
            MULTIPLE_IRP_COMPLETE_REQUESTS,
            [Irp as u64, 0, 0, 0],
            NAME,
            "The IRP was completed before.",
        );
    };
    check(thread, irp);
    complete(thread, irp);
}

fn check(thread: &Thread, irp: Irp) {
    if !verifier::checks(Rules::IO) {
        return;
    }
    if thread.irql() > DISPATCH {
        let parameters = [thread.irql().into(), irp.address(), 0];
        violation::io(0x0E, parameters, NAME, "Called above DISPATCH_LEVEL.");
    }
    let status = irp.status();
    if status == STATUS_PENDING || status == -1 {
        let parameters = [u64::from(status.cast_unsigned()), irp.address(), 0];
        violation::io(0x06, parameters, NAME, "The IRP's status is no final one.");
    }
    let routine = irp.cancel_routine();
    if !routine.is_null() {
        let parameters = [routine as u64, irp.address(), 0];
        violation::io(0x07, parameters, NAME, "The cancel routine is still set.");
    }
}

/// Runs the completion routines.
fn complete(thread: &Thread, irp: Irp) {
    while let Some(stack) = irp.stack() {
        let control = stack.control();
        let completion = (stack.completion_routine(), stack.context());
        // A completion routine finds the locations of the drivers below filled with zeros.
        stack.clear();
        irp.set_pending_returned(control & SL_PENDING_RETURNED);
        irp.move_stack(1);
        // The driver above has the location that is the current one now; the sender has none.
        let upper = irp.stack();
        if is_wanted(control, irp) {
            let device = upper.map_or(ptr::null_mut(), Stack::device);
            if invoke(thread, completion, device, irp) == STATUS_MORE_PROCESSING_REQUIRED {
                return;
            }
        } else if let Some(upper) = upper.filter(|_| control & SL_PENDING_RETURNED != 0) {
            upper.set_control(upper.control() | SL_PENDING_RETURNED);
        }
    }
    finish(irp);
}

/// Whether the completion routine of a location wants this outcome.
fn is_wanted(control: u8, irp: Irp) -> bool {
    let outcome = if NT_SUCCESS(irp.status()) {
        SL_INVOKE_ON_SUCCESS
    } else {
        SL_INVOKE_ON_ERROR
    };
    control & outcome != 0 || (control & SL_INVOKE_ON_CANCEL != 0 && irp.is_cancelled())
}

fn invoke(
    thread: &Thread,
    (routine, context): (PIO_COMPLETION_ROUTINE, PVOID),
    device: PDEVICE_OBJECT,
    irp: Irp,
) -> NTSTATUS {
    let Some(routine) = routine else {
        let sentence = "The completion routine is null, and the location says to call it.";
        violation::raise(0x212, Some(irp), None, NAME, sentence);
    };
    let (irql, apc_disable) = (thread.irql(), thread.object.combined_apc_disable());
    // SAFETY: The routine and its context are what a driver has set in the IRP, for this.
    let status = unsafe { routine(device, irp.as_ptr(), context) };
    let after = (thread.irql(), thread.object.combined_apc_disable());
    if after != (irql, apc_disable) && verifier::checks(Rules::IO) {
        let routine = routine as usize as u64;
        changed(routine, (irql, apc_disable), after);
    }
    status
}

/// Tells this place from those where Windows raises the same bug check.
const HERE: u64 = 0x20;

#[cold]
fn changed(routine: u64, before: (u8, u64), after: (u8, u64)) -> ! {
    if after.0 == before.0 {
        let sentence = "The completion routine changed the thread's APC state.";
        verifier::violation(0xFB, [routine, after.1, before.1], NAME, sentence);
    }
    let levels = u64::from(after.0) << 16 | u64::from(before.0) << 8 | HERE;
    bugcheck::raise(
        IRQL_UNEXPECTED_VALUE,
        [levels, 0, 0, 0],
        NAME,
        "The completion routine changed the IRQL.",
    )
}

/// Gives an IRP that every driver is done with back to its sender.
fn finish(irp: Irp) {
    let Some(request) = packet::request(irp) else {
        let sentence =
            "An IRP that a driver allocated has no completion routine that takes it back.";
        violation::raise(0x200, Some(irp), None, NAME, sentence);
    };
    request.complete(irp);
}

crate::export::exports! { "ntoskrnl.exe"; IofCompleteRequest }
