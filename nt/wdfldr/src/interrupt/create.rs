//! Making an interrupt object.

use super::line::{Assigned, Line};
use super::{Interrupt, deferred};
use crate::abi::{
    INTERRUPT_CONFIG_SIZE_V1_9, INTERRUPT_CONFIG_SIZE_V1_11, WDF_DRIVER_GLOBALS,
    WDF_INTERRUPT_CONFIG, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFINTERRUPT, WDFOBJECT, WdfUseDefault,
};
use crate::callback_lock::Serialized;
use crate::device::{Device, Stage};
use crate::kernel::{KeInitializeDpc, Outcome, status_of, try_box};
use crate::object::{self, Attributes, Body, Kind, ParentRule, Rules, Typed, lookup};
use crate::resources::Descriptor;
use crate::violation;
use crate::work_item::SystemWorkItem;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use nt_abi::{
    KDPC, NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfInterruptCreate`. In `EvtDriverDeviceAdd` the interrupt gets the next of the device's resources when the
/// device is started; in `EvtDevicePrepareHardware` the driver names it. `STATUS_NOT_SUPPORTED` for passive
/// handling. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfInterruptCreate(
    _: Globals,
    Device: WDFDEVICE,
    Configuration: *mut WDF_INTERRUPT_CONFIG,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    Interrupt: *mut WDFINTERRUPT,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    if Configuration.is_null() || Interrupt.is_null() {
        violation::null_parameter(c"WdfInterruptCreate");
    }
    // SAFETY: The client passes its configuration.
    let outcome = unsafe { read(Configuration) }
        .and_then(|config| {
            let rules = Rules {
                parent: if config.AutomaticSerialization == 0 {
                    ParentRule::Forbidden
                } else {
                    ParentRule::Optional
                },
                levels: false,
            };
            // SAFETY: The client passes its attributes.
            let attributes = unsafe { self::Attributes::read(Attributes, rules) }?;
            create(&device, &config, &attributes)
        })
        // SAFETY: The place is not null.
        .map(|handle| unsafe { Interrupt.write(handle) });
    status_of(outcome)
}

/// A client's configuration; what an old one lacks has its default.
///
/// # Safety
/// `config` is a configuration of the client.
unsafe fn read(config: *const WDF_INTERRUPT_CONFIG) -> Outcome<WDF_INTERRUPT_CONFIG> {
    let mut whole = WDF_INTERRUPT_CONFIG {
        ReportInactiveOnPowerDown: WdfUseDefault,
        ..WDF_INTERRUPT_CONFIG::default()
    };
    // SAFETY: The configuration starts with its size.
    let size = unsafe { config.cast::<u32>().read() } as usize;
    let sizes = [
        INTERRUPT_CONFIG_SIZE_V1_9,
        INTERRUPT_CONFIG_SIZE_V1_11,
        size_of_val(&whole),
    ];
    if !sizes.contains(&size) {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let place = (&raw mut whole).cast::<u8>();
    // SAFETY: The client's structure is as long as it says, and no longer than this one.
    unsafe { place.copy_from_nonoverlapping(config.cast(), size) };
    Ok(whole)
}

/// Whether the configuration fits the stage that the device is in; the interrupt that it is for, if it names one.
fn examine(config: &WDF_INTERRUPT_CONFIG, stage: Stage) -> Outcome<Option<Line>> {
    let named = config.InterruptRaw != 0 && config.InterruptTranslated != 0;
    let line = match stage {
        Stage::New if config.InterruptRaw != 0 || config.InterruptTranslated != 0 => {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Stage::New => None,
        Stage::PreparingHardware if named && config.ShareVector == WdfUseDefault => {
            let translated =
                core::ptr::with_exposed_provenance::<Descriptor>(config.InterruptTranslated);
            // SAFETY: The client passes a descriptor of its device's resources.
            let line = Line::of(unsafe { &*translated });
            Some(line.ok_or(STATUS_INVALID_PARAMETER)?)
        }
        _ => return Err(STATUS_INVALID_DEVICE_STATE),
    };
    let valid = config.CanWakeDevice == 0
        && (config.EvtInterruptDpc.is_none() || config.EvtInterruptWorkItem.is_none());
    if !valid {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if config.PassiveHandling != 0 {
        return Err(STATUS_NOT_SUPPORTED);
    }
    if config.WaitLock != WDFOBJECT::NULL {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(line)
}

fn create(
    device: &Typed<Device>,
    config: &WDF_INTERRUPT_CONFIG,
    attributes: &Attributes,
) -> Outcome<WDFINTERRUPT> {
    let isr = config.EvtInterruptIsr.ok_or(STATUS_INVALID_PARAMETER)?;
    let line = examine(config, device.stage())?;
    let parent = if attributes.parent() == WDFOBJECT::NULL {
        device.object().clone()
    } else {
        object::any(attributes.parent())
    };
    let passive = config.EvtInterruptWorkItem.is_some();
    let automatic = config.AutomaticSerialization != 0;
    let interrupt = try_box(Interrupt {
        device: device.clone(),
        config: *config,
        isr,
        lock: (config.SpinLock != WDFOBJECT::NULL).then(|| lookup(config.SpinLock)),
        serialized: Serialized::under(&parent, automatic, passive)?,
        dpc: UnsafeCell::new(KDPC::default()),
        worker: SystemWorkItem::new(device.wdm())?,
        work_queued: AtomicBool::new(false),
        handle: AtomicUsize::new(0),
        assigned: Assigned::nothing(),
        transient: line.is_some(),
        kernel: AtomicPtr::new(core::ptr::null_mut()),
        irql: AtomicU8::new(0),
    })?;
    interrupt.assigned.set(line);
    let context = core::ptr::from_ref::<Interrupt>(&interrupt)
        .cast_mut()
        .cast();
    // SAFETY: The DPC is at its final address, and not queued.
    unsafe { KeInitializeDpc(interrupt.dpc.get(), Some(deferred), context) };
    let client = device.object().client();
    let body = Body::Interrupt(interrupt);
    let object = object::create(client, body, attributes, Some(&parent))?;
    if let Some(interrupt) = Interrupt::of(object.body()) {
        interrupt.handle.store(object.handle().0, Ordering::Release);
    }
    device
        .add_interrupt(&object)
        .inspect_err(|_| object::delete(&object))?;
    Ok(object.handle())
}
