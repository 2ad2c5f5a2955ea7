//! `WdfInterrupt...` on an interrupt that exists.

use super::Interrupt;
use crate::abi::{
    INTERRUPT_INFO_SIZE_V1_7, PFN_WDF_INTERRUPT_SYNCHRONIZE, WDF_DRIVER_GLOBALS,
    WDF_INTERRUPT_INFO, WDFCONTEXT, WDFDEVICE, WDFINTERRUPT,
};
use crate::kernel::{
    KeAcquireInterruptSpinLock, KeInsertQueueDpc, KeReleaseInterruptSpinLock,
    KeSynchronizeExecution, print,
};
use crate::object::lookup;
use crate::violation;
use core::sync::atomic::Ordering;
use nt_abi::{BOOLEAN, FALSE, PKINTERRUPT, PVOID};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Queues the DPC; whether it was not queued already.
fn queue_dpc(interrupt: &Interrupt) -> BOOLEAN {
    let null = core::ptr::null_mut();
    // SAFETY: The DPC was initialised when the object was created.
    unsafe { KeInsertQueueDpc(interrupt.dpc.get(), null, null) }
}

/// `WdfInterruptQueueDpcForIsr`: whether `EvtInterruptDpc` was not queued already. Without that event there is
/// nothing to queue. IRQL: any.
pub unsafe extern "win64" fn WdfInterruptQueueDpcForIsr(
    _: Globals,
    Interrupt: WDFINTERRUPT,
) -> BOOLEAN {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    if interrupt.config.EvtInterruptDpc.is_none() {
        return FALSE;
    }
    queue_dpc(&interrupt)
}

/// `WdfInterruptQueueWorkItemForIsr`: whether `EvtInterruptWorkItem` was not queued already. A DPC queues it,
/// for worker threads are out of reach at the device's IRQL. IRQL: any.
pub unsafe extern "win64" fn WdfInterruptQueueWorkItemForIsr(
    _: Globals,
    Interrupt: WDFINTERRUPT,
) -> BOOLEAN {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    let queued = || interrupt.work_queued.swap(true, Ordering::AcqRel);
    if interrupt.config.EvtInterruptWorkItem.is_none() || queued() {
        return FALSE;
    }
    queue_dpc(&interrupt);
    true.into()
}

/// What [`synchronized`] is to call.
struct Call {
    event: unsafe extern "win64" fn(WDFINTERRUPT, WDFCONTEXT) -> BOOLEAN,
    interrupt: WDFINTERRUPT,
    context: WDFCONTEXT,
}

unsafe extern "win64" fn synchronized(context: PVOID) -> BOOLEAN {
    // SAFETY: The context is a local variable of the caller, which waits for this.
    let call = unsafe { &*context.cast::<Call>() };
    // SAFETY: The client passed the event with its context.
    unsafe { (call.event)(call.interrupt, call.context) }
}

/// `WdfInterruptSynchronize`: calls the client at the device's IRQL, while the service routine runs nowhere, and
/// returns what it says. The interrupt is connected. IRQL: at most the device's.
pub unsafe extern "win64" fn WdfInterruptSynchronize(
    _: Globals,
    Interrupt: WDFINTERRUPT,
    Callback: PFN_WDF_INTERRUPT_SYNCHRONIZE,
    Context: WDFCONTEXT,
) -> BOOLEAN {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    let Some(event) = Callback else {
        violation::null_parameter(c"WdfInterruptSynchronize")
    };
    let call = Call {
        event,
        interrupt: Interrupt,
        context: Context,
    };
    let context = core::ptr::from_ref(&call).cast_mut().cast();
    // SAFETY: The client sees to it that the interrupt is connected; the routine takes this context.
    unsafe { KeSynchronizeExecution(interrupt.kernel(), Some(synchronized), context) }
}

/// `WdfInterruptAcquireLock`: keeps the service routine away. The interrupt is connected. IRQL: at most the
/// device's, which it is afterwards.
pub unsafe extern "win64" fn WdfInterruptAcquireLock(_: Globals, Interrupt: WDFINTERRUPT) {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    // SAFETY: The client sees to it that the interrupt is connected, and stays so until the release.
    let irql = unsafe { KeAcquireInterruptSpinLock(interrupt.kernel()) };
    interrupt.irql.store(irql, Ordering::Relaxed);
}

/// `WdfInterruptReleaseLock`: back to the IRQL before the acquisition. IRQL: the device's.
pub unsafe extern "win64" fn WdfInterruptReleaseLock(_: Globals, Interrupt: WDFINTERRUPT) {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    let irql = interrupt.irql.load(Ordering::Relaxed);
    // SAFETY: The client holds the lock, whose acquisition returned that IRQL.
    unsafe { KeReleaseInterruptSpinLock(interrupt.kernel(), irql) };
}

/// `WdfInterruptEnable`: calls `EvtInterruptEnable` for an interrupt that is connected.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfInterruptEnable(_: Globals, Interrupt: WDFINTERRUPT) {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    // The function has no way to tell of a failure.
    let _ = interrupt.switch(interrupt.config.EvtInterruptEnable);
}

/// `WdfInterruptDisable`: calls `EvtInterruptDisable` for an interrupt that is connected.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfInterruptDisable(_: Globals, Interrupt: WDFINTERRUPT) {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    // As above.
    let _ = interrupt.switch(interrupt.config.EvtInterruptDisable);
}

/// `WdfInterruptWdmGetInterrupt`: null while the interrupt is not connected. IRQL: any.
pub unsafe extern "win64" fn WdfInterruptWdmGetInterrupt(
    _: Globals,
    Interrupt: WDFINTERRUPT,
) -> PKINTERRUPT {
    lookup::<self::Interrupt>(Interrupt).kernel()
}

/// `WdfInterruptGetDevice`. IRQL: any.
pub unsafe extern "win64" fn WdfInterruptGetDevice(
    _: Globals,
    Interrupt: WDFINTERRUPT,
) -> WDFDEVICE {
    lookup::<self::Interrupt>(Interrupt).device.handle()
}

/// `WdfInterruptGetInfo`: zeros where the device has no interrupt for this object. A structure that does not fit
/// is ignored. IRQL: any.
pub unsafe extern "win64" fn WdfInterruptGetInfo(
    _: Globals,
    Interrupt: WDFINTERRUPT,
    Info: *mut WDF_INTERRUPT_INFO,
) {
    let interrupt = lookup::<self::Interrupt>(Interrupt);
    if Info.is_null() {
        violation::null_parameter(c"WdfInterruptGetInfo");
    }
    // SAFETY: The structure starts with its size.
    let size = unsafe { Info.cast::<u32>().read() };
    if ![INTERRUPT_INFO_SIZE_V1_7, size_of::<WDF_INTERRUPT_INFO>()].contains(&(size as usize)) {
        return print(
            c"WDFLDR: WDF_INTERRUPT_INFO of size %Iu ignored\n",
            size as usize,
        );
    }
    let mut told = WDF_INTERRUPT_INFO {
        Size: size,
        ..WDF_INTERRUPT_INFO::default()
    };
    if let Some(line) = interrupt.assigned.get() {
        told.TargetProcessorSet = line.processors;
        told.Vector = line.vector;
        told.Irql = line.irql;
        told.Mode = line.mode();
        told.ShareDisposition = line.share_disposition();
        told.Group.0 = line.group;
    }
    let told = (&raw const told).cast::<u8>();
    // SAFETY: The client's structure is as long as it says, and no longer than this one.
    unsafe { told.copy_to_nonoverlapping(Info.cast(), size as usize) };
}
