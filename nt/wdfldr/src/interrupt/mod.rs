//! `WDFINTERRUPT`: an interrupt of a device, connected while the device is in D0.
//!
//! Sources: "Handling Hardware Interrupts" and what it leads to, and the public source for the order and for
//! statuses. Interrupts are lines; passive handling is not supported, as on systems before Windows 8.

mod api;
mod create;
mod line;

pub use api::*;
pub use create::WdfInterruptCreate;

use crate::abi::{
    PFN_WDF_INTERRUPT_SWITCH, WDF_INTERRUPT_CONFIG, WDFINTERRUPT, WDFOBJECT, WdfTrue, WdfUseDefault,
};
use crate::callback_lock::Serialized;
use crate::device::Device;
use crate::dpc::wait_for_dpcs;
use crate::kernel::{
    IoConnectInterruptEx, IoDisconnectInterruptEx, KeRemoveQueueDpc, KeSynchronizeExecution,
    Outcome, check,
};
use crate::object::{self, Kind, ObjectRef, Typed};
use crate::resources::Descriptor;
use crate::sync::SpinLockObject;
use crate::work_item::SystemWorkItem;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use line::{Assigned, Line};
use nt_abi::{
    _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1,
    _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1, _KINTERRUPT, BOOLEAN,
    CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP,
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS, IO_CONNECT_INTERRUPT_PARAMETERS,
    IO_DISCONNECT_INTERRUPT_PARAMETERS, KDPC, KIRQL, NTSTATUS, PKINTERRUPT, PVOID, STATUS_SUCCESS,
    TRUE, ULONG,
};

/// A framework interrupt object. It does not move, for the kernel links its `KDPC` and has its address.
pub struct Interrupt {
    device: Typed<Device>,
    config: WDF_INTERRUPT_CONFIG,
    isr: unsafe extern "win64" fn(WDFINTERRUPT, ULONG) -> BOOLEAN,
    /// The client's spin lock, which other interrupts of the device may have as well.
    lock: Option<Typed<SpinLockObject>>,
    serialized: Serialized,
    dpc: UnsafeCell<KDPC>,
    worker: SystemWorkItem,
    /// Whether the client's work item is to be called.
    work_queued: AtomicBool,
    /// The handle that events get.
    handle: AtomicUsize,
    assigned: Assigned,
    /// Made for the resources that the device has now, and gone with them.
    transient: bool,
    /// The kernel's object, while it is connected.
    kernel: AtomicPtr<_KINTERRUPT>,
    /// The IRQL to go back to, while the client holds the lock.
    irql: AtomicU8,
}

// SAFETY: The KDPC is only passed to the kernel's functions.
unsafe impl Sync for Interrupt {}
// SAFETY: As above.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for Interrupt {}

impl Interrupt {
    fn handle(&self) -> WDFINTERRUPT {
        WDFOBJECT(self.handle.load(Ordering::Acquire))
    }

    fn kernel(&self) -> PKINTERRUPT {
        self.kernel.load(Ordering::Acquire)
    }

    /// Before the cleanup event: the interrupt is not connected, and what it queued is over.
    /// IRQL `PASSIVE_LEVEL`.
    pub fn quiesce(&self) {
        self.disconnect();
        // SAFETY: The DPC was initialised when the object was created.
        unsafe { KeRemoveQueueDpc(self.dpc.get()) };
        wait_for_dpcs(&self.worker, self.handle());
        self.worker.flush();
        self.device.remove_interrupt(self.handle());
    }

    /// The IRQL at which it is synchronized: the highest of those that share its lock.
    fn synchronize_irql(&self, line: Line) -> KIRQL {
        let mut irql = line.irql;
        if let Some(lock) = &self.lock {
            each(&self.device, |other| {
                let shares = other
                    .lock
                    .as_ref()
                    .is_some_and(|its| its.object().is(lock.object()));
                if let (true, Some(line)) = (shares, other.assigned.get()) {
                    irql = irql.max(line.irql);
                }
                Ok(())
            })
            .unwrap_or_default();
        }
        irql
    }

