//! Passing an IRP to a driver: `IofCallDriver`.

use nt_abi::{
    NTSTATUS, PDEVICE_OBJECT, PDRIVER_DISPATCH, PIRP, STATUS_INVALID_DEVICE_REQUEST,
    bugcheck::NO_MORE_IRP_STACK_LOCATIONS,
};

use super::{
    irp::{Irp, Stack},
    object::DeviceObject,
    violation,
};
use crate::{
    Rules, bugcheck,
    irql::DISPATCH,
    thread::{self, Thread},
    verifier,
};

const NAME: &str = "IofCallDriver";

/// Passes an IRP to the driver of a device. `<= DISPATCH_LEVEL`. DDI: `IoCallDriver`.
///
/// What goes wrong is bug check 0x35 (no stack location left) or, with Driver Verifier, 0xC9 (what is
/// passed, and the IRQL that changed) and 0xC4 (0xC5: the APC state that changed).
///
/// # Safety
///
/// The device must be alive; the IRP belongs to the caller, who gives it up.
pub unsafe extern "win64" fn IofCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: PIRP) -> NTSTATUS {
    // SAFETY: Alive by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    // SAFETY: As above.
    let irp = unsafe { super::irp::Irp::new(Irp) };
    let thread = thread::current();
    check_arguments(thread, device, irp);
    let Some((device, irp)) = device.zip(irp) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    call(thread, device, irp)
}

/// As [`IofCallDriver`], for power IRPs, of which it needs nothing else any more. DDI: `PoCallDriver`
/// (ntifs).
///
/// # Safety
///
/// As for [`IofCallDriver`].
pub unsafe extern "win64" fn PoCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: PIRP) -> NTSTATUS {
    // SAFETY: The contract is the same.
    unsafe { IofCallDriver(DeviceObject, Irp) }
}

/// Lets the next power IRP come: nothing to do since Windows Vista. DDI: `PoStartNextPowerIrp`
/// (ntifs).
///
/// # Safety
///
/// None needed.
pub const unsafe extern "win64" fn PoStartNextPowerIrp(_Irp: PIRP) {}

fn check_arguments(thread: &Thread, device: Option<DeviceObject>, irp: Option<Irp>) {
    let Some(irp) = irp.filter(|irp| irp.is_valid()) else {
        let address = irp.map_or(0, Irp::address);
        violation::io(0x03, [address, 0, 0], NAME, "What is passed is no IRP.");
    };
    let Some(device) = device else {
        violation::raise(0x204, Some(irp), None, NAME, "The device object is null.");
    };
    if !device.is_valid() {
        let address = device.address();
        violation::io(
            0x04,
            [address, 0, 0],
            NAME,
            "What is passed is no device object.",
        );
    }
    if !verifier::checks(Rules::IO) {
        return;
    }
    if thread.irql() > DISPATCH {
        let irql = u64::from(thread.irql());
        violation::io(0x10, [irql, 0, 0], NAME, "Called above DISPATCH_LEVEL.");
    }
    if !irp.cancel_routine().is_null() {
        let sentence = "The IRP is passed on while a cancel routine is set.";
        violation::raise(0x203, Some(irp), Some(device), NAME, sentence);
    }
}

/// Passes an IRP that was checked.
pub fn call(thread: &Thread, device: DeviceObject, irp: Irp) -> NTSTATUS {
    irp.move_stack(-1);
    let Some(stack) = irp.stack() else {
        bugcheck::raise(
            NO_MORE_IRP_STACK_LOCATIONS,
            [irp.address(), 0, 0, 0],
            NAME,
            "The IRP has no stack location for the next driver.",
        );
    };
    stack.set_device(device.as_ptr());
    let routine = device
        .driver()
        .and_then(|driver| driver.dispatch_routine(stack.major()));
    let before = State::of(thread);
    let Some(status) = dispatch(routine, device, irp) else {
        violation::raise(
            0x21F,
            Some(irp),
            Some(device),
            NAME,
            "There is no dispatch routine.",
        );
    };
    before.compare(thread, routine, device);
    if status == -1 && verifier::checks(Rules::IO) {
        let sentence = "The dispatch routine returned 0xFFFFFFFF, which is no status.";
        violation::raise(0x225, None, Some(device), NAME, sentence);
    }
    status
}

fn dispatch(routine: PDRIVER_DISPATCH, device: DeviceObject, irp: Irp) -> Option<NTSTATUS> {
    let routine = routine?;
    // SAFETY: The routine is what the driver of this device has for this function code; the IRP has
    // a stack location for it, and is given up.
    Some(unsafe { routine(device.as_ptr(), irp.as_ptr()) })
}

/// What a dispatch routine must leave as it was.
struct State {
    irql: u8,
    apc_disable: u64,
}

impl State {
    #[inline]
    fn of(thread: &Thread) -> Self {
        Self {
            irql: thread.irql(),
            apc_disable: thread.object.combined_apc_disable(),
        }
    }

    #[inline]
    fn compare(&self, thread: &Thread, routine: PDRIVER_DISPATCH, device: DeviceObject) {
        let after = Self::of(thread);
        let same = after.irql == self.irql && after.apc_disable == self.apc_disable;
        if !same && verifier::checks(Rules::IO) {
            self.report(&after, routine, device);
        }
    }

    #[cold]
    fn report(&self, after: &Self, routine: PDRIVER_DISPATCH, device: DeviceObject) -> ! {
        if after.irql != self.irql {
            let levels = [device.address(), self.irql.into(), after.irql.into()];
            violation::io(0x05, levels, NAME, "The dispatch routine changed the IRQL.");
        }
        let routine = routine.map_or(0, |routine| routine as usize as u64);
        let sentence = "The dispatch routine changed the thread's APC state: it left a critical or \
                        guarded region that it did not enter, did not leave one that it entered, or \
                        holds a mutex.";
        verifier::violation(
            0xC5,
            [routine, after.apc_disable, self.apc_disable],
            NAME,
            sentence,
        )
    }
}

/// The next stack location of an IRP, for whoever sends it.
pub fn next_stack(irp: Irp) -> Option<Stack> {
    irp.move_stack(-1);
    let stack = irp.stack();
    irp.move_stack(1);
    stack
}

crate::export::exports! { "ntoskrnl.exe"; IofCallDriver, PoCallDriver, PoStartNextPowerIrp }
