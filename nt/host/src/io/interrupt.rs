//! Connecting interrupts.

use nt_abi::{
    _KINTERRUPT_MODE, CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP, CONNECT_LINE_BASED,
    CONNECT_MESSAGE_BASED, FALSE, IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS,
    IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS, KIRQL, NTSTATUS, PIO_CONNECT_INTERRUPT_PARAMETERS,
    PIO_DISCONNECT_INTERRUPT_PARAMETERS, STATUS_INVALID_PARAMETER, STATUS_INVALID_PARAMETER_1,
    STATUS_INVALID_PARAMETER_10, STATUS_NOT_FOUND, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

use super::pnp;
use crate::{
    export::exports,
    irql::{DISPATCH, PASSIVE},
    ke::interrupt::{self, Interrupt},
    processor, rtl, thread,
};

exports!("ntoskrnl.exe"; IoConnectInterruptEx, IoDisconnectInterruptEx);

/// The highest IRQL that a device has: `CLOCK_LEVEL` is above it.
const HIGHEST: KIRQL = 12;

/// Connects an interrupt service routine. `PASSIVE_LEVEL`. DDI: `WdmlibIoConnectInterruptEx`, of which
/// this is the name in the kernel.
///
/// `CONNECT_FULLY_SPECIFIED` (and `..._GROUP`, of group 0) takes any vector, and any IRQL from 3 to 12:
/// every vector is one that [`Kernel::interrupt`](crate::Kernel::interrupt) can raise. No device object:
/// `STATUS_INVALID_PARAMETER`, as for an IRQL that no device has, a `SynchronizeIrql` below `Irql`, and a
/// vector that is connected already and not shared by both. No processor: `STATUS_INVALID_PARAMETER_10`.
///
/// `CONNECT_LINE_BASED` takes the first interrupt among the resources of the device, and so does
/// `CONNECT_MESSAGE_BASED` with a routine for that, for no device of this kernel's bus has messages;
/// `STATUS_NOT_FOUND` if there is none. Service routines at `PASSIVE_LEVEL` are not modelled:
/// `STATUS_NOT_SUPPORTED`.
///
/// # Safety
///
/// `Parameters` must be valid, with a service routine that may be called with its context, and a spin lock
/// that is initialised or null, until [`IoDisconnectInterruptEx`] returns.
pub unsafe extern "win64" fn IoConnectInterruptEx(
    Parameters: PIO_CONNECT_INTERRUPT_PARAMETERS,
) -> NTSTATUS {
    rtl::pageable!(PASSIVE, IoConnectInterruptEx);
    // SAFETY: The caller vouches for the parameters.
    let parameters = unsafe { &*Parameters };
    match parameters.Version {
        CONNECT_FULLY_SPECIFIED | CONNECT_FULLY_SPECIFIED_GROUP => {
            // SAFETY: The version says that these are the parameters.
            let specified = unsafe { &parameters.__bindgen_anon_1.FullySpecified };
            let grouped = parameters.Version == CONNECT_FULLY_SPECIFIED_GROUP;
            let group = if grouped { specified.Group } else { 0 };
            // SAFETY: This function has the same contract.
            unsafe { connect(specified, group) }
                .err()
                .unwrap_or(STATUS_SUCCESS)
        }
        CONNECT_LINE_BASED => {
            // SAFETY: As above.
            let line = unsafe { &parameters.__bindgen_anon_1.LineBased };
            // SAFETY: This function has the same contract.
            unsafe { connect_line(line) }
                .err()
                .unwrap_or(STATUS_SUCCESS)
        }
        CONNECT_MESSAGE_BASED => {
            // SAFETY: As above.
            let message = unsafe { &parameters.__bindgen_anon_1.MessageBased };
            let line = IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
                PhysicalDeviceObject: message.PhysicalDeviceObject,
                InterruptObject: message.ConnectionContext.cast(),
                ServiceRoutine: message.FallBackServiceRoutine,
                ServiceContext: message.ServiceContext,
                SpinLock: message.SpinLock,
                SynchronizeIrql: message.SynchronizeIrql,
                FloatingSave: message.FloatingSave,
            };
            if line.ServiceRoutine.is_none() {
                return STATUS_NOT_FOUND;
            }
            // SAFETY: This function has the same contract.
            if let Err(status) = unsafe { connect_line(&line) } {
                return status;
            }
            // SAFETY: The caller vouches for the parameters, of which no reference is used any more.
            unsafe { (*Parameters).Version = CONNECT_LINE_BASED };
            STATUS_SUCCESS
        }
        _ => STATUS_INVALID_PARAMETER_1,
    }
}