    /// Connects the interrupt, if the device has one for it. IRQL `PASSIVE_LEVEL`.
    fn connect(&self) -> Outcome {
        let Some(line) = self.assigned.get() else {
            return Ok(());
        };
        let shared = match self.config.ShareVector {
            WdfUseDefault => line.shared,
            choice => choice == WdfTrue,
        };
        let mut kernel = core::ptr::null_mut();
        let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
            Version: if line.group == 0 {
                CONNECT_FULLY_SPECIFIED
            } else {
                CONNECT_FULLY_SPECIFIED_GROUP
            },
            __bindgen_anon_1: _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
                FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
                    PhysicalDeviceObject: self.device.pdo().0,
                    InterruptObject: &raw mut kernel,
                    ServiceRoutine: Some(service),
                    ServiceContext: core::ptr::from_ref(self).cast_mut().cast(),
                    SpinLock: self
                        .lock
                        .as_ref()
                        .map_or(core::ptr::null_mut(), |lock| lock.kernel_lock()),
                    SynchronizeIrql: self.synchronize_irql(line),
                    FloatingSave: self.config.FloatingSave,
                    ShareVector: shared.into(),
                    Vector: line.vector,
                    Irql: line.irql,
                    InterruptMode: line.mode(),
                    ProcessorEnableMask: line.processors,
                    Group: line.group,
                },
            },
        };
        // SAFETY: The parameters are valid; the interrupt is disconnected before this object and its lock go.
        check(unsafe { IoConnectInterruptEx(&raw mut parameters) })?;
        self.kernel.store(kernel, Ordering::Release);
        Ok(())
    }

    /// Disconnects the interrupt, if it is connected: the service routine runs nowhere any more.
    /// IRQL `PASSIVE_LEVEL`.
    fn disconnect(&self) {
        let kernel = self.kernel.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if kernel.is_null() {
            return;
        }
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
            Version: CONNECT_FULLY_SPECIFIED,
            ConnectionContext: _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
                InterruptObject: kernel,
            },
        };
        // SAFETY: The swap above makes this the one disconnection of an interrupt that is connected.
        unsafe { IoDisconnectInterruptEx(&raw mut parameters) };
    }

    /// Calls an event of the client that switches the device's interrupt, at the device's IRQL and with the
    /// lock held, if the interrupt is connected. IRQL `PASSIVE_LEVEL`.
    fn switch(&self, event: PFN_WDF_INTERRUPT_SWITCH) -> Outcome {
        let (kernel, Some(event)) = (self.kernel(), event) else {
            return Ok(());
        };
        if kernel.is_null() {
            return Ok(());
        }
        let mut switch = Switch {
            interrupt: self,
            event,
            status: STATUS_SUCCESS,
        };
        let context = (&raw mut switch).cast();
        // SAFETY: The interrupt is connected; the routine takes this context.
        unsafe { KeSynchronizeExecution(kernel, Some(switch_now), context) };
        check(switch.status)
    }
}

/// What [`switch_now`] is to do.
struct Switch<'a> {
    interrupt: &'a Interrupt,
    event: unsafe extern "win64" fn(WDFINTERRUPT, WDFOBJECT) -> NTSTATUS,
    status: NTSTATUS,
}

