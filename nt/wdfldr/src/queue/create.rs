//! Making queues, and deciding which requests they get.

use super::guarded::Guarded;
use super::{Mode, Queue, QueueState};
use crate::abi::{
    STATUS_WDF_NO_CALLBACK, WDF_DRIVER_GLOBALS, WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDFDEVICE, WDFOBJECT, WDFQUEUE, WdfIoQueueDispatchManual, WdfIoQueueDispatchParallel,
    WdfIoQueueDispatchSequential, WdfTrue, WdfUseDefault,
};
use crate::callback_lock::{CallbackLock, Scope};
use crate::device::Device;
use crate::kernel::{Outcome, status_of, try_box};
use crate::object::{self, Attributes, Body, ParentRule, Rules, Typed, lookup};
use crate::violation;
use crate::work_item::SystemWorkItem;
use nt_abi::{
    NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfIoQueueCreate`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoQueueCreate(
    _: Globals,
    Device: WDFDEVICE,
    Config: *mut WDF_IO_QUEUE_CONFIG,
    QueueAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Queue: *mut WDFQUEUE,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    if Config.is_null() {
        violation::null_parameter(c"WdfIoQueueCreate");
    }
    // SAFETY: The client passes its configuration.
    let config = unsafe { Config.read() };
    let rules = Rules {
        parent: ParentRule::Optional,
        levels: true,
    };
    // SAFETY: The client passes its attributes.
    let outcome = unsafe { Attributes::read(QueueAttributes, rules) }
        .and_then(|attributes| create(&device, &config, &attributes))
        .map(|handle| {
            // SAFETY: An optional output; the client passes null or a place for a handle.
            if let Some(place) = unsafe { Queue.as_mut() } {
                *place = handle;
            }
        });
    status_of(outcome)
}

/// The mode that a configuration asks for, if it makes sense.
fn mode_of(config: &WDF_IO_QUEUE_CONFIG) -> Outcome<Mode> {
    let limit = config.NumberOfPresentedRequests;
    let handlers = config.EvtIoRead.is_some()
        || config.EvtIoWrite.is_some()
        || config.EvtIoDeviceControl.is_some()
        || config.EvtIoInternalDeviceControl.is_some()
        || config.EvtIoDefault.is_some();
    if config.Size as usize != size_of::<WDF_IO_QUEUE_CONFIG>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    match config.DispatchType {
        WdfIoQueueDispatchSequential | WdfIoQueueDispatchParallel if !handlers => {
            Err(STATUS_WDF_NO_CALLBACK)
        }
        WdfIoQueueDispatchSequential if limit == 0 => Ok(Mode::Sequential),
        WdfIoQueueDispatchParallel if limit != 0 => Ok(Mode::Parallel(limit)),
        WdfIoQueueDispatchManual if limit == 0 && !handlers => Ok(Mode::Manual),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

fn create(
    device: &Typed<Device>,
    config: &WDF_IO_QUEUE_CONFIG,
    attributes: &Attributes,
) -> Outcome<WDFQUEUE> {
    let mode = mode_of(config)?;
    let default = config.DefaultQueue != 0;
    if default && device.default_queue() != WDFOBJECT::NULL {
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    let power_managed = !device.is_control()
        && match config.PowerManaged {
            WdfUseDefault => !device.is_filter(),
            choice => choice == WdfTrue,
        };
    let constraints = device.constraints().under(attributes.raw());
    if constraints.scope == Scope::Device && constraints.passive != device.constraints().passive {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let needs_worker = constraints.passive || constraints.scope != Scope::None;
    let worker = needs_worker
        .then(|| SystemWorkItem::new(device.wdm()))
        .transpose()?;
    let mut state = QueueState::new(mode, !power_managed || device.is_powered())?;
    if device.is_withdrawn() {
        state.shut_down();
    }
    let queue = try_box(Queue {
        device: device.clone(),
        events: *config,
        constraints,
        callback_lock: CallbackLock::new(constraints.passive)?,
        worker,
        state: Guarded::new(state, power_managed.then(|| device.clone())),
    })?;
    let parent = if attributes.parent() == WDFOBJECT::NULL {
        device.object().clone()
    } else {
        object::any(attributes.parent())
    };
    let client = device.object().client();
    let object = object::create(client, Body::Queue(queue), attributes, Some(&parent))?;
    device
        .add_queue(&object)
        .inspect_err(|_| object::delete(&object))?;
    if default {
        object.make_permanent();
        if !device.set_default_queue(object.handle()) {
            object.make_deletable();
            object::delete(&object);
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
    }
    Ok(object.handle())
}

/// Sends all requests of a type to a queue: `WdfDeviceConfigureRequestDispatching`.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER` for a type that cannot be chosen, `STATUS_INVALID_DEVICE_REQUEST` for a
/// queue of another device, `STATUS_WDF_BUSY` when the type has a queue.
pub fn route(device: &Typed<Device>, queue: &Typed<Queue>, request_type: i32) -> Outcome {
    /// Create, read, write, device control and internal device control.
    const CHOOSABLE: [i32; 5] = [0x0, 0x3, 0x4, 0xE, 0xF];
    if !CHOOSABLE.contains(&request_type) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if !queue.device().object().is(device.object()) {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    let major = u8::try_from(request_type).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    if !device.set_route(major, queue.handle()) {
        return Err(crate::abi::STATUS_WDF_BUSY);
    }
    queue.object().make_permanent();
    Ok(())
}