/// Connects the interrupt that is among the resources of a device.
///
/// # Safety
///
/// As for [`IoConnectInterruptEx`].
unsafe fn connect_line(line: &IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS) -> Result<(), NTSTATUS> {
    let resource = pnp::interrupt_of(line.PhysicalDeviceObject).ok_or(STATUS_NOT_FOUND)?;
    let specified = IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
        PhysicalDeviceObject: line.PhysicalDeviceObject,
        InterruptObject: line.InterruptObject,
        ServiceRoutine: line.ServiceRoutine,
        ServiceContext: line.ServiceContext,
        SpinLock: line.SpinLock,
        SynchronizeIrql: line.SynchronizeIrql.max(resource.irql),
        FloatingSave: line.FloatingSave,
        ShareVector: resource.shared.into(),
        Vector: resource.vector,
        Irql: resource.irql,
        InterruptMode: if resource.latched {
            _KINTERRUPT_MODE::Latched
        } else {
            _KINTERRUPT_MODE::LevelSensitive
        },
        ProcessorEnableMask: resource.processors,
        Group: 0,
    };
    // SAFETY: This function has the same contract.
    unsafe { connect(&specified, 0) }
}

/// Connects a fully specified interrupt.
///
/// # Safety
///
/// As for [`IoConnectInterruptEx`].
unsafe fn connect(
    parameters: &IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS,
    group: u16,
) -> Result<(), NTSTATUS> {
    let synchronize_irql = parameters.SynchronizeIrql;
    if parameters.PhysicalDeviceObject.is_null()
        || parameters.InterruptObject.is_null()
        || group != 0
    {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let routine = parameters.ServiceRoutine.ok_or(STATUS_INVALID_PARAMETER)?;
    if (parameters.Irql, synchronize_irql) == (PASSIVE, PASSIVE) {
        return Err(STATUS_NOT_SUPPORTED);
    }
    let is_of_device = parameters.Irql > DISPATCH && synchronize_irql <= HIGHEST;
    if !is_of_device || synchronize_irql < parameters.Irql {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let processors = parameters.ProcessorEnableMask & processor::all();
    if processors == 0 {
        return Err(STATUS_INVALID_PARAMETER_10);
    }
    let shared = parameters.ShareVector != FALSE;
    let vector = parameters.Vector;
    if interrupt::is_connected(vector, |other| !(shared && other.is_shared())) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let interrupt = Interrupt::new(
        (vector, processors, shared),
        synchronize_irql,
        (routine, parameters.ServiceContext),
        parameters.SpinLock,
    );
    // SAFETY: The caller vouches for the place, which a service routine that runs at once may read.
    unsafe { parameters.InterruptObject.write(interrupt.connect()) };
    Ok(())
}

/// Disconnects an interrupt service routine, and waits for it if it runs. `PASSIVE_LEVEL`. DDI:
/// `WdmlibIoDisconnectInterruptEx`.
///
/// An interrupt that is not connected is bug check 0xC4 (0xE1).
///
/// # Safety
///
/// `Parameters` must be valid. Nobody uses the interrupt any more.
pub unsafe extern "win64" fn IoDisconnectInterruptEx(
    Parameters: PIO_DISCONNECT_INTERRUPT_PARAMETERS,
) {
    rtl::pageable!(PASSIVE, IoDisconnectInterruptEx);
    // SAFETY: The caller vouches for the parameters.
    let context = unsafe { (*Parameters).ConnectionContext };
    // SAFETY: All members of the union are pointers in one place.
    let interrupt = unsafe { context.InterruptObject };
    interrupt::disconnect(thread::current(), interrupt, "IoDisconnectInterruptEx");
}