unsafe extern "win64" fn switch_now(context: PVOID) -> BOOLEAN {
    // SAFETY: The context is a local variable of `switch`, which waits for this.
    let switch = unsafe { &mut *context.cast::<Switch<'_>>() };
    let interrupt = switch.interrupt;
    // SAFETY: The client registered the event for this object.
    switch.status = unsafe { (switch.event)(interrupt.handle(), interrupt.device.handle()) };
    TRUE
}

/// The service routine of every framework interrupt. It knows no messages.
unsafe extern "win64" fn service(_: *mut _KINTERRUPT, context: PVOID) -> BOOLEAN {
    // SAFETY: The context is the object's body, which is disconnected before it goes.
    let interrupt = unsafe { &*context.cast::<Interrupt>() };
    // SAFETY: The client registered the event for this object.
    unsafe { (interrupt.isr)(interrupt.handle(), 0) }
}

/// The deferred routine of every framework interrupt.
unsafe extern "win64" fn deferred(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is the object's body, which waits for its DPC before it goes.
    let interrupt = unsafe { &*context.cast::<Interrupt>() };
    if let Some(event) = interrupt.config.EvtInterruptDpc {
        let (handle, device) = (interrupt.handle(), interrupt.device.handle());
        // SAFETY: The client registered the event for this object.
        interrupt
            .serialized
            .call(|| unsafe { event(handle, device) });
    } else if let Some(object) = object::lookup_raw(interrupt.handle()) {
        interrupt.worker.enqueue(work, object);
    }
}

/// Calls the client's work item on a worker thread.
fn work(object: &ObjectRef) {
    if let Some(interrupt) = Interrupt::of(object.body())
        && let Some(event) = interrupt.config.EvtInterruptWorkItem
    {
        interrupt.work_queued.store(false, Ordering::Release);
        let device = interrupt.device.handle();
        // SAFETY: The client registered the event for this object, which is alive.
        interrupt
            .serialized
            .call(|| unsafe { event(object.handle(), device) });
    }
}

/// Calls `f` for each interrupt of a device, in the order of their creation, until it fails.
fn each(device: &Device, mut f: impl FnMut(&Typed<Interrupt>) -> Outcome) -> Outcome {
    let mut index = 0;
    while let Some(object) = device.interrupt(index) {
        if let Some(interrupt) = object.typed() {
            f(&interrupt)?;
        }
        index += 1;
    }
    Ok(())
}

/// Gives the interrupts of a device what is in its translated resources, each the next one.
pub fn assign(device: &Device, resources: &[Descriptor]) {
    let mut lines = resources.iter().filter_map(Line::of);
    // Nothing fails here.
    let _ = each(device, |interrupt| {
        interrupt.assigned.set(lines.next());
        Ok(())
    });
}

/// Takes the resources of a device from its interrupts, and the interrupts that were made for them.
/// IRQL `PASSIVE_LEVEL`.
pub fn release(device: &Device) {
    let mut index = 0;
    while let Some(object) = device.interrupt(index) {
        match Interrupt::of(object.body()) {
            Some(interrupt) if interrupt.transient => object::delete(&object),
            Some(interrupt) => {
                interrupt.assigned.set(None);
                index += 1;
            }
            None => index += 1,
        }
    }
}

/// Connects the interrupts of a device and has the client enable them at the device. What fails is undone.
/// IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// What the kernel or the client said.
pub fn enable(device: &Device) -> Outcome {
    each(device, |interrupt| {
        interrupt.connect()?;
        interrupt.switch(interrupt.config.EvtInterruptEnable)
    })
    .inspect_err(|_| {
        let _ = each(device, |interrupt| {
            interrupt.disconnect();
            Ok(())
        });
    })
}

/// Has the client disable the interrupts of a device, the last one first, and disconnects them.
/// IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// What the client said first that was none of success.
pub fn disable(device: &Device) -> Outcome {
    let mut outcome = Ok(());
    let mut count = 0;
    while device.interrupt(count).is_some() {
        count += 1;
    }
    for object in (0..count).rev().filter_map(|index| device.interrupt(index)) {
        if let Some(interrupt) = Interrupt::of(object.body()) {
            let switched = interrupt.switch(interrupt.config.EvtInterruptDisable);
            outcome = outcome.and(switched);
            interrupt.disconnect();
        }
    }
    outcome
}
